# %% [markdown] key="title"
# # Exercise 11: places, masks and bytes
#
# This page belongs to [lesson 11](../11_kv_cache.ipynb). Put your code in the place of each `...` and run the
# cell. `past` is the number of tokens that the cache holds, `n_new` the number of tokens that come now.

# %% key="setup"
import numpy as np
from classroom import check, predict, progress

# %% [markdown] key="new-positions-task"
# ## Task 1. Where do the new tokens stand?
#
# Fill in one line. Positions count from 0.
#
# <details><summary>Hint</summary>
#
# Three tokens in the cache stand at 0, 1 and 2. Where does the next one stand? `np.arange(a, b)` counts from
# `a` up to `b - 1`.
#
# </details>


# %% key="new-positions"
def my_new_positions(past, n_new):
    """past, n_new: whole numbers -> n_new positions

    >>> my_new_positions(3, 2)
    array([3, 4])
    """
    positions = ...
    return positions


check("new_positions", my_new_positions)

# %% [markdown] key="chunk-mask-task"
# ## Task 2. The mask of a chunk
#
# Write the function: who of the new tokens may see whom of all? A row for each new token, a column for each
# token in the cache and each new one.
#
# <details><summary>Hint</summary>
#
# The rule is that of lesson 06. The queries stand at the new positions, the keys at all positions from 0 on.
#
# </details>


# %% key="chunk-mask"
def my_chunk_mask(past, n_new):
    """past, n_new: whole numbers -> n_new (past + n_new), true and false

    >>> my_chunk_mask(2, 2).astype(int)
    array([[1, 1, 1, 0],
           [1, 1, 1, 1]])
    """
    ...


check("chunk_mask", my_chunk_mask)

# %% [markdown] key="append-keys-task"
# ## Task 3. Remember
#
# The keys of the new tokens join those of the past. Keys have the axes `Hkv S K`: head, token, number.
#
# <details><summary>Hint</summary>
#
# `np.concatenate([a, b], axis=...)` lays two arrays one behind the other along one axis. Which axis counts
# tokens?
#
# </details>


# %% key="append-keys"
def my_append_keys(old, new):
    """old: Hkv S K, new: Hkv T K -> Hkv (S+T) K

    >>> my_append_keys(np.array([[[1], [2]]]), np.array([[[3]]])).tolist()
    [[[1], [2], [3]]]
    """
    ...


check("append_keys", my_append_keys)

# %% [markdown] key="cache-bytes-task"
# ## Task 4. What it costs
#
# How many bytes does the cache of a whole text take? Of these six numbers you need five.
#
# <details><summary>Hint</summary>
#
# For every token, every block keeps a key and a value, each of `head_dim` numbers, for each key-value head.
#
# </details>


# %% key="cache-bytes"
def my_cache_bytes(n_layers, n_heads, n_kv_heads, head_dim, n_tokens, bytes_each):
    """six whole numbers -> a whole number

    >>> my_cache_bytes(32, 32, 8, 128, 8192, 2)
    1073741824
    """
    ...


check("cache_bytes", my_cache_bytes)

# %% [markdown] key="predict-task"
# ## Predict
#
# A prompt has 17 tokens. At which position stands the first token that is written, and how many keys does its
# query meet? Write a pair: `(position, keys)`.

# %% key="predict"
from llama_np import KVCache, forward, record
from weights_tools import load_model


def first_written():
    model, trace = load_model(), {}
    cache = KVCache(model.config, 20)
    forward(model.weights, model.config, np.arange(17), cache)
    position = cache.length
    forward(model.weights, model.config, [0], cache, tap=record(trace))
    return position, trace["blocks.0.scores"].shape[-1]


guess = ...
predict("11", guess, first_written)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Position 17, counting from 0: the prompt stands at 0 to 16. It meets 18 keys, those of the prompt and its
# own.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 12](../12_generation.ipynb) and [its exercise](12_generation.ipynb), the last one.
