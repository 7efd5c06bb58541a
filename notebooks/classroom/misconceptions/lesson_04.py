"""Lesson 04, attention: one head."""

import math

import numpy as np

from llama_np.functional import softmax

from .lesson_02 import ONE_SUM
from .registry import wrong


@wrong("not divided by sqrt(K)", "04/scale-why", task="scores")
def undivided_scores(q, k):
    """Undivided, the spread of the scores grows with the head width."""
    return q @ k.T


@wrong("divided by K, not by its root", "04/scale-answer", task="scores")
def divided_by_the_width(q, k):
    """The spread of a sum of K products grows with the root of K: dividing by K overdoes it."""
    return q @ k.T / q.shape[-1]


@wrong("multiplied by sqrt(K), not divided", "04/scale-why", task="scores")
def multiplied_by_the_root(q, k):
    """A sum of K products is too wide by the root of K: dividing brings it back."""
    return q @ k.T * math.sqrt(q.shape[-1])


@wrong("divided by the root of the number of keys", "04/scale-why", task="scores")
def divided_by_the_keys(q, k):
    """What is summed up in a score are the K products of one head, however long the text is."""
    return q @ k.T / math.sqrt(len(k))


@wrong("queries and keys changed places", "04/score-all-why", task="scores")
def keys_in_the_rows(q, k):
    """Row t belongs to the token that asks, column s to the token that is asked."""
    return k @ q.T / math.sqrt(q.shape[-1])


@wrong("softmax over the wrong axis", "04/softmax-why", task="softmax")
def softmax_of_columns(x):
    """Every row shares out its own weight: rows sum to one, columns need not."""
    with np.errstate(all="ignore"):
        return softmax(x.T).T


@wrong("softmax over the whole matrix", "04/softmax-why", task="softmax")
def softmax_of_everything(x):
    """The sum goes along each row by itself, so that every row sums to one."""
    return softmax(x.ravel()).reshape(x.shape)


@wrong(ONE_SUM, "04/softmax-why", task="softmax")
def softmax_with_one_sum(x):
    """Every row sums to one by itself: sum(axis=-1, keepdims=True)."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum()


@wrong("one maximum for the whole table instead of one for each row", "04/softmax-why",
       task="softmax")  # fmt: skip
def softmax_with_one_maximum(x):
    """Beside a row of far larger scores, all powers of a row are 0: subtract each row's own."""
    powers = np.exp(x - x.max())
    return powers / powers.sum(axis=-1, keepdims=True)


@wrong("the axis is gone: keepdims is missing", "04/softmax-why", task="softmax")
def softmax_without_keepdims(x):
    """A maximum and a sum for each row have to stand as columns, T 1, beside their rows."""
    powers = np.exp(x - x.max(axis=-1))
    return powers / powers.sum(axis=-1)


@wrong("the largest score was not subtracted", "04/softmax-why", task="softmax")
def overflowing_softmax(x):
    """exp(710) is beyond the largest number of the computer: subtract the row's largest first."""
    with np.errstate(all="ignore"):
        powers = np.exp(x)
        return powers / powers.sum(axis=-1, keepdims=True)


@wrong("not divided by the sum of the row", "04/softmax-why", task="softmax")
def powers_alone(x):
    """Exponentials are positive; only the division makes shares of them that sum to one."""
    return np.exp(x - x.max(axis=-1, keepdims=True))


@wrong("softmax is left out", "04/softmax-why", task="mix")
def scores_as_weights(q, k, v):
    """Scores can be negative and sum to anything: softmax makes shares of them."""
    return q @ k.T / math.sqrt(q.shape[-1]) @ v


@wrong("keys were mixed instead of values", "04/mix-why", task="mix")
def keys_mixed(q, k, v):
    """By its key a token is found; what it hands over is its value."""
    return softmax(q @ k.T / math.sqrt(q.shape[-1])) @ k


@wrong("softmax over the wrong axis", "04/softmax-why", task="mix")
def mixed_by_columns(q, k, v):
    """Every query shares out its own weight over the keys: rows sum to one."""
    return softmax((q @ k.T / math.sqrt(q.shape[-1])).T).T @ v


@wrong("not divided by sqrt(K)", "04/scale-why", task="mix")
def mixed_undivided(q, k, v):
    """Undivided, the spread of the scores grows with the head width, and softmax gets too sharp."""
    return softmax(q @ k.T) @ v
