"""From logits to text: choosing the next token, and the loop that writes, one text or many."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from .axes import Array
from .cache import KVCache
from .config import LlamaConfig
from .functional import log_softmax, softmax
from .model import check_ids, forward
from .weights import Weights

# np.random stands in quotes: NumPy loads it when first asked for, and a greedy token never asks.

PREFILL_CHUNK = 512  # bounds the memory for a long prompt: so many positions at a time


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the next token is chosen, in this order: the penalty for repetition, the temperature,
    top-k, top-p, min-p, and a draw.

    A temperature of 0, the default, is greedy: always the likeliest token. None keeps all tokens.
    ``repetition_penalty`` above 1 makes tokens less likely that stand in the text already, prompt
    included; 1 changes nothing. Raises ``ValueError`` for settings without meaning.

    transformers: ``GenerationConfig(do_sample=temperature > 0, temperature, top_k, top_p, min_p,
    repetition_penalty)``.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self):
        if not 0 <= self.temperature < float("inf"):  # NaN is refused too
            raise ValueError(f"temperature must be 0 (greedy) or more, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(
                f"top_k must be at least 1, got {self.top_k}; leave it out to keep all tokens"
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.min_p is not None and not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be between 0 and 1, got {self.min_p}")
        if not 0 < self.repetition_penalty < float("inf"):
            raise ValueError(
                f"repetition_penalty must be above 0, got {self.repetition_penalty}; 1 is none"
            )


GREEDY = Sampling()


def greedy(logits: Array["... V"]) -> Array["..."]:
    """The most likely token of each row; the first of several equals.

    PyTorch: ``logits.argmax(-1)``.

    >>> int(greedy(np.array([0.0, 2.0, 1.0])))
    1
    """
    return np.argmax(logits, axis=-1)


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


def keep_min_p(probabilities: Array["... V"], p: float) -> Array["... V"]:
    """Keep the tokens that are at least p times as likely as the likeliest, which always stays.

    transformers: ``MinPLogitsWarper``. Source: https://arxiv.org/abs/2407.01082

    >>> keep_min_p(np.array([0.5, 0.3, 0.15, 0.05]), 0.5).round(6).tolist()
    [0.625, 0.375, 0.0, 0.0]
    """
    return renormalize(probabilities, probabilities >= p * probabilities.max(-1, keepdims=True))


def penalize_repetition(
    logits: Array["... V"], seen: Array["... V"], penalty: float
) -> Array["... V"]:
    """Push down the logits of tokens that were seen: divide those above 0, multiply those below.

    transformers: ``RepetitionPenaltyLogitsProcessor``. Source: https://arxiv.org/abs/1909.05858,
    whose formula divides negative logits too, and so would make their tokens likelier.

    >>> penalize_repetition(np.array([2.0, -2.0, 2.0]), np.array([True, True, False]), 2.0).tolist()
    [1.0, -4.0, 2.0]
    """
    pushed = np.where(logits > 0, logits / penalty, logits * penalty)
    return np.where(seen, pushed, logits).astype(logits.dtype)


def renormalize(probabilities: Array["... V"], kept: Array["... V"]) -> Array["... V"]:
    """Zero where not kept, and divide by what remains."""
    remaining = np.where(kept, probabilities, 0)
    return remaining / remaining.sum(axis=-1, keepdims=True)


def probabilities_of(logits: Array["... V"], sampling: Sampling) -> Array["... V"]:
    """What a token is drawn from, at a temperature above 0: float64, each row sums to one.

    What was seen before is not known here: the penalty for repetition is no part of it. The
    largest logit is taken off first. That changes no probability, and even the smallest temperature
    then divides without overflow: what is left is greedy.
    """
    with np.errstate(over="ignore"):
        below = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        probabilities = softmax(apply_temperature(below, sampling.temperature))
    if sampling.top_k is not None:
        probabilities = keep_top_k(probabilities, sampling.top_k)
    if sampling.top_p is not None:
        probabilities = keep_top_p(probabilities, sampling.top_p)
    if sampling.min_p is not None:
        probabilities = keep_min_p(probabilities, sampling.min_p)
    return probabilities


def sample(
    logits: Array["... V"],
    sampling: Sampling = GREEDY,
    rng: "np.random.Generator | None" = None,
    seen: Array["... V"] | None = None,
) -> Array["..."]:
    """One token for each row of logits. The same generator state gives the same tokens.

    A draw is a throw onto a line from 0 to 1 on which every token has a stretch as long as its
    probability. Greedy needs no ``rng``. A logit of minus infinity is never drawn. ``seen`` says
    which tokens the penalty for repetition is for; without it, none.

    Raises ``FloatingPointError`` for a row with NaN or infinity, or with nothing that can be drawn.

    PyTorch: ``torch.multinomial(probabilities, 1)``.

    >>> sample(np.array([[0.0, 1.0], [1.0, 0.0]])).tolist()
    [1, 0]
    """
    if not np.isfinite(logits.max(axis=-1)).all():  # NaN is the largest of its row
        raise FloatingPointError(
            "logits with NaN or infinity, from which no token can be drawn; what computed them?"
        )
    if seen is not None and sampling.repetition_penalty != 1:
        logits = penalize_repetition(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return greedy(logits)
    ends = np.cumsum(probabilities_of(logits, sampling), axis=-1)
    thrown = rng.random((*logits.shape[:-1], 1)) * ends[..., -1:]
    return (ends > thrown).argmax(axis=-1)


def generate(
    weights: Weights,
    config: LlamaConfig,
    ids: Sequence[int],
    max_new_tokens: int | None = None,
    sampling: Sampling = GREEDY,
    *,
    rng: "np.random.Generator | None" = None,
    stop_tokens: Collection[int] = (),
    vocab_size: int | None = None,
) -> Iterator[int]:
    """Continue a prompt, yielding each new token as soon as it is chosen.

    Ends before a token of ``stop_tokens``, which is not yielded, after ``max_new_tokens``, or where
    the model's context is full. Where ``sampling`` draws, ``rng`` throws the dice: a fixed seed
    gives the same text. ``vocab_size`` is the tokenizer's: ids from there on, with which a model's
    vocabulary may be padded, are then never chosen.

    Raises ``ValueError`` for an empty prompt or one that fills the context, and
    ``FloatingPointError`` when the model computes NaN.

    transformers: ``model.generate(ids, ...)``.
    """
    steps = generation_steps(
        weights, config, ids, max_new_tokens, sampling, rng=rng, vocab_size=vocab_size
    )

    def tokens() -> Iterator[int]:  # apart, so that errors come at the call, not with a token
        for token, _ in steps:
            if int(token) in stop_tokens:
                return
            yield int(token)

    return tokens()


def generate_batch(
    weights: Weights,
    config: LlamaConfig,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int | None = None,
    sampling: Sampling = GREEDY,
    *,
    rng: "np.random.Generator | None" = None,
    stop_tokens: Collection[int] = (),
    vocab_size: int | None = None,
) -> list[list[int]]:
    """``generate`` for many prompts at once: the new tokens of each, without its stop token.

    Greedily, each prompt is continued as it would be alone. The batch ends when every row has, or
    where the longest prompt fills the context.

    Raises ``ValueError`` as ``generate`` does, for the first prompt that has the fault.
    """
    if not len(prompts):
        raise ValueError("expected at least one prompt, got none")
    for prompt in prompts:
        check_ids(as_ids(prompt), config, past=0)
    ids, padding = pad_left(prompts)
    rows: list[list[int]] = [[] for _ in prompts]
    writing = np.ones(len(prompts), dtype=bool)
    steps = generation_steps(
        weights, config, ids, max_new_tokens, sampling,
        rng=rng, padding=padding, vocab_size=vocab_size,
    )  # fmt: skip
    for tokens, _ in steps:
        writing &= ~np.isin(tokens, list(stop_tokens))
        for i in np.flatnonzero(writing):
            rows[i].append(int(tokens[i]))
        if not writing.any():
            break
    return rows


def generation_steps(
    weights: Weights,
    config: LlamaConfig,
    ids: Array["... T"] | Sequence[int],
    max_new_tokens: int | None = None,
    sampling: Sampling = GREEDY,
    *,
    rng: "np.random.Generator | None" = None,
    padding: Array["..."] | None = None,
    vocab_size: int | None = None,
) -> Iterator[tuple[Array["..."], Array["... V"]]]:
    """Token after token, each with the logits that it was chosen from; nothing stops it but room.

    ``ids`` may have leading axes: every sequence gets one token a step. ``padding`` says how much
    of each row is padding in front: see ``pad_left``. Raises as ``generate`` does; ``vocab_size``
    is as there.
    """
    ids = as_ids(ids)
    room = room_to_write(config, ids.shape[-1], max_new_tokens)
    check_ids(ids, config, past=0)
    if sampling.temperature and rng is None:
        rng = np.random.default_rng()
    return write_tokens(weights, config, ids, room, sampling, rng, padding, vocab_size)


def write_tokens(
    weights: Weights,
    config: LlamaConfig,
    ids: Array["... T"],
    room: int,
    sampling: Sampling,
    rng: "np.random.Generator | None",
    padding: Array["..."] | None,
    vocab_size: int | None,
) -> Iterator[tuple[Array["..."], Array["... V"]]]:
    """The loop behind ``generation_steps``: the prompt goes in, then each token that was chosen."""
    cache, seen = KVCache(config, ids.shape[-1] + room), None
    if sampling.repetition_penalty != 1:
        seen = tokens_seen(ids, config.vocab_size, padding)
    for _ in range(room):
        logits = prefill(weights, config, ids, cache, padding)
        if not np.isfinite(logits).all():
            raise FloatingPointError(
                "the model computed NaN or infinity; its weights are damaged, or not a Llama's"
            )
        known = None if seen is None else seen[..., :vocab_size]
        tokens = sample(logits[..., :vocab_size], sampling, rng, known)
        yield tokens, logits
        ids = tokens[..., None]
        if seen is not None:
            np.put_along_axis(seen, ids, True, axis=-1)


def tokens_seen(
    ids: Array["... T"], vocab_size: int, padding: Array["..."] | None = None
) -> Array["... V"]:
    """Which tokens stand in each text; what only pads it in front does not count.

    >>> tokens_seen(np.array([3, 1, 3]), 5).astype(int).tolist()
    [0, 1, 0, 1, 0]
    """
    padding = np.zeros(ids.shape[:-1], int) if padding is None else padding
    real = np.arange(ids.shape[-1]) >= padding[..., None]
    seen = np.zeros((*ids.shape[:-1], vocab_size), bool)
    first_real = np.take_along_axis(ids, padding[..., None], axis=-1)  # marked in padding's place
    np.put_along_axis(seen, np.where(real, ids, first_real), True, axis=-1)
    return seen


def prefill(
    weights: Weights,
    config: LlamaConfig,
    ids: Array["... T"],
    cache: KVCache,
    padding: Array["..."] | None = None,
) -> Array["... V"]:
    """Fill the cache with new ids, a prompt or one token, and return the logits behind the last.

    A long prompt goes in a chunk at a time: its score matrix would take T * T numbers per head at
    once. Chunks change nothing in the result.
    """
    for start in range(0, ids.shape[-1], PREFILL_CHUNK):
        chunk = ids[..., start : start + PREFILL_CHUNK]
        view = {} if padding is None else padded_view(padding, cache.length, chunk.shape[-1])
        logits = forward(weights, config, chunk, cache, last_only=True, **view)
    return logits[..., -1, :]


def as_ids(ids: Array["... T"] | Sequence[int]) -> Array["... T"]:
    """An array of ids; empty ones are whole numbers too."""
    return np.asarray(ids, dtype=None if np.size(ids) else int)


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
    """``positions`` and ``mask`` for the next ``n_new`` columns of a left-padded batch.

    Every row counts its positions from its own first token, and nobody looks at padding. Padding
    looks at itself alone, since a row that sees nothing has no softmax; its results are not used.
    Give them to ``forward``: ``forward(weights, config, ids, cache, **padded_view(...))``.

    >>> padded_view(np.array([0, 1]), past=0, n_new=2)["mask"].astype(int).tolist()
    [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]
    """
    columns, keys = np.arange(past, past + n_new), np.arange(past + n_new)
    earlier = keys <= columns[:, None]  # T S
    real = keys >= padding[:, None]  # B S
    itself = keys == columns[:, None]  # T S
    positions = np.maximum(columns - padding[:, None], 0)  # B T
    return {"positions": positions, "mask": earlier & real[:, None, :] | itself}


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
