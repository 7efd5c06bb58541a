"""From logits to text: choosing the next token, and the loop that writes."""

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import numpy as np

from .attention import QUERY_CHUNK
from .axes import Array
from .cache import KVCache
from .config import LlamaConfig
from .functional import log_softmax, softmax
from .model import check_ids, forward
from .weights import Weights

# np.random stands in quotes: NumPy loads it when first asked for, and a greedy token never asks.

PREFILL_CHUNK = 512  # bounds the memory for scores: Hq * 512 * S numbers at a time


def greedy(logits: Array["V"]) -> int:
    """The most likely token; the first of several equals.

    PyTorch: ``torch.argmax(logits)``.

    >>> greedy(np.array([0.0, 2.0, 1.0]))
    1
    """
    return int(np.argmax(logits))


def apply_temperature(logits: Array["... V"], temperature: float) -> Array["... V"]:
    """Divide logits by a temperature above 0: below 1 sharpens the choice, above 1 flattens it.

    PyTorch: ``logits / temperature``.

    >>> apply_temperature(np.array([1.0, 2.0]), 0.5).tolist()
    [2.0, 4.0]
    """
    return logits / temperature


def keep_top_k(probabilities: Array["... V"], k: int) -> Array["... V"]:
    """Keep the k most likely tokens, and bring the rest to zero; the kept ones sum to one again.

    Of equals the one with the smaller id stays.

    transformers: ``TopKLogitsWarper``. Source: https://arxiv.org/abs/1805.04833, section 5.4.

    >>> keep_top_k(np.array([0.5, 0.3, 0.15, 0.05]), 2).round(6).tolist()
    [0.625, 0.375, 0.0, 0.0]
    """
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    kept = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(kept, order[..., :k], True, axis=-1)
    return renormalize(probabilities, kept)


def keep_top_p(probabilities: Array["... V"], p: float) -> Array["... V"]:
    """Keep the most likely tokens until together they pass p; the one that crosses p stays.

    So at least one token always stays. A token goes only where those before it hold more than p.

    transformers: ``TopPLogitsWarper``. Source: https://arxiv.org/abs/1904.09751, section 3.1;
    ``sample_top_p`` in https://github.com/meta-llama/llama3/blob/main/llama/generation.py

    >>> keep_top_p(np.array([0.5, 0.3, 0.15, 0.05]), 0.9).round(7).tolist()
    [0.5263158, 0.3157895, 0.1578947, 0.0]
    """
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=-1)
    before = np.cumsum(ordered, axis=-1) - ordered
    kept = np.zeros(probabilities.shape, dtype=bool)
    np.put_along_axis(kept, order, before <= p, axis=-1)
    return renormalize(probabilities, kept)


def renormalize(probabilities: Array["... V"], kept: Array["... V"]) -> Array["... V"]:
    """Zero where not kept, and divide by what remains."""
    remaining = np.where(kept, probabilities, 0)
    return remaining / remaining.sum(axis=-1, keepdims=True)


