"""Lesson 06, the mask, and attention with it."""

import math

import numpy as np

from llama_np.functional import softmax
from llama_np.tap import no_tap

from .registry import wrong


@wrong(
    "the mask counts the token itself as future",
    "06/mask-why",
    right="attention.causal_mask",
    task="causal_mask",
)
def not_even_itself(query_positions, key_positions):
    """A token sees itself; the first would otherwise see nothing, and become NaN."""
    return key_positions[..., None, :] < query_positions[..., :, None]


@wrong(
    "the mask lets through one token too many",
    "06/problem",
    right="attention.causal_mask",
    task="causal_mask",
)
def one_token_ahead(query_positions, key_positions):
    """The token that is to be predicted would be in sight."""
    return key_positions[..., None, :] <= query_positions[..., :, None] + 1


@wrong("True stands for hidden", "06/mask-why", task="causal_mask")
def true_means_hidden(query_positions, key_positions):
    """The mask says who may see: True where the key is no later than the query."""
    return key_positions[None, :] > query_positions[:, None]


@wrong("rows and columns changed places", "06/mask-why", task="causal_mask")
def keys_down_queries_across(query_positions, key_positions):
    """Rows are queries, columns are keys: T S."""
    return key_positions[:, None] <= query_positions[None, :]


@wrong("later tokens are seen instead of earlier ones", "06/mask-why", task="causal_mask")
def sees_the_future(query_positions, key_positions):
    """A key may be seen where its position is less than or equal to that of the query."""
    return key_positions[None, :] >= query_positions[:, None]


@wrong("places in the table were compared instead of positions", "06/mask-why", task="causal_mask")
def places_compared(query_positions, key_positions):
    """Row 0 need not be position 0: compare the positions that are given, not the places."""
    return np.tril(np.ones((len(query_positions), len(key_positions)), dtype=bool))


@wrong("later scores became 0, not minus infinity", "06/zero-why", task="mask_scores")
def hidden_by_zero(scores, mask):
    """0 is a score like any other: exp(0) is 1, and the future would be read."""
    return np.where(mask, scores, 0.0)


@wrong("a large negative number instead of minus infinity", "06/zero-why", task="mask_scores")
def hidden_by_a_billion(scores, mask):
    """-1e9 hides mistakes that minus infinity shows as NaN, and float16 has no such number."""
    return np.where(mask, scores, -1e9)


@wrong("the visible scores were hidden", "06/apply-why", task="mask_scores")
def hidden_the_visible(scores, mask):
    """mask is True where the score stays; where it is False, minus infinity goes."""
    return np.where(mask, -np.inf, scores)


@wrong("minus infinity was added for all", "06/apply-why", task="mask_scores")
def hidden_everything(scores, mask):
    """Only the hidden scores change: np.where chooses between the two, number by number."""
    return np.full_like(scores, -np.inf)


def attend_with(scale=lambda q: math.sqrt(q.shape[-1]), hide=-np.inf, axis=-1):
    """``attend`` with something else in one of its places."""

    def attend(q, k, v, mask, tap=no_tap):
        scores = tap("scores", q @ k.swapaxes(-1, -2) / scale(q))
        mask = True if mask is None else mask
        masked = tap("masked", np.where(mask, scores, hide))
        pattern = tap("pattern", softmax(masked.swapaxes(axis, -1)).swapaxes(axis, -1))
        return tap("mix", pattern @ v)

    return attend


@wrong("divided by sqrt(D), not sqrt(K)", "04/scale-why", right="attention.attend")
def divide_by_the_root_of_the_whole_width(q, k, v, mask, tap=no_tap):
    """A score sums over one head's K products, not over those of all heads together."""
    return attend_with(scale=lambda q: math.sqrt(q[..., 0, :].size))(q, k, v, mask, tap)


@wrong("not divided by sqrt(K)", "04/scale-why", right="attention.attend", task="attend")
def do_not_divide(q, k, v, mask, tap=no_tap):
    """Then the spread of the scores grows with the head width, and softmax picks one token."""
    return attend_with(scale=lambda q: 1)(q, k, v, mask, tap)


@wrong(
    "later scores became 0, not minus infinity",
    "06/zero-why",
    right="attention.attend",
    task="attend",
)
def set_future_scores_to_zero(q, k, v, mask, tap=no_tap):
    """Weights become zero, scores minus infinity: exp(0) is 1, and the future would be seen."""
    return attend_with(hide=0)(q, k, v, mask, tap)


@wrong("softmax over the wrong axis", "06/apply-why", right="attention.attend", task="attend")
def softmax_over_the_queries(q, k, v, mask, tap=no_tap):
    """Each query shares its attention out over the keys, so rows sum to one, not columns."""
    with np.errstate(invalid="ignore"):
        return attend_with(axis=-2)(q, k, v, mask, tap)


@wrong(
    "weights set to zero after the softmax",
    "06/zero-why",
    right="attention.attend",
    task="attend",
)
def zero_the_weights_after_softmax(q, k, v, mask, tap=no_tap):
    """Future weights are zero, but the row no longer sums to one."""

    def cut(name, value):
        return tap(name, np.where(mask, value, 0) if name == "pattern" else value)

    return attend_with()(q, k, v, np.ones_like(mask), cut)


@wrong("the mask came after the softmax", "06/apply-why", task="attend")
def hidden_after_the_softmax(q, k, v, mask):
    """Minus infinity belongs to the scores: the softmax makes a weight of 0 of it."""
    pattern = softmax(q @ k.T / math.sqrt(q.shape[-1]))
    return np.where(mask, pattern, -np.inf) @ v


@wrong("the mask is not used", "06/apply-why", task="attend")
def attend_to_everything(q, k, v, mask):
    """Every token would read the future: scores of hidden keys become minus infinity first."""
    return attend_with()(q, k, v, np.ones_like(mask))


@wrong("keys were mixed instead of values", "04/mix-why", task="attend")
def attend_and_mix_keys(q, k, v, mask):
    """By its key a token is found; what it hands over is its value."""
    return attend_with()(q, k, k, mask)


@wrong("a triangle of its own in the place of the mask", "06/apply-why", task="attend")
def attend_with_a_triangle(q, k, v, mask):
    """The mask that is given says who sees whom: queries need not begin where the keys do."""
    return attend_with()(q, k, v, np.tril(np.ones_like(mask)))
