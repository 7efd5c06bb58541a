"""LoRA: learn two thin matrices beside each frozen one, in place of the matrix itself.

A fine-tuned matrix is ``w + scale * a @ b``, where ``a`` is (in, rank) and ``b`` (rank, out). At
the start ``b`` is zero, so the model begins as it was. Afterwards the product is added to ``w``
once, and what runs is an ordinary Llama again.

There are two ways back to ``a`` and ``b``. ``lora_gradients`` takes the gradient of every whole
matrix and goes back through the product: the command ``finetune`` does so, because with it the
models that ship were made, bit for bit. ``lora_loss_and_gradients`` leaves ``a`` and ``b`` beside
their matrix and never forms its gradient, as trainers of large models do. Both find the same, up to
rounding.

Source: https://arxiv.org/abs/2106.09685, section 4.1.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from ..axes import Array
from ..config import LlamaConfig
from ..functional import linear
from ..weights import Weights, shapes
from .backward import (
    Dropout,
    block_backward,
    cross_entropy_backward,
    rms_norm_backward,
    stream_forward,
)
from .loss import cross_entropy

MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")


@dataclasses.dataclass(frozen=True)
class Pair:
    """The two thin matrices beside one matrix."""

    a: Array["in rank"]
    b: Array["rank out"]


@dataclasses.dataclass(frozen=True)
class Lora:
    """All pairs, by the name of the matrix that each stands beside, such as ``layers.3.wq``."""

    pairs: Mapping[str, Pair]
    scale: float

    def named(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every learned array, named such as ``layers.3.wq.a``."""
        for name, pair in self.pairs.items():
            yield f"{name}.a", pair.a
            yield f"{name}.b", pair.b

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Lora":
        """The same with ``change`` applied to every array."""
        pairs = {name: Pair(change(pair.a), change(pair.b)) for name, pair in self.pairs.items()}
        return Lora(pairs, self.scale)


def lora_product(a: Array["in rank"], b: Array["rank out"], scale: float) -> Array["in out"]:
    """What a pair adds to its matrix: scale * a @ b, of rank ``rank`` at most.

    >>> lora_product(np.array([[1.0], [2.0]]), np.array([[3.0, 4.0]]), 0.5).tolist()
    [[1.5, 2.0], [3.0, 4.0]]
    """
    return scale * (a @ b)  # in rank @ rank out -> in out


def lora_backward(
    d_w: Array["in out"], a: Array["in rank"], b: Array["rank out"], scale: float
) -> tuple[Array["in rank"], Array["rank out"]]:
    """Back through ``lora_product``: the gradients of a and b, from the gradient of the matrix."""
    return scale * (d_w @ b.T), scale * (a.T @ d_w)


def lora_linear(
    x: Array["... T in"],
    w: Array["in out"],
    a: Array["in rank"],
    b: Array["rank out"],
    scale: float,
) -> Array["... T out"]:
    """x @ (w + scale a b), with the thin matrices beside ``w``: x @ w + scale (x @ a) @ b.

    peft: the forward pass of ``lora.Linear``, before it is merged.
    """
    return linear(x, w) + scale * linear(linear(x, a), b)


def lora_linear_backward(
    d_out: Array["... T out"],
    x: Array["... T in"],
    w: Array["in out"],
    a: Array["in rank"],
    b: Array["rank out"],
    scale: float,
) -> tuple[Array["... T in"], Array["in rank"], Array["rank out"]]:
    """Back through ``lora_linear``: d_x, d_a and d_b. The gradient of ``w`` is never formed.

    d_a = scale x^T (d_out b^T),  d_b = scale (x a)^T d_out: everything on the way is thin.
    """
    rows, d_rows = x.reshape(-1, x.shape[-1]), d_out.reshape(-1, d_out.shape[-1])
    d_thin = scale * (d_rows @ b.T)  # BT out @ out rank -> BT rank
    d_a = rows.T @ d_thin  # in BT @ BT rank -> in rank
    d_b = scale * ((rows @ a).T @ d_rows)  # rank BT @ BT out -> rank out
    d_x = d_rows @ w.T + d_thin @ a.T  # BT out @ out in, and BT rank @ rank in
    return d_x.reshape(x.shape), d_a, d_b


@dataclasses.dataclass(frozen=True)
class FrozenMatrix:
    """A matrix that does not learn and the pair beside it, under the one sign ``x @ w``."""

    w: Array["in out"]
    pair: Pair
    scale: float

    __array_ufunc__ = None  # so that NumPy leaves ``x @ this`` to us

    @property
    def shape(self) -> tuple[int, int]:
        return self.w.shape

    def __rmatmul__(self, x: Array["... T in"]) -> Array["... T out"]:
        return lora_linear(x, self.w, self.pair.a, self.pair.b, self.scale)

    def backward(
        self, d_out: Array["... T out"], x: Array["... T in"]
    ) -> tuple[Array["... T in"], Pair]:
        """What ``linear_backward`` gives for an ordinary matrix: d_x, and what is to be learned."""
        d_x, *d_pair = lora_linear_backward(d_out, x, self.w, self.pair.a, self.pair.b, self.scale)
        return d_x, Pair(*d_pair)


