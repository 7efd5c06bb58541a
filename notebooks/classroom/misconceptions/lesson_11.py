"""Lesson 11, with a cache."""

import numpy as np

from llama_np.model import forward

from .registry import wrong


@wrong("position of the first new token is one too high", "11/position-why", task="new_positions")
def counted_from_the_new_length(past, n_new):
    """Tokens in the cache stand at 0 to past - 1: the first new one stands at past."""
    return np.arange(past + 1, past + 1 + n_new)


@wrong("every call starts at position 0", "11/position-why", task="new_positions")
def counted_from_zero(past, n_new):
    """The new tokens follow what the cache holds: a call does not start a new text."""
    return np.arange(n_new)


@wrong("position of the first new token is one too low", "11/position-why", task="new_positions")
def counted_from_the_last(past, n_new):
    """At past - 1 stands the last token of the cache: the first new one comes after it."""
    return np.arange(past - 1, past - 1 + n_new)


@wrong("the triangle starts in the upper left corner", "11/mask-why", task="chunk_mask")
def mask_from_the_corner(past, n_new):
    """A new token sees all past tokens: the diagonal ends in the lower right corner."""
    return np.tri(n_new, past + n_new, dtype=bool)


@wrong("new tokens see one another in both directions", "11/mask-why", task="chunk_mask")
def mask_of_ones(past, n_new):
    """One new token may see everything; of several, the first may not see the last."""
    return np.ones((n_new, past + n_new), dtype=bool)


@wrong("columns for the new tokens only", "11/mask-why", task="chunk_mask")
def mask_of_the_new(past, n_new):
    """The keys in the cache are read too: there are past + n_new columns."""
    return np.tri(n_new, dtype=bool)


@wrong("the mask counts the token itself as future", "06/mask-why", task="chunk_mask")
def chunk_without_itself(past, n_new):
    """The new token's own key stands in its row too: less than or equal, not less than."""
    return np.tri(n_new, past + n_new, past - 1, dtype=bool)


@wrong("the new keys stand in front of the old", "11/cache-why", task="append_keys")
def new_in_front(old, new):
    """Past ones come first: keys stand in the order of their positions."""
    return np.concatenate([new, old], axis=1)


@wrong("the old keys are gone", "11/needs-why", task="append_keys")
def old_forgotten(old, new):
    """The query of the new token meets the keys of all tokens: keep the old ones."""
    return new


@wrong("joined along the heads", "11/cache-why", task="append_keys")
def along_the_heads(old, new):
    """The axes are Hkv S K: more tokens make the middle axis longer, not the first."""
    return np.concatenate([old, new], axis=0)


@wrong("only keys, no values", "11/memory-why", task="cache_bytes")
def keys_only(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    """A key and a value are kept for every token: that is the factor 2."""
    return n_layers * n_kv_heads * head_dim * n_tokens * bytes_each


@wrong("counted for the query heads", "11/memory-why", task="cache_bytes")
def query_heads_counted(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    """The cache holds keys and values, and there are only n_kv_heads of each."""
    return 2 * n_layers * n_heads * head_dim * n_tokens * bytes_each


@wrong("counted for one block only", "11/memory-why", task="cache_bytes")
def one_block_counted(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    """Every block has keys and values of its own."""
    return 2 * n_kv_heads * head_dim * n_tokens * bytes_each


@wrong("position of the first new token is one too high", "11/position-why", right="model.forward")
def position_one_too_high_after_the_prompt(weights, config, ids, cache=None, **options):
    """Counted from 0, a prompt of L tokens ends at L - 1: the next stands at L, not L + 1."""
    past = 0 if cache is None else cache.length
    positions = np.arange(past, past + ids.shape[-1]) + (past > 0)
    return forward(weights, config, ids, cache, positions=positions, **options)


@wrong("every call starts at position 0", "11/position-why", right="model.forward")
def position_zero_for_every_new_token(weights, config, ids, cache=None, **options):
    """A call with one new token does not start a new text."""
    return forward(weights, config, ids, cache, positions=np.arange(ids.shape[-1]), **options)


@wrong("the mask leaves out the token itself", "11/mask-why", right="model.forward")
def mask_off_by_one_after_caching(weights, config, ids, cache=None, **options):
    """The new token's own key stands last; a mask from the old length leaves it out."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    mask = np.tri(new, past + new, past - (past > 0), dtype=bool)
    return forward(weights, config, ids, cache, mask=mask, **options)


@wrong("the triangle starts in the upper left corner", "11/mask-why", right="model.forward")
def mask_from_the_corner_after_caching(weights, config, ids, cache=None, **options):
    """The diagonal of a T by S mask ends in the lower right corner, not in the upper left."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    mask = np.tri(new, past + new, dtype=bool)
    return forward(weights, config, ids, cache, mask=mask, **options)


@wrong("new tokens see one another in both directions", "11/mask-why", right="model.forward")
def no_mask_for_a_chunk_after_caching(weights, config, ids, cache=None, **options):
    """One new token may see everything; of several, the first may not see the last."""
    past, new = 0 if cache is None else cache.length, ids.shape[-1]
    first = np.tri(new, dtype=bool)
    mask = np.ones((new, past + new), bool) if past else first
    return forward(weights, config, ids, cache, mask=mask, **options)
