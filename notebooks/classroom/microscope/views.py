"""What the microscope shows: a run of the model under a tap, and pure functions that read it.

Every number comes from ``forward`` by way of ``record`` and stands there under the name that
``llama_np.tap`` lists. What is switched off is switched off by ``patch``.
"""

import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from llama_np import attend, forward, patch, record, rms_norm, softmax
from llama_np.axes import Array
from llama_np.config import LlamaConfig
from llama_np.functional import linear
from weights_tools.examine import JOBS, all_prompts, job_weights
from weights_tools.load import Model
from weights_tools.workers import one_blas_thread

MOST_TOKENS = 64  # a pattern of more can hardly be read
BEST = 10  # next tokens that are listed
BEST_HEADS = 2  # for each job, as ``python -m weights_tools examine`` lists them
SMALL = 20_000_000  # parameters: so few that its jobs are looked for without being asked
RECORDED = {
    "q_rotated", "k_rotated", "v", "scores", "masked", "pattern", "mix", "resid_out", "logits"
}  # fmt: skip
PRODUCTS = {"scores": "04 single-head attention", "mix": "04 single-head attention"}
SWITCH = re.compile(r"(head)\.(\d{1,4})\.(\d{1,4})|(ffn|block|hide)\.(\d{1,4})", re.ASCII)


class Run(NamedTuple):
    """A sentence that went through the model, and every activation that the views need."""

    ids: tuple[int, ...]
    off: tuple[str, ...]
    trace: dict[str, np.ndarray]


def encode(model: Model, text: str) -> tuple[int, ...]:
    """The ids of a sentence, after the begin-of-text token where the model has one.

    Raises ``ValueError`` where it has no word or too many tokens.
    """
    if not text.strip():
        raise ValueError("the sentence is empty: write at least one word")
    ids = model.tokenizer.encode(text, bos=True)
    most = min(MOST_TOKENS, model.config.context_length)
    if len(ids) > most:
        raise ValueError(f"the sentence has {len(ids)} tokens: at most {most} can be shown")
    return tuple(ids)


def run(model: Model, ids: Sequence[int], off: Sequence[str] = ()) -> Run:
    """Send ids through the model with some parts switched off; see ``replacements``."""
    trace: dict[str, np.ndarray] = {}
    tap = record(trace, RECORDED, patch(replacements(off, model.config, len(ids))))
    forward(model.weights, model.config, np.array(ids), tap=tap)
    return Run(tuple(ids), tuple(off), trace)


def replacements(off: Sequence[str], config: LlamaConfig, n_tokens: int) -> dict[str, Callable]:
    """What ``patch`` takes to switch parts off.

    ``head.B.H``: the mix of a head is zero. ``ffn.B``: a feed-forward step adds nothing.
    ``block.B``: neither half of a block adds anything. ``hide.S``: the last token cannot see token
    S in any block; those between may still hand on what they read there. Raises ``ValueError`` for
    anything else.
    """
    heads: dict[int, list[int]] = {}
    zero, hidden = set(), []
    for switch in off:
        match = SWITCH.fullmatch(switch)
        if not match:
            raise ValueError(
                f"cannot switch off {switch[:40]!r}: head.B.H, ffn.B, block.B or hide.S is expected"
            )
        if match[1]:
            block, head = int(match[2]), int(match[3])
            check("block", block, config.n_layers)
            check("head", head, config.n_heads)
            heads.setdefault(block, []).append(head)
        elif match[4] == "hide":
            check("token to hide", int(match[5]), n_tokens - 1)
            hidden.append(int(match[5]))
        else:
            block = int(match[5])
            check("block", block, config.n_layers)
            parts = ["down"] if match[4] == "ffn" else ["attn_out", "down"]
            zero |= {f"blocks.{block}.{part}" for part in parts}
    found: dict[str, Callable] = {name: np.zeros_like for name in zero}
    for block, silent in heads.items():
        found[f"blocks.{block}.mix"] = lambda mix, silent=silent: without_heads(mix, silent)
    if hidden:
        for block in range(config.n_layers):
            found[f"blocks.{block}.masked"] = lambda masked: without_keys(masked, hidden)
    return found


def without_heads(mix: Array["Hq T K"], heads: Sequence[int]) -> Array["Hq T K"]:
    mix = mix.copy()
    mix[heads] = 0
    return mix


def without_keys(masked: Array["Hq T S"], keys: Sequence[int]) -> Array["Hq T S"]:
    masked = masked.copy()
    masked[:, -1, keys] = -np.inf
    return masked


def overview(model: Model, original: Run, changed: Run, at: int | None = None) -> dict[str, Any]:
    """The whole model at a glance, from where token ``at`` stands, or the last one.

    ``attention``: for each block and head the row of the pattern, over the tokens up to ``at``.
    ``lens``: for each block the three best next tokens, were it the last one. ``original`` and
    ``changed``: the ten best next tokens, without and with what is switched off.
    """
    at = position(changed, at)
    config = model.config
    rows = [changed.trace[f"blocks.{i}.pattern"][:, at, : at + 1] for i in range(config.n_layers)]
    return {
        "model": model.path.name,
        "tokens": [{"id": i, "text": model.tokenizer.token(i)} for i in changed.ids],
        "at": at,
        "blocks": config.n_layers,
        "heads": config.n_heads,
        "small": config.count_parameters() <= SMALL,
        "attention": plain(np.stack(rows), digits=3),
        "lens": lens(model, changed, at),
        "original": best(model, original, at),
        "changed": best(model, changed, at, original),
    }