def put_beside(weights: Weights, lora: Lora) -> Weights:
    """The same model as ``merge`` makes, with every pair beside its matrix instead of in it.

    A matrix of a block that has no pair gets one of rank 0, so that it is frozen, too.
    """
    check_fits(weights, lora)
    named = dict(weights.named())
    for name, w in named.items():
        if name.rpartition(".")[2] in MATRICES:
            none = Pair(np.zeros((len(w), 0), w.dtype), np.zeros((0, w.shape[1]), w.dtype))
            named[name] = FrozenMatrix(w, lora.pairs.get(name, none), lora.scale)
    return Weights.from_named(named)


def lora_loss_and_gradients(
    weights: Weights,
    config: LlamaConfig,
    lora: Lora,
    ids: Array["... T"],
    targets: Array["... T"],
    dropout: Dropout | None = None,
) -> tuple[float, Lora]:
    """The mean loss in nats, and its gradient for every pair; ``weights`` are frozen.

    The same as ``loss_and_gradients`` of the merged model and ``lora_gradients`` after it, without
    the gradient of any large matrix. ``ids`` and ``targets`` are those of ``loss_and_gradients``.
    Raises ``ValueError`` as ``merge`` does.

    peft: ``loss.backward()`` of a ``get_peft_model``.
    """
    beside, targets = put_beside(weights, lora), np.asarray(targets)
    final_norm, seen = stream_forward(beside, config, ids, dropout)
    logits = linear(final_norm, weights.output)
    d_final_norm = cross_entropy_backward(logits, targets) @ weights.output.T  # T V @ V D -> T D
    d_x, _ = rms_norm_backward(d_final_norm, seen.x, weights.norm, config.norm_eps)
    found = {}
    for i in reversed(range(config.n_layers)):
        of_block = seen.blocks.pop()
        d_x, d_layer = block_backward(d_x, beside.layers[i], config, seen.rotations, of_block)
        found |= {f"layers.{i}.{role}": d for role, d in vars(d_layer).items()}
    return cross_entropy(logits, targets), Lora({n: found[n] for n in lora.pairs}, lora.scale)


def merge(weights: Weights, lora: Lora) -> Weights:
    """Add every product to its matrix: ordinary weights, the frozen ones left as they were.

    Raises ``ValueError`` for a pair whose matrix is not there or has another shape.

    peft: ``model.merge_and_unload()``.
    """
    check_fits(weights, lora)
    named = dict(weights.named())
    for name, pair in lora.pairs.items():
        named[name] = named[name] + lora_product(pair.a, pair.b, lora.scale)
    return Weights.from_named(named)


def check_fits(weights: Weights, lora: Lora) -> None:
    """Raise ``ValueError`` for a pair whose matrix is not there or has another shape."""
    named = dict(weights.named())
    for name, pair in lora.pairs.items():
        shape = pair.a.shape[0], pair.b.shape[1]
        if name not in named or named[name].shape != shape:
            found = f"shape {named[name].shape}" if name in named else "no such matrix"
            raise ValueError(
                f"LoRA for {name} of shape {shape}, but the model has {found}; "
                "was it trained on another model?"
            )


def lora_gradients(d_weights: Weights, lora: Lora) -> Lora:
    """The gradient of every pair, from the gradients of the merged weights."""
    d_named = dict(d_weights.named())
    return Lora(
        {
            name: Pair(*lora_backward(d_named[name], pair.a, pair.b, lora.scale))
            for name, pair in lora.pairs.items()
        },
        lora.scale,
    )


def initialize_lora(
    config: LlamaConfig,
    rank: int,
    rng: "np.random.Generator",
    *,
    alpha: float | None = None,
    matrices: Collection[str] = MATRICES,
) -> Lora:
    """Pairs to start from, beside the named matrices of every block: ``a`` random, ``b`` zero.

    The scale is alpha / rank; alpha is twice the rank if not given. Numbers of ``a`` are uniform
    within 1 / sqrt(in), as peft draws them.

    Raises ``ValueError`` for a rank below 1 or as large as a matrix: that would save nothing.
    """
    pairs = {}
    for name, shape in shapes(config).items():
        if name.rpartition(".")[2] not in matrices:
            continue
        if not 1 <= rank < min(shape):
            raise ValueError(
                f"a LoRA rank of {rank} does not fit {name} of shape {shape}; choose 1 to "
                f"{min(shape) - 1}"
            )
        a = rng.uniform(-1, 1, (shape[0], rank)) / np.sqrt(shape[0])
        pairs[name] = Pair(a.astype(np.float32), np.zeros((rank, shape[1]), np.float32))
    return Lora(pairs, (2 * rank if alpha is None else alpha) / rank)
