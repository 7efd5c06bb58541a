"""Solutions of exercise 11. Try first."""

import numpy as np


def new_positions(past, n_new):
    return np.arange(past, past + n_new)


def chunk_mask(past, n_new):
    keys = np.arange(past + n_new)
    queries = np.arange(past, past + n_new)
    return keys[None, :] <= queries[:, None]


def append_keys(old, new):
    return np.concatenate([old, new], axis=1)


def cache_bytes(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    return 2 * n_layers * n_kv_heads * head_dim * n_tokens * bytes_each