def lens(model: Model, seen: Run, at: int, n: int = 3) -> list[list[dict]]:
    """The logit lens: for each block the best next tokens, its stream read as if it were the last.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    config, weights = model.config, model.weights
    stream = np.stack([seen.trace[f"blocks.{i}.resid_out"][at] for i in range(config.n_layers)])
    logits = linear(rms_norm(stream, weights.norm, config.norm_eps), weights.output)
    return [listed(model, row, n) for row in softmax(logits)]


def best(
    model: Model, seen: Run, at: int, before: Run | None = None, n: int = BEST
) -> list[dict[str, Any]]:
    """The best next tokens, each with its probability, and with what it was ``before``."""
    found = listed(model, softmax(seen.trace["logits"][at]), n)
    if before is not None:
        earlier = softmax(before.trace["logits"][at])
        for token in found:
            token["before"] = plain(earlier[token["id"]])
    return found


def listed(model: Model, probabilities: Array["V"], n: int) -> list[dict[str, Any]]:
    """The likeliest tokens, most likely first."""
    order = np.argsort(-probabilities, kind="stable")[:n]
    return [
        {"id": int(i), "text": model.tokenizer.token(int(i)), "p": plain(probabilities[i])}
        for i in order
    ]


def head(model: Model, seen: Run, block: int, head: int) -> dict[str, Any]:
    """One head: its scores, its pattern, and its mix; a score that is masked is None."""
    check("block", block, model.config.n_layers)
    check("head", head, model.config.n_heads)
    trace = {name: seen.trace[f"blocks.{block}.{name}"][head] for name in ("masked", "pattern")}
    return {
        "scores": plain(trace["masked"], digits=4),
        "pattern": plain(trace["pattern"], digits=4),
        "mix": plain(seen.trace[f"blocks.{block}.mix"][head], digits=4),
        "key_head": head // model.config.group,
    }


def cell(
    model: Model, seen: Run, block: int, head: int, product: str, row: int, column: int
) -> dict[str, Any]:
    """One cell of a product: row times column, term by term, their sum, and the line of code.

    ``scores``: the query of token ``row``, divided by the root of the head width, with the key of
    token ``column``. ``mix``: the weights of token ``row`` with number ``column`` of all values.
    ``value`` is what went on, which is zero for the mix of a head that is switched off.
    """
    if product not in PRODUCTS:
        raise ValueError(f"there is no product {product[:40]!r}: choose {' or '.join(PRODUCTS)}")
    config, n = model.config, len(seen.ids)
    check("block", block, config.n_layers)
    check("head", head, config.n_heads)
    check("row", row, n)
    check("column", column, n if product == "scores" else config.head_dim)
    part = {name: seen.trace[f"blocks.{block}.{name}"] for name in RECORDED - {"logits"}}
    shared = head // config.group
    if product == "scores":
        left = part["q_rotated"][head, row] / math.sqrt(config.head_dim)
        right = part["k_rotated"][shared, column]
    else:
        left, right = part["pattern"][head, row], part["v"][shared, :, column]
    code, axes = library_line(product)
    found = {
        "row": plain(left),
        "column": plain(right),
        "terms": plain(left * right),
        "sum": plain(left @ right),
        "value": plain(part[product][head, row, column]),
        "code": code,
        "axes": axes,
        "where": "attend in llama_np/attention.py",
        "lesson": PRODUCTS[product],
    }
    if product == "scores":
        found["masked"] = plain(part["masked"][head, row, column])
        found["weight"] = plain(part["pattern"][head, row, column])
    return found


def library_line(product: str) -> tuple[str, str]:
    """The line of ``attend`` that makes a product, and its axes.

    >>> library_line("mix")
    ('return tap("mix", pattern @ v)', 'T S @ S K -> T K')
    """
    lines = inspect.getsource(attend).splitlines()
    line = next(line for line in lines if f'tap("{product}"' in line)
    code, _, axes = line.partition("#")
    return code.strip(), axes.strip()


def jobs(model: Model) -> list[dict[str, Any]]:
    """The heads that do a job best, of those jobs that ``weights_tools.examine`` can name."""
    with one_blas_thread():
        scores = {}
        for prompts in all_prompts(model.tokenizer).values():
            scores |= job_weights(model.weights, model.config, prompts)
    found = []
    for job in JOBS:
        score = scores[job.name]
        for flat in np.argsort(-score, axis=None, kind="stable")[:BEST_HEADS]:
            block, of_block = (int(i) for i in np.unravel_index(flat, score.shape))
            found.append(
                {
                    "job": job.name,
                    "reads": job.reads,
                    "block": block,
                    "head": of_block,
                    "weight": plain(score[block, of_block], digits=3),
                }
            )
    return found


def position(seen: Run, at: int | None) -> int:
    """Where a token stands; the last one for None."""
    at = len(seen.ids) - 1 if at is None else at
    check("token", at, len(seen.ids))
    return at


def check(what: str, number: int, count: int) -> None:
    """Raise ``ValueError`` for a number that is not among ``count`` from 0."""
    if not 0 <= number < count:
        choose = f"choose 0 to {count - 1}" if count > 0 else "there is none"
        raise ValueError(f"{what} is {number}: {choose}")


def plain(array: np.ndarray, digits: int = 6) -> Any:
    """Numbers that JSON can hold, to some significant digits; None for those that are not finite.

    >>> plain(np.array([[1 / 3, -np.inf]]), digits=3)
    [[0.333, None]]
    """

    def number(x: float) -> float | None:
        return float(f"{x:.{digits}g}") if math.isfinite(x) else None

    return np.vectorize(number, otypes=[object])(array).tolist()
