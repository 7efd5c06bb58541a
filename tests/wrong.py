"""Plausible misconceptions. Each is a function that runs, gives the right shape, and is wrong.

``instead_of`` says which function it would replace and which check must notice.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from llama_np.attention import attention, remember_nothing
from llama_np.feed_forward import swiglu
from llama_np.functional import softmax
from llama_np.model import block, forward
from llama_np.norm import rms_norm
from llama_np.rope import rope_frequencies, rotate
from llama_np.tap import no_tap

from .checks import check_decoding, check_forward, check_top_p


class Wrong(NamedTuple):
    right: str
    function: Callable
    check: Callable[[], None]


WRONG: list[Wrong] = []


def instead_of(right: str, check: Callable[[], None] = check_forward):
    def register(function):
        WRONG.append(Wrong(right, function, check))
        return function

    return register


# --- norm ---


@instead_of("norm.rms_norm")
def eps_outside_the_root(x, weight, eps):
    """The paper's code and Meta's add eps to the mean square, before the root."""
    return x / (np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + eps) * weight


@instead_of("norm.rms_norm")
def subtract_the_mean(x, weight, eps):
    """That is LayerNorm; RMSNorm only divides."""
    return rms_norm(x - x.mean(axis=-1, keepdims=True), weight, eps)


@instead_of("norm.rms_norm")
def norm_over_the_tokens(x, weight, eps):
    """Each token's row is normalised by itself; a column would mix tokens, future ones too."""
    return x / np.sqrt(np.mean(x * x, axis=-2, keepdims=True) + eps) * weight


# --- rope ---


@instead_of("rope.rotate_complex")
def split_halves(x, positions, frequencies):
    """Hugging Face's pairs (i, i + K/2): right for its permuted weights, wrong for Meta's."""
    halves = x.reshape(*x.shape[:-1], 2, -1).swapaxes(-1, -2).reshape(x.shape)
    turned = rotate(halves, positions, frequencies)
    return turned.reshape(*x.shape[:-1], -1, 2).swapaxes(-1, -2).reshape(x.shape)


@instead_of("rope.rotate_complex")
def turn_the_other_way_for_queries_only(x, positions, frequencies):
    """Scores depend on m - n because q and k turn the same way; here heads tell them apart."""
    return rotate(x, positions, -frequencies if x.shape[-3] == 6 else frequencies)


@instead_of("rope.rope_frequencies")
def degrees(head_width, theta, scaling=None):
    """Angles are radians: the first pair turns by 57 degrees per position, not by one."""
    return np.deg2rad(rope_frequencies(head_width, theta, scaling))


@instead_of("rope.scale_frequencies")
def no_scaling(frequencies, scaling):
    """The code of Llama 3.1 is not identical to that of Llama 3: slow pairs are slowed down."""
    return frequencies


@instead_of("rope.scale_frequencies")
def scale_every_frequency(frequencies, scaling):
    """Fast pairs are kept: dividing all of them would blur neighbouring tokens."""
    return frequencies / scaling.factor


@instead_of("attention.attention")
def rotate_values_too(
    x, wq, wk, wv, wo, head_width, positions, frequencies, may_see,
    remember=remember_nothing, query_chunk=None, tap=no_tap,
):  # fmt: skip
    """Positions belong into the scores; a turned value would carry its position into the stream."""

    def remember_turned(k, v):
        return remember(k, rotate(v, positions[..., None, :], frequencies))

    return attention(
        x, wq, wk, wv, wo, head_width, positions, frequencies, may_see,
        remember_turned, query_chunk, tap,
    )  # fmt: skip


# --- attention ---


def attend_with(scale=lambda q: math.sqrt(q.shape[-1]), hide=-np.inf, axis=-1):
    """``attend`` with something else in one of its places."""

    def attend(q, k, v, may_see, tap=no_tap):
        scores = tap("scores", q @ k.swapaxes(-1, -2) / scale(q))
        masked = tap("masked", np.where(may_see, scores, hide))
        pattern = tap("pattern", softmax(masked.swapaxes(axis, -1)).swapaxes(axis, -1))
        return tap("mix", pattern @ v)

    return attend


@instead_of("attention.attend")
def divide_by_the_root_of_the_whole_width(q, k, v, may_see, tap=no_tap):
    """A score sums over one head's K products, not over those of all heads together."""
    return attend_with(scale=lambda q: math.sqrt(q[..., 0, :].size))(q, k, v, may_see, tap)


@instead_of("attention.attend")
def do_not_divide(q, k, v, may_see, tap=no_tap):
    """Then the spread of the scores grows with the head width, and softmax picks one token."""
    return attend_with(scale=lambda q: 1)(q, k, v, may_see, tap)


@instead_of("attention.attend")
def set_future_scores_to_zero(q, k, v, may_see, tap=no_tap):
    """Weights become zero, scores minus infinity: exp(0) is 1, and the future would be seen."""
    return attend_with(hide=0)(q, k, v, may_see, tap)


@instead_of("attention.attend")
def softmax_over_the_queries(q, k, v, may_see, tap=no_tap):
    """Each query shares its attention out over the keys, so rows sum to one, not columns."""
    with np.errstate(invalid="ignore"):
        return attend_with(axis=-2)(q, k, v, may_see, tap)


