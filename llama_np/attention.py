"""Attention, from one head to grouped queries: the only step in which tokens see one another.

The functions form a ladder. Each computes what the one before it computes, for more at once, and
the tests hold them equal: ``one_head``, ``loop_over_heads``, ``attend`` on stacked heads,
``attend_grouped``, ``attend_in_chunks``, and ``attention``, which the model uses.
"""

import math

import numpy as np

from .axes import Array
from .cache import LayerCache
from .config import LlamaConfig
from .functional import linear, softmax
from .rope import apply_rotary, rotate
from .tap import Tap, no_tap
from .weights import LayerWeights

CHUNK = 32  # queries: so few that, for some hundred keys, the scores stay in a core's own cache


def causal_mask(query_positions: Array["... T"], key_positions: Array["... S"]) -> Array["... T S"]:
    """Who may look at whom: True where the key is the query's own token or an earlier one.

    PyTorch: ``torch.tril(torch.ones(T, S, dtype=bool), diagonal=S - T)`` for the last T of S.

    >>> causal_mask(np.arange(3), np.arange(3)).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    return key_positions[..., None, :] <= query_positions[..., :, None]


def mask_scores(scores: Array["... T S"], mask: Array["... T S"]) -> Array["... T S"]:
    """Minus infinity in place of every score whose key may not be seen; the others stay.

    For finite scores the same as ``np.where(mask, scores, -np.inf)``, written as a sum: 0 or
    minus infinity is chosen once for all heads, and added to each.

    PyTorch: ``scores.masked_fill(~mask, -torch.inf)``.

    >>> mask_scores(np.array([[1.0, 2.0]]), np.array([[True, False]])).tolist()
    [[1.0, -inf]]
    """
    zero = scores.dtype.type(0)  # so that float32 stays float32
    return scores + np.where(mask, zero, -np.inf)


def attend(
    q: Array["... T K"],
    k: Array["... S K"],
    v: Array["... S K"],
    mask: Array["... T S"] | None,
    tap: Tap = no_tap,
) -> Array["... T K"]:
    """Mix the values of all visible tokens, weighted by how well their keys fit each query.

    attend(q, k, v) = softmax(q @ k^T / sqrt(K), minus infinity where not mask) @ v

    The division, done here on the smaller q, keeps the spread of the scores independent of the
    head width. Scores of hidden keys become minus infinity, so that their weights become exactly
    zero and each row still sums to one. Every query must see at least one key. With None for
    ``mask`` every query sees every key.

    PyTorch: ``F.scaled_dot_product_attention(q, k, v, attn_mask=mask)``.
    Source: https://arxiv.org/abs/1706.03762, equation 1.

    >>> see_all = np.ones((1, 2), dtype=bool)
    >>> values = np.array([[2.0], [4.0]])
    >>> attend(np.zeros((1, 1)), np.ones((2, 1)), values, see_all).tolist()
    [[3.0]]
    """
    scores = tap("scores", q / math.sqrt(q.shape[-1]) @ k.swapaxes(-1, -2))  # T K @ K S -> T S
    masked = tap("masked", scores if mask is None else mask_scores(scores, mask))
    pattern = tap("pattern", softmax(masked))
    return tap("mix", pattern @ v)  # T S @ S K -> T K


def one_head(
    x: Array["... T D"],
    wq: Array["D K"],
    wk: Array["D K"],
    wv: Array["D K"],
    positions: Array["... T"],
    frequencies: Array["K/2"],
    tap: Tap = no_tap,
) -> Array["... T K"]:
    """One head from the normalised stream to its mix: the first rung, without cache or batch.

    ``positions`` count from 0. Source: https://arxiv.org/abs/1706.03762, section 3.2.
    """
    q = rotate(tap("q", x @ wq), positions, frequencies)  # T D @ D K -> T K
    k = rotate(tap("k", x @ wk), positions, frequencies)
    v = tap("v", x @ wv)
    return attend(q, k, v, causal_mask(positions, positions), tap)


def loop_over_heads(
    x: Array["T D"],
    wq: Array["D Hq*K"],
    wk: Array["D Hkv*K"],
    wv: Array["D Hkv*K"],
    wo: Array["Hq*K D"],
    head_dim: int,
    positions: Array["T"],
    frequencies: Array["K/2"],
) -> Array["T D"]:
    """All heads in a visible loop: the plain meaning of grouped queries, head by head.

    Query head h reads key-value head h // group, so neighbouring query heads share one. The mixes
    are laid side by side and ``wo`` brings them back to the model's width.
    """
    group = wq.shape[1] // wk.shape[1]
    mixes = []
    for head in range(wq.shape[1] // head_dim):
        own = slice(head * head_dim, (head + 1) * head_dim)
        shared = slice(head // group * head_dim, (head // group + 1) * head_dim)
        mixes.append(one_head(x, wq[:, own], wk[:, shared], wv[:, shared], positions, frequencies))
    return np.concatenate(mixes, axis=-1) @ wo  # T Hq*K @ Hq*K D -> T D


def split_heads(x: Array["... T Hq*K"], head_dim: int) -> Array["... Hq T K"]:
    """Cut each row into heads and bring the head axis to the front. A view: nothing is copied.

    PyTorch: ``x.view(..., T, -1, K).transpose(-3, -2)``.

    >>> split_heads(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), head_dim=2).tolist()
    [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    """
    return x.reshape(*x.shape[:-1], -1, head_dim).swapaxes(-2, -3)


def merge_heads(x: Array["... Hq T K"]) -> Array["... T Hq*K"]:
    """Lay the heads of each token side by side again: the inverse of ``split_heads``."""
    x = x.swapaxes(-2, -3)
    return x.reshape(*x.shape[:-2], -1)


def attend_grouped(
    q: Array["... Hq T K"],
    k: Array["... Hkv S K"],
    v: Array["... Hkv S K"],
    mask: Array["... T S"] | None,
    tap: Tap = no_tap,
) -> Array["... Hq T K"]:
    """``attend`` for all heads at once, each key-value head serving its group of query heads.

    The query heads are arranged as (Hkv, group), and the keys broadcast over the group: head h
    reads key-value head h // group, and no key is copied. Hkv = Hq is multi-head attention, Hkv = 1
    multi-query attention.

    PyTorch: ``F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)``.
    Source: https://arxiv.org/abs/2305.13245, section 2.2.
    """
    n_kv_heads, group = k.shape[-3], q.shape[-3] // k.shape[-3]
    grouped = q.reshape(*q.shape[:-3], n_kv_heads, group, *q.shape[-2:])
    mix = attend(
        grouped, k[..., None, :, :], v[..., None, :, :],
        None if mask is None else mask[..., None, None, :, :],
        tap if tap is no_tap else ungrouped(tap),
    )  # fmt: skip
    return mix.reshape(q.shape)


def ungrouped(tap: Tap) -> Tap:
    """A tap that shows (..., Hkv, group, T, S) as (..., Hq, T, S), the heads in one row."""

    def tap_ungrouped(name, value):
        heads = (*value.shape[:-4], -1, *value.shape[-2:])
        return tap(name, value.reshape(heads)).reshape(value.shape)

    return tap_ungrouped


def attend_in_chunks(
    q: Array["... Hq T K"],
    k: Array["... Hkv S K"],
    v: Array["... Hkv S K"],
    mask: Array["... T S"],
    chunk: int = CHUNK,
) -> Array["... Hq T K"]:
    """``attend_grouped``, for ``chunk`` queries at a time, each chunk with the keys it can see.

    The same result in less memory and less time: scores exist for one chunk only, and keys that no
    query of the chunk may see are left out instead of being multiplied by zero.
    """
    mixes = [
        attend_grouped(q[rows], k[keys], v[keys], mask[..., rows[-2], keys[-2]])
        for rows, keys in chunks(mask, chunk)
    ]
    return np.concatenate(mixes, axis=-2)


def chunks(mask: Array["... T S"], size: int) -> list[tuple[tuple, tuple]]:
    """The rows of q, ``size`` at a time, and the rows of k and v that these may see: two indices.

    >>> [(rows[1], keys[1]) for rows, keys in chunks(causal_mask(np.arange(3), np.arange(3)), 2)]
    [(slice(0, 2, None), slice(None, 2, None)), (slice(2, 4, None), slice(None, 3, None))]
    """
    found = []
    for start in range(0, mask.shape[-2], size):
        rows = np.s_[..., start : start + size, :]
        visible = mask[rows].any(axis=tuple(range(mask.ndim - 1)))
        found.append((rows, np.s_[..., : int(np.flatnonzero(visible)[-1]) + 1, :]))
    return found


def attention(
    x: Array["... T D"],
    layer: LayerWeights,
    config: LlamaConfig,
    rotations: Array["... T K/2"],
    mask: Array["... T S"] | None,
    cache: LayerCache | None = None,
    tap: Tap = no_tap,
) -> Array["... T D"]:
    """The whole attention step as the model runs it: any batch, grouped queries, with a cache.

    ``rotations`` says where each token stands: see ``rope_rotations``. With None for ``mask`` every
    query sees every key, as the newest token does. A ``cache`` takes the new keys and values and
    returns all there are, past ones first; keys are kept after rotation, so each is rotated once.
    Where nobody looks, the scores of many queries are made a chunk at a time.

    PyTorch: ``LlamaAttention`` in transformers, on weights in Meta's layout.
    """
    q = tap("q", split_heads(linear(x, layer.wq), config.head_dim))  # T D @ D Hq*K -> Hq T K
    k = tap("k", split_heads(linear(x, layer.wk), config.head_dim))  # T D @ D Hkv*K -> Hkv T K
    v = tap("v", split_heads(linear(x, layer.wv), config.head_dim))
    rotations = rotations[..., None, :, :]  # T K/2 -> 1 T K/2: the same for every head
    q = tap("q_rotated", apply_rotary(q, rotations))
    k = tap("k_rotated", apply_rotary(k, rotations))
    if cache is not None:
        k, v = cache.update(k, v)  # Hkv T K -> Hkv S K
    if tap is no_tap and mask is not None and mask.shape[-2] > CHUNK:
        mix = attend_in_chunks(q, k, v, mask)
    else:
        mix = attend_grouped(q, k, v, mask, tap)
    return tap("attn_out", linear(merge_heads(mix), layer.wo))  # T Hq*K @ Hq*K D -> T D
