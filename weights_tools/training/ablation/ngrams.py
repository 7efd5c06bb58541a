"""Counting as a baseline: how well the tokens just before predict the next one."""

import numpy as np

from llama_np.axes import Array


def grams(ids: Array["N"], n: int, vocab_size: int) -> Array["N-n+1"]:
    """Every run of ``n`` tokens as one whole number, written in base ``vocab_size``.

    >>> grams(np.array([1, 2, 3]), 2, vocab_size=10).tolist()
    [12, 23]
    """
    runs = np.lib.stride_tricks.sliding_window_view(np.asarray(ids, np.int64), n)
    return runs @ vocab_size ** np.arange(n, dtype=np.int64)[::-1]


def look_up(wanted: Array["N"], keys: Array["M"], values: Array["M"]) -> Array["N"]:
    """The value of each wanted key, 0 where it is not among the sorted ``keys``."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)


def ngram_losses(
    train: Array["M"], ids: Array["N"], order: int, vocab_size: int
) -> Array["N-order"]:
    """The loss of each token of ``ids``, in nats, by counts of what followed ``order`` tokens.

    p(c | h) = (count(h c) + u(h) p(c | h')) / (count(h) + u(h))

    where u(h) is how many different tokens have followed h, and h' is h without its oldest token:
    where a context was hardly seen, shorter ones decide, and at last all tokens are equally likely.
    Order 1 is a bigram model, order 2 a trigram model, interpolated. The first ``order`` tokens
    have no such context and are left out.

    Source: Witten and Bell 1991, method C, https://doi.org/10.1109/18.87000; as interpolation in
    Chen and Goodman 1998, section 2.5.

    >>> np.exp(-ngram_losses(np.array([0, 1, 0, 1, 0]), np.array([0, 1]), 1, vocab_size=2)).round(3)
    array([0.81])
    """
    p = np.full(len(ids), 1 / vocab_size)
    for n in range(1, order + 2):
        seen, times = np.unique(grams(train, n, vocab_size), return_counts=True)
        heads, first, followers = np.unique(
            seen // vocab_size, return_index=True, return_counts=True
        )
        met = np.add.reduceat(times, first)
        wanted = grams(ids, n, vocab_size)
        of_head, distinct = (look_up(wanted // vocab_size, heads, v) for v in (met, followers))
        counted, known = look_up(wanted, seen, times), of_head > 0
        p = p[-len(wanted) :]
        mixed = (counted + distinct * p) / np.maximum(of_head + distinct, 1)
        p = np.where(known, mixed, p)
    return -np.log(p)