@instead_of("attention.attend")
def zero_the_weights_after_softmax(q, k, v, may_see, tap=no_tap):
    """Future weights are zero, but the row no longer sums to one."""

    def cut(name, value):
        return tap(name, np.where(may_see, value, 0) if name == "pattern" else value)

    return attend_with()(q, k, v, np.ones_like(may_see), cut)


@instead_of("attention.may_see")
def not_even_itself(query_positions, key_positions):
    """A token sees itself; the first would otherwise see nothing, and become NaN."""
    return key_positions[..., None, :] < query_positions[..., :, None]


@instead_of("attention.may_see")
def one_token_ahead(query_positions, key_positions):
    """The token that is to be predicted would be in sight."""
    return key_positions[..., None, :] <= query_positions[..., :, None] + 1


@instead_of("attention.attend_grouped")
def tile_the_keys(q, k, v, may_see, tap=no_tap):
    """Neighbouring query heads share a key head: 0 0 0 1 1 1 (repeat), not 0 1 0 1 0 1 (tile)."""
    group = q.shape[-3] // k.shape[-3]
    k, v = (np.concatenate([each] * group, axis=-3) for each in (k, v))
    return attend_with()(q, k, v, may_see[..., None, :, :], tap)


@instead_of("attention.merge_heads")
def merge_heads_without_swapping(x):
    """A reshape alone mixes tokens: the head axis must go beside the head width first."""
    return x.reshape(*x.shape[:-3], x.shape[-2], -1)


# --- feed forward and block ---


@instead_of("feed_forward.swiglu")
def gate_and_up_swapped(x, w_gate, w_up, w_down, tap=no_tap):
    """The product looks symmetric, but silu is around one of the two only."""
    return swiglu(x, w_up, w_gate, w_down, tap)


@instead_of("model.block")
def add_to_the_normalised_copy(
    x, layer, config, positions, frequencies, may_see, remember=None, query_chunk=None, tap=no_tap
):
    """The stream itself is never normalised: each half adds to what was there before its norm."""
    normed = tap("attn_norm", rms_norm(x, layer.attn_norm, config.norm_eps))
    x = tap("resid_mid", normed + attention(
        normed, layer.wq, layer.wk, layer.wv, layer.wo,
        config.head_width, positions, frequencies, may_see, remember, query_chunk, tap,
    ))  # fmt: skip
    normed = tap("ffn_norm", rms_norm(x, layer.ffn_norm, config.norm_eps))
    return tap("resid_out", normed + swiglu(normed, layer.w_gate, layer.w_up, layer.w_down, tap))


@instead_of("model.block")
def norm_after_the_step(
    x, layer, config, positions, frequencies, may_see, remember=None, query_chunk=None, tap=no_tap
):
    """That is the Transformer of 2017; Llama normalises what a step reads, not what it writes."""
    out = block(x, layer, config, positions, frequencies, may_see, remember, query_chunk, tap)
    return tap("resid_out", rms_norm(out, layer.ffn_norm, config.norm_eps))


# --- with a cache ---


@instead_of("model.forward", check_decoding)
def position_one_too_high_after_the_prompt(weights, config, ids, cache=None, **options):
    """Counted from 0, a prompt of L tokens ends at L - 1: the next stands at L, not L + 1."""
    past = 0 if cache is None else cache.length
    positions = np.arange(past, past + ids.shape[-1]) + (past > 0)
    return forward(weights, config, ids, cache, positions=positions, **options)


@instead_of("model.forward", check_decoding)
def position_zero_for_every_new_token(weights, config, ids, cache=None, **options):
    """A call with one new token does not start a new text."""
    return forward(weights, config, ids, cache, positions=np.arange(ids.shape[-1]), **options)


@instead_of("model.forward", check_decoding)
def mask_off_by_one_after_caching(weights, config, ids, cache=None, **options):
    """The new token's own key stands last; a mask from the old length leaves it out."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    may_see = np.tri(new, past + new, past - (past > 0), dtype=bool)
    return forward(weights, config, ids, cache, may_see=may_see, **options)


@instead_of("model.forward", check_decoding)
def mask_from_the_corner_after_caching(weights, config, ids, cache=None, **options):
    """The diagonal of a T by S mask ends in the lower right corner, not in the upper left."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    may_see = np.tri(new, past + new, dtype=bool)
    return forward(weights, config, ids, cache, may_see=may_see, **options)


@instead_of("model.forward", check_decoding)
def no_mask_for_a_chunk_after_caching(weights, config, ids, cache=None, **options):
    """One new token may see everything; of several, the first may not see the last."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    first = np.tri(new, dtype=bool)
    may_see = np.ones((new, past + new), bool) if past else first
    return forward(weights, config, ids, cache, may_see=may_see, **options)


# --- sampling ---


@instead_of("sampling.keep_top_p", check_top_p)
def drop_the_token_that_crosses(probabilities, p):
    """The kept ones would hold less than p, and with a sure model nothing would be left."""
    kept = np.cumsum(probabilities) < p
    kept[0] = True
    remaining = np.where(kept, probabilities, 0)
    return remaining / remaining.sum()
