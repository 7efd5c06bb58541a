"""What the exercise of lesson 16 asks for, and inputs to try it on: rows, steps, a whole run."""

import numpy as np

from llama_np.axes import Array
from llama_np.config import LlamaConfig
from llama_np.training.backward import loss_and_gradients
from llama_np.training.loss import IGNORE
from llama_np.training.optimizer import AdamW, clip_by_global_norm, learning_rate
from llama_np.weights import Weights

from .inputs import cases, whole

OF_BLOCK = ("attn_norm", "wq", "wk", "wv", "wo")


def rows(tokens: Array["N+1"], length: int) -> Array["2 B T"]:
    return np.stack([tokens[:-1].reshape(-1, length), tokens[1:].reshape(-1, length)])


def adamw(
    w: Array["..."], g: Array["..."], m: Array["..."], v: Array["..."], t: int, rate: float
) -> Array["3 ..."]:
    m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g * g
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    return np.stack([w - rate * (step + (0.1 * w if w.ndim > 1 else 0)), m, v])


def clip(gradients: list[np.ndarray], limit: float) -> tuple[np.ndarray, ...]:
    length = np.sqrt(sum((g * g).sum() for g in gradients))
    return tuple(g * min(1.0, limit / length) for g in gradients)


def schedule(step: int, peak: float, warm_up: int, total: int) -> float:
    return learning_rate(step, peak, warm_up, total)


def pretrain(w: dict, tokens: Array["S N+1"], length: int, start_id: int, rates) -> Array["S"]:
    """The library's losses: a Llama of one block whose feed-forward step writes nothing."""
    weights, config = as_llama(w, length)
    optimizer, losses = AdamW(weights), []
    for step, rate in zip(tokens, rates, strict=True):
        ids, targets = rows(step, length)
        targets = np.where(targets == start_id, IGNORE, targets)
        loss, gradients = loss_and_gradients(weights, config, ids, targets)
        clip_by_global_norm(gradients, 1.0)
        optimizer.step(weights, gradients, float(rate))
        losses.append(loss)
    return np.array(losses)


def as_llama(w: dict[str, np.ndarray], length: int) -> tuple[Weights, LlamaConfig]:
    """The arrays of the exercise in a Llama; without width, a feed-forward step has no weights."""
    vocab_size, dim = w["embedding"].shape
    config = LlamaConfig(
        dim=dim, n_layers=1, n_heads=1, n_kv_heads=1, head_dim=w["wq"].shape[1], ffn_width=1,
        vocab_size=vocab_size, context_length=length, norm_eps=1e-5, rope_theta=10000.0,
        rope_scaling=None, tied_output=False,
    )  # fmt: skip
    silent = {"ffn_norm": np.ones(dim), "w_gate": np.zeros((dim, 1)), "w_up": np.zeros((dim, 1)),
              "w_down": np.zeros((1, dim))}  # fmt: skip
    block = {name: w[name] for name in OF_BLOCK} | silent
    named = {name: w[name] for name in ("embedding", "norm", "output")}
    named |= {f"layers.0.{name}": array for name, array in block.items()}
    return Weights.from_named({name: np.array(a, np.float64) for name, a in named.items()}), config


@cases(7)
def a_stretch(rng, case):
    """One token more than the rows hold; one row, rows of one token, as many rows as tokens."""
    n_rows, length = ((3, 4), (1, 6), (5, 1), (4, 4), (2, 7), (6, 3), (2, 17))[case]
    tokens = rng.integers(90, size=n_rows * length + 1)
    if case in (0, 4):
        tokens[0] = 0
    return tokens, length


@cases(8)
def weights_in_training(rng, case):
    """A matrix, a norm, the first step, a late one, a gradient of 0, one hardly above it."""
    shape = ((3, 5), (6,), (4, 4), (1,), (5, 2), (7,), (1, 3), (9, 2))[case]
    w, g = 2 * rng.standard_normal((2, *shape))
    m, v = rng.standard_normal(shape), rng.uniform(0.1, 3, shape)
    t = (3, 5, 1, 2, 40, 1, 7, 17)[case]
    if t == 1:
        m, v = np.zeros(shape), np.zeros(shape)
    if case == 2:
        g[0] = 0
        g[1] = 1e-9 * np.sign(g[1])
    return w, g, m, v, t, (0.3, 0.2, 0.5, 1.5, 0.02, 1.0, 0.7, 2.0)[case]


@cases(6)
def some_gradients(rng, case):
    """Too long, short enough, one of them much longer, one alone and small, just within, many."""
    shapes = (((4, 3), (5,)), ((2, 5), (3,)), ((3, 3), (4,)), ((6,),), ((2, 2), (7,)),
              ((1, 4), (2,), (3, 2), (1,)))[case]  # fmt: skip
    gradients = [rng.standard_normal(shape) for shape in shapes]
    gradients[-1] *= 30 if case == 2 else 1
    if case == 3:
        return [0.02 * g for g in gradients], 0.03
    if case == 5:
        return [3 * g for g in gradients], 2.0
    length = np.sqrt(sum((g * g).sum() for g in gradients))
    return gradients, float((0.5, 2.0, 0.7, 0, 1.01)[case] * length)


@cases(10)
def a_place_in_a_run(rng, case):
    """The first step, the end of the warm-up, the peak, the middle, the last; no warm-up."""
    total, warm_up = whole(rng, 40, 90), whole(rng, 5, 12)
    if case >= 5:
        total, warm_up = ((total, 0), (total, 0), (total, 19), (total, 1), (1, 0))[case - 5]
    step = (0, warm_up - 1, warm_up, whole(rng, 15, 30), total - 1, 0, total // 3, 1, 2, 0)[case]
    return step, (0.3, 1.0, 2.5, 0.02, 0.7, 1.5, 0.4, 3.0, 2.0, 0.6)[case], warm_up, total


@cases(7)
def a_small_run(rng, case):
    """Rows with different numbers of targets, steps that clip, large steps.

    As many steps as tokens in one of them, more of them, rows of one token, long rows, one row, one
    step.
    """
    vocab_size, dim, width = (
        (11, 6, 4), (7, 5, 2), (9, 4, 4), (8, 8, 6), (19, 3, 2), (6, 4, 2), (5, 7, 2)
    )[case]  # fmt: skip
    n_steps, n_rows, length = (
        (3, 2, 5), (9, 2, 2), (5, 2, 2), (2, 3, 1), (2, 2, 17), (2, 1, 6), (1, 2, 3)
    )[case]  # fmt: skip
    start_id = (4, 3, 0, 1, 17, 5, 2)[case]
    shapes = {"embedding": (vocab_size, dim), "wq": (dim, width), "wk": (dim, width),
              "wv": (dim, width), "wo": (width, dim), "output": (dim, vocab_size)}  # fmt: skip
    w = {name: 0.8 * rng.standard_normal(shape) for name, shape in shapes.items()}
    w |= {name: rng.uniform(0.5, 2, dim) for name in ("attn_norm", "norm")}
    others = np.delete(np.arange(vocab_size), start_id)
    tokens = rng.choice(others, size=(n_steps, n_rows * length + 1))
    tokens[:, 2 if length > 1 else 0] = start_id  # a text begins in the first row alone
    rates = rng.uniform(0.05, 0.3, n_steps)
    rates[0] *= 9 if case == 5 else 1
    return w, tokens, length, start_id, rates
