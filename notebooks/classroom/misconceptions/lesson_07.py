"""Lesson 07, many heads."""

import math
from typing import NamedTuple

import numpy as np

from llama_np.attention import attend_grouped, merge_heads, split_heads
from llama_np.attention import attention as attention_of_model
from llama_np.rope import apply_rotary, rotate
from llama_np.tap import no_tap

from ..check.references import attention
from .lesson_06 import attend_with
from .registry import wrong


@wrong("reshape alone mixes the tokens", "07/once-trap", task="split_heads")
def split_without_swapping(x, head_dim):
    """reshape fills head 0 with the first numbers it finds: all heads of the first tokens."""
    return x.reshape(-1, len(x), head_dim)


@wrong("the head axis is not in front", "07/once-why", task="split_heads")
def heads_behind_tokens(x, head_dim):
    """After the cut the axes are T Hq K: swap the first two, so that each head is a matrix T K."""
    return x.reshape(len(x), -1, head_dim)


@wrong("a head took columns from all over the row", "07/loop-why", task="split_heads")
def scattered_columns(x, head_dim):
    """The first K columns are head 0's, the next K head 1's: they lie side by side."""
    return x.reshape(len(x), head_dim, -1).transpose(2, 0, 1)


@wrong(
    "reshape alone mixes the tokens",
    "07/once-trap",
    right="attention.merge_heads",
    task="merge_heads",
)
def merge_heads_without_swapping(x):
    """A reshape alone mixes tokens: the head axis must go beside the head width first."""
    return x.reshape(*x.shape[:-3], x.shape[-2], -1)


@wrong("the heads were added up", "07/concat-why", task="merge_heads")
def heads_added(x):
    """They are laid side by side: nothing is added up before wo."""
    return x.sum(axis=0)


@wrong("the numbers of the heads alternate", "07/concat-why", task="merge_heads")
def heads_alternate(x):
    """All numbers of head 0 come first, then all of head 1."""
    return x.transpose(1, 2, 0).reshape(x.shape[1], -1)


@wrong("tile instead of repeat: head 1 now reads key head 1", "07/repeat-why", task="key_head")
def key_heads_in_turn(head, n_heads, n_kv_heads):
    """Neighbouring query heads share a key head: 0 0 0 1 1 1 (repeat), not 0 1 0 1 0 1 (tile)."""
    return head % n_kv_heads


@wrong("divided by the number of key heads", "07/loop-why", task="key_head")
def divided_by_the_key_heads(head, n_heads, n_kv_heads):
    """Divide by the size of a group, n_heads // n_kv_heads: so many neighbours share a key head."""
    return head // n_kv_heads


@wrong("every query head has a key head of its own", "07/loop-why", task="key_head")
def own_key_head(head, n_heads, n_kv_heads):
    """There are fewer key heads than query heads: a group shares one."""
    return head


@wrong(
    "tile instead of repeat: head 1 now reads key head 1",
    "07/repeat-why",
    right="attention.attend_grouped",
    task="attend_grouped",
)
def tile_the_keys(q, k, v, mask, tap=no_tap):
    """Neighbouring query heads share a key head: 0 0 0 1 1 1 (repeat), not 0 1 0 1 0 1 (tile)."""
    group = q.shape[-3] // k.shape[-3]
    k, v = (np.concatenate([each] * group, axis=-3) for each in (k, v))
    mask = None if mask is None else mask[..., None, :, :]
    return attend_with()(q, k, v, mask, tap)


@wrong("the values were tiled, the keys repeated", "07/repeat-why", task="attend_grouped")
def tile_the_values(q, k, v, mask):
    """Keys and values of a token belong together: both are shared in the same way."""
    group = len(q) // len(k)
    return attend_with()(q, np.repeat(k, group, axis=0), np.concatenate([v] * group), mask)


@wrong("all query heads read key head 0", "07/share-why", task="attend_grouped")
def first_key_head_only(q, k, v, mask):
    """That is multi-query attention; here every group has a key head of its own."""
    return attend_with()(q, k[0], v[0], mask)


@wrong("values were turned too", "05/distance-model", right="attention.attention")
def rotate_values_too(x, layer, config, rotations, mask, cache=None, tap=no_tap):
    """Positions belong into the scores; a turned value would carry its position into the stream."""
    turning = TurnedValues(rotations, cache)
    return attention_of_model(x, layer, config, rotations, mask, turning, tap)


class TurnedValues(NamedTuple):
    """A layer's cache, or none, that turns what it is given."""

    rotations: np.ndarray
    cache: object

    def update(self, k, v):
        v = apply_rotary(v, self.rotations[..., None, :, :])
        return (k, v) if self.cache is None else self.cache.update(k, v)


@wrong("values were turned too", "05/distance-model", task="attention")
def values_turned(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """Positions belong into the scores; a turned value would carry its position into the stream."""
    q, k, v = (
        rotate(split_heads(x @ w, head_dim), positions[None], frequencies) for w in (wq, wk, wv)
    )
    return merge_heads(attend_grouped(q, k, v, mask)) @ wo


@wrong("divided by sqrt(D), not sqrt(K)", "04/scale-why", task="attention")
def scaled_by_the_model_width(x, wq, wk, wv, wo, head_dim, *rest):
    """A score sums over one head's K products, however wide the model is."""
    return attention(x, wq * math.sqrt(head_dim / x.shape[-1]), wk, wv, wo, head_dim, *rest)


@wrong("queries and keys were not turned", "05/problem", task="attention")
def no_rotation(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """Without rotation a head cannot tell where a token stands."""
    return attention(x, wq, wk, wv, wo, head_dim, positions, 0 * frequencies, mask)


@wrong("only the queries were turned", "05/distance-why", task="attention")
def keys_not_turned(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """The score would depend on the query's position alone, and no longer on the distance."""
    q, k, v = (split_heads(x @ w, head_dim) for w in (wq, wk, wv))
    mix = attend_grouped(rotate(q, positions[None], frequencies), k, v, mask)
    return merge_heads(mix) @ wo


@wrong("wo is left out", "07/concat-why", task="attention")
def without_wo(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """wo brings the long row of all heads back to the width of the stream."""
    q, k, v = (split_heads(x @ w, head_dim) for w in (wq, wk, wv))
    q, k = (rotate(each, positions[None], frequencies) for each in (q, k))
    return merge_heads(attend_grouped(q, k, v, mask))