def choose(
    logits: Array["V"],
    rng: "np.random.Generator | None",
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> int:
    """Draw one token: temperature first, then top-k, then top-p, then a throw of the dice.

    A temperature of 0 means ``greedy`` and needs no ``rng``. The same generator state gives the
    same token.
    """
    if temperature == 0:
        return greedy(logits)
    probabilities = softmax(apply_temperature(logits.astype(np.float64), temperature))
    if top_k is not None:
        probabilities = keep_top_k(probabilities, top_k)
    if top_p is not None:
        probabilities = keep_top_p(probabilities, top_p)
    return int(rng.choice(len(probabilities), p=probabilities))


def check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise ``ValueError`` for settings that have no meaning."""
    if not temperature >= 0 or temperature == float("inf"):
        raise ValueError(f"temperature must be 0 (greedy) or more, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}; leave it out to keep all tokens")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, got {top_p}")


def prefill(
    weights: Weights, config: LlamaConfig, ids: Array["... T"], cache: KVCache
) -> Array["... V"]:
    """Fill the cache with a prompt, a chunk at a time, and return the logits behind its last token.

    Chunks, and chunks of queries within them, keep the score matrix of a long prompt from taking
    T * T numbers per head at once; they change nothing in the result.
    """
    for start in range(0, max(1, ids.shape[-1]), PREFILL_CHUNK):
        chunk = ids[..., start : start + PREFILL_CHUNK]
        logits = forward(weights, config, chunk, cache, last_only=True, query_chunk=QUERY_CHUNK)
    return logits[..., -1, :]


def generate(
    weights: Weights,
    config: LlamaConfig,
    ids: Sequence[int],
    max_new_tokens: int | None = None,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    rng: "np.random.Generator | None" = None,
    stop_tokens: Collection[int] = (),
    logprobs: bool = False,
    echo: bool = False,
) -> Iterator[int] | Iterator[tuple[int, float | None]]:
    """Continue a prompt, yielding each new token as soon as it is chosen.

    Greedy unless a ``temperature`` above 0 is given; then ``rng`` draws (a fixed seed gives the
    same text). Ends before a token of ``stop_tokens``, which is not yielded, after
    ``max_new_tokens``, or where the model's context is full. With ``logprobs`` each item is the
    token and its log-probability under the model, in nats, before temperature and cuts. With
    ``echo`` the prompt's own tokens come first; the very first has nothing before it and so None
    for its log-probability.

    Raises ``ValueError`` for an empty prompt, one that fills the context, or settings without
    meaning, and ``FloatingPointError`` when the model computes NaN.

    transformers: ``model.generate(ids, do_sample=temperature > 0, ...)``.
    """
    ids = np.asarray(ids, dtype=None if len(ids) else int)
    check_sampling(temperature, top_k, top_p)
    room = room_to_write(config, len(ids), max_new_tokens)
    check_ids(ids, config, past=0)
    if temperature and rng is None:
        rng = np.random.default_rng()
    new = write_tokens(
        weights, config, ids, room, rng, (temperature, top_k, top_p), stop_tokens, logprobs
    )
    return chain(echo_prompt(weights, config, ids, logprobs), new) if echo else new


def room_to_write(config: LlamaConfig, n_prompt: int, max_new_tokens: int | None) -> int:
    """How many tokens may follow a prompt. Raises ``ValueError`` where there is no room for any."""
    if max_new_tokens is not None and max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be 0 or more, got {max_new_tokens}")
    room = config.context_length - n_prompt
    if room < 1:
        raise ValueError(
            f"a prompt of {n_prompt} tokens leaves no room in the model's context of "
            f"{config.context_length}; shorten the prompt"
        )
    return room if max_new_tokens is None else min(room, max_new_tokens)


def echo_prompt(weights, config, ids, logprobs):
    """The prompt as ``generate`` would have yielded it."""
    if not logprobs:
        yield from ids.tolist()
        return
    yield int(ids[0]), None
    yield from zip(ids[1:].tolist(), log_probabilities(weights, config, ids).tolist(), strict=True)


def write_tokens(weights, config, ids, room, rng, settings, stop_tokens, logprobs):
    """The loop behind ``generate``: choose, yield, compute the next row; ``room`` tokens at most.

    Apart from ``generate``, so that its errors come at the call and not with the first token.
    """
    cache = KVCache(config, len(ids) + room)
    logits = prefill(weights, config, ids, cache)
    for i in range(room):
        if not np.isfinite(logits).all():
            raise FloatingPointError(
                "the model computed NaN or infinity; its weights are damaged, or not a Llama's"
            )
        token = choose(logits, rng, *settings)
        if token in stop_tokens:
            return
        yield (token, float(log_softmax(logits)[token])) if logprobs else token
        if i + 1 < room:
            logits = forward(weights, config, np.array([token]), cache, last_only=True)[-1]


def log_probabilities(
    weights: Weights, config: LlamaConfig, ids: Array["T"] | Sequence[int]
) -> Array["T-1"]:
    """How likely the model found each token of a text after those before it, in nats.

    The first token has nothing before it, so there is one number less than there are tokens.
    ``-log_probabilities(...).mean()`` is the loss on this text.
    """
    ids = np.asarray(ids)
    rows = log_softmax(forward(weights, config, ids))[:-1]
    return np.take_along_axis(rows, ids[1:, None], axis=-1)[:, 0]
