# %% [markdown] key="title"
# # Exercise 11: places, masks and bytes
#
# This page belongs to [lesson 11](../11_kv_cache.ipynb). Put your code in the place of each `...` and run the
# cell. `past` is the number of tokens that the cache holds, `n_new` the number of tokens that come now.

# %% key="setup"
import numpy as np
from classroom import check, measure, predict, progress

# %% [markdown] key="new-positions-task"
# ## Task 1. Where do the new tokens stand?
#
# Fill in one line (step 5 of the [lesson](../11_kv_cache.ipynb)). Positions count from 0.
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
# Write the function that says who of the new tokens may see whom of all, with a row for each new token, and a
# column for each token in the cache and each new one.
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
# How many bytes does the cache of a whole text take? Of these six numbers you need five, and knowing which one is
# too many is half of the task.
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
# After the prefill somebody swaps two places of the cache: in every block, the key and the value at place 3 change
# places with those at place 7. Then the next token comes. By how much is the logit off that
# changes most, to one decimal: 0.0, 0.5, 5.0, more?

# %% key="predict"
from llama_np import KVCache, forward
from weights_tools import load_model

model = load_model()
parts = model.weights, model.config
ids = model.tokenizer.encode("Once upon a time, there was a little girl named", bos=True)


def largest_change():
    cache = KVCache(model.config, len(ids))
    forward(*parts, ids[:-1], cache)
    as_it_was = forward(*parts, ids[-1:], cache.fork())
    for kept in (cache.keys, cache.values):
        kept[..., [3, 7], :] = kept[..., [7, 3], :]
    return round(float(np.abs(forward(*parts, ids[-1:], cache) - as_it_was).max()), 1)


guess = ...
predict("11", guess, largest_change)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Nothing changes. The position of a key is not its place in the cache: it is in the key itself, which was rotated
# before it was kept. The scores come out in another order, the weights in the same other order, and their mix of
# the values is the same sum. (Swap the keys without the values, and it is another matter.)
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# In the lesson the new tokens came one place too late. Let them come 20 places too late. `predictions(shift)` below
# gives the logits at 16 new positions of 20 stories, `B 16 V`, with 40 tokens in the cache. At what share of all
# places (a number between 0 and 1) is the likeliest token another one than without a shift? Look also at how the
# share changes from the first new position to the last, and explain that in a sentence.

# %% key="measure"
from weights_tools.training.heroes import read_stories

start, n_new = 40, 16
stories = [model.tokenizer.encode(story, bos=True) for story in read_stories()[:20]]
stories = np.array([story[: start + n_new] for story in stories])  # B 56


def predictions(shift):
    cache = KVCache(model.config, start + n_new)
    forward(*parts, stories[:, :start], cache)
    rows = []
    for t in range(start, start + n_new):
        place = np.array([t + shift])
        rows.append(forward(*parts, stories[:, t : t + 1], cache, positions=place)[:, 0])
    return np.stack(rows, axis=1)


def share_of_changes():
    return float((predictions(20).argmax(axis=-1) != predictions(0).argmax(axis=-1)).mean())


found, because = ..., ...
measure("11", found, share_of_changes, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# Many predictions change at the first new positions, and few at the last. All new tokens are late by the same 20
# places, and RoPE sees distances only, so that among themselves nothing is wrong. At the first new position almost
# everything that can be read lies behind the gap; at the last, the model has near neighbours again, at the right
# distances, and those count most: a gap that moves along with them, as in the lesson's control, never heals.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 11](../11_kv_cache.ipynb). Next: [lesson 12](../12_generation.ipynb) and [its exercise](12_generation.ipynb).
