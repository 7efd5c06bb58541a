"""A sentence through the model under a tap: every activation under its name in ``llama_np.tap``."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from llama_np import forward, patch, record
from weights_tools.load import Model

from .interventions import check, replacements

MOST_TOKENS = 64  # a pattern of more can hardly be read


class Run(NamedTuple):
    """A sentence that went through the model, and every activation on its way."""

    ids: tuple[int, ...]
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


def run(
    model: Model, ids: Sequence[int], changes: Sequence[str] = (), other: Run | None = None
) -> Run:
    """Send ids through the model with ``changes``, some of which take from ``other``.

    See ``interventions.FORMS``.
    """
    trace: dict[str, np.ndarray] = {}
    given = None if other is None else other.trace
    changed = replacements(changes, model.config, len(ids), trace, given)
    forward(model.weights, model.config, np.array(ids), tap=record(trace, tap=patch(changed)))
    return Run(tuple(ids), trace)


def position(seen: Run, at: int | None) -> int:
    """Where a token stands; the last one for None."""
    at = len(seen.ids) - 1 if at is None else at
    check("token", at, len(seen.ids))
    return at


def tokens_of(model: Model, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Each id with its text."""
    return [{"id": int(i), "text": model.tokenizer.token(int(i))} for i in ids]


def plain(array: np.ndarray, digits: int = 6) -> Any:
    """Numbers that JSON can hold, to some significant digits; None for those that are not finite.

    >>> plain(np.array([[1 / 3, -np.inf]]), digits=3)
    [[0.333, None]]
    """

    def number(x: float) -> float | None:
        return float(f"{x:.{digits}g}") if math.isfinite(x) else None

    return np.vectorize(number, otypes=[object])(array).tolist()
