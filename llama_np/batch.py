"""Several prompts at once: they go through the model as one batch, and each is continued by itself.

A matrix is read once for all rows, so a batch of small products costs little more than one.
"""

from collections.abc import Collection, Sequence

import numpy as np

from .axes import Array
from .cache import KVCache
from .config import LlamaConfig
from .functional import softmax
from .model import check_ids, forward
from .sampling import (
    apply_temperature,
    check_sampling,
    greedy,
    keep_top_k,
    keep_top_p,
    room_to_write,
)
from .weights import Weights


def pad_left(
    prompts: Sequence[Sequence[int]], padding_id: int = 0
) -> tuple[Array["B T"], Array["B"]]:
    """Prompts of different lengths as one array, aligned at their ends, and how much was padded.

    Aligned at the end, because that is where every sequence goes on.

    >>> ids, padding = pad_left([[5, 6, 7], [8]])
    >>> ids.tolist(), padding.tolist()
    ([[5, 6, 7], [0, 0, 8]], [0, 2])
    """
    longest = max(len(prompt) for prompt in prompts)
    padding = np.array([longest - len(prompt) for prompt in prompts])
    ids = np.full((len(prompts), longest), padding_id)
    for row, prompt in zip(ids, prompts, strict=True):
        row[longest - len(prompt) :] = prompt
    return ids, padding


def padded_view(padding: Array["B"], past: int, n_new: int) -> dict[str, np.ndarray]:
    """``positions`` and ``causal_mask`` for the next ``n_new`` columns of a left-padded batch.

    Every row counts its positions from its own first token, and nobody looks at padding. Padding
    looks at itself alone, since a row that sees nothing has no softmax; its results are not used.
    Give them to ``forward``: ``forward(weights, config, ids, cache, **padded_view(...))``.

    >>> padded_view(np.array([0, 1]), past=0, n_new=2)["causal_mask"].astype(int).tolist()
    [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]
    """
    columns, keys = np.arange(past, past + n_new), np.arange(past + n_new)
    earlier = keys <= columns[:, None]  # T S
    real = keys >= padding[:, None]  # B S
    itself = keys == columns[:, None]  # T S
    positions = np.maximum(columns - padding[:, None], 0)  # B T
    return {"positions": positions, "causal_mask": earlier & real[:, None, :] | itself}


def generate_batch(
    weights: Weights,
    config: LlamaConfig,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int | None = None,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    rng: "np.random.Generator | None" = None,
    stop_tokens: Collection[int] = (),
) -> list[list[int]]:
    """The new tokens of every prompt, each list ending before its first token of ``stop_tokens``.

    The settings are those of ``sampling.generate``; greedily, each prompt is continued as there.
    The batch ends when every row has, or where the longest prompt fills the context.

    Raises ``ValueError`` as ``generate`` does, for the first prompt that has the fault.
    """
    check_sampling(temperature, top_k, top_p)
    if not len(prompts):
        raise ValueError("expected at least one prompt, got none")
    for prompt in prompts:
        check_ids(np.asarray(prompt, dtype=None if len(prompt) else int), config, past=0)
    ids, padding = pad_left(prompts)
    room = room_to_write(config, ids.shape[-1], max_new_tokens)
    if temperature and rng is None:
        rng = np.random.default_rng()
    cache = KVCache(config, ids.shape[-1] + room)
    rows: list[list[int]] = [[] for _ in prompts]
    writing = np.ones(len(prompts), dtype=bool)
    while room > 0 and writing.any():
        view = padded_view(padding, cache.length, ids.shape[-1])
        logits = forward(weights, config, ids, cache, last_only=True, **view)[:, -1]
        tokens = choose_each(logits, rng, temperature, top_k, top_p)
        writing &= ~np.isin(tokens, list(stop_tokens))
        for i in np.flatnonzero(writing):
            rows[i].append(int(tokens[i]))
        ids, room = tokens[:, None], room - 1
    return rows


def choose_each(
    logits: Array["B V"],
    rng: "np.random.Generator | None",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Array["B"]:
    """``choose`` for every row of a batch, with one throw of the dice for each; greedy needs none.

    >>> choose_each(np.array([[0.0, 1.0], [1.0, 0.0]]), np.random.default_rng(), 0.0).tolist()
    [1, 0]
    """
    if temperature == 0:
        return np.array([greedy(row) for row in logits])
    probabilities = softmax(apply_temperature(logits.astype(np.float64), temperature))
    if top_k is not None:
        probabilities = keep_top_k(probabilities, top_k)
    if top_p is not None:
        probabilities = keep_top_p(probabilities, top_p)
    reached = np.cumsum(probabilities, axis=-1)
    thrown = rng.random((len(logits), 1)) * reached[:, -1:]
    return (reached > thrown).argmax(axis=-1)
