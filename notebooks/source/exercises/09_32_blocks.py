# %% [markdown] key="title"
# # Exercise 09: a block of your own parts
#
# This page belongs to [lesson 09](../09_32_blocks.ipynb). Put your code in the place of each `...` and run the
# cell.

# %% key="setup"
from classroom import check, mine, predict, progress

# %% [markdown] key="block-task"
# ## Task 1. One block
#
# Norm, attention, add; norm, feed-forward, add. Use your own parts: `mine.rms_norm`, `mine.attention`,
# `mine.swiglu`.
#
# `layer` holds what the block has learned: `layer.attn_norm` and `layer.ffn_norm` (the weights of the two
# norms), `layer.wq`, `layer.wk`, `layer.wv`, `layer.wo`, `layer.w_gate`, `layer.w_up`, `layer.w_down`.
# `config.norm_eps` is the epsilon and `config.head_dim` the width of a head. In place of the library's
# `rotations` your block gets the positions and frequencies, which `mine.attention` needs.
#
# A tiny example: if `layer.wo` and `layer.w_down` are all zeros, nothing is added, and the block gives back
# `x` as it came.
#
# <details><summary>Hint</summary>
#
# Three more lines and a `return`. `x = x + ...` makes a new array, `x += ...` would change the one you were given. Each half reads
# a normalised copy and adds to the stream as it was before the norm.
#
# </details>


# %% key="block"
def my_block(x, layer, config, positions, frequencies, mask):
    """x: T D, positions: T, frequencies: K/2, mask: T T -> T D"""
    normed = mine.rms_norm(x, layer.attn_norm, config.norm_eps)
    where = positions, frequencies, mask
    attn_out = mine.attention(
        normed, layer.wq, layer.wk, layer.wv, layer.wo, config.head_dim, *where
    )
    ...


check("block", my_block)

# %% [markdown] key="count-block-task"
# ## Task 2. Count the parameters
#
# How many numbers has one block learned? Attention has four matrices, feed-forward three, and there are two
# norms.
#
# <details><summary>Hint</summary>
#
# `wq` and `wo` have `dim * n_heads * head_dim` numbers each, `wk` and `wv` are smaller. A norm has one number
# for each column of the stream.
#
# </details>


# %% key="count-block"
def my_count_block(dim, n_heads, n_kv_heads, head_dim, ffn_width):
    """five whole numbers -> a whole number

    >>> my_count_block(4096, 32, 8, 128, 14336)
    218112000
    """
    ...


check("count_block", my_count_block)

# %% [markdown] key="predict-task"
# ## Predict
#
# The width of the stream is doubled, and so are the number of query heads, of key-value heads, and the
# feed-forward width. About how many times as many numbers does a block then have?


# %% key="predict"
def how_many_times():
    return mine.count_block(8192, 64, 16, 128, 28672) / mine.count_block(4096, 32, 8, 128, 14336)


guess = ...
predict("09", guess, how_many_times)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# About 4 times: every matrix has twice as many rows and twice as many columns. Only the two norms grow by a
# factor of 2, and they are very small. Twice as wide is four times as large.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 10](../10_logits.ipynb) and [its exercise](10_logits.ipynb).
