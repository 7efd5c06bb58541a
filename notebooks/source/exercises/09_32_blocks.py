# %% [markdown] key="title"
# # Exercise 09: a block of your own parts
#
# This page belongs to [lesson 09](../09_32_blocks.ipynb), task 1 to its step 1 and task 2 to its step 3. Put your
# code in the place of each `...` and run the cell.

# %% key="setup"
from classroom import check, measure, mine, predict, progress

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
# You may spend four times as many parameters on the blocks of a Llama. One way is to take four times as many
# blocks. The other is to keep their number and make everything wider by the same factor: the stream, the number of
# query heads and of key-value heads, and the feed-forward step. By which factor, about?


# %% key="predict"
def how_many_times_as_wide():
    sizes = 4096, 32, 8, 14336  # D, Hq, Hkv and F of Llama 3 8B
    before = mine.count_block(*sizes[:3], 128, sizes[3])
    for factor in range(2, 9):
        dim, n_heads, n_kv_heads, ffn_width = (factor * size for size in sizes)
        if mine.count_block(dim, n_heads, n_kv_heads, 128, ffn_width) > 3.9 * before:
            return factor


guess = ...
predict("09", guess, how_many_times_as_wide)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Twice as wide: every matrix then has twice as many rows *and* twice as many columns, four times as many numbers.
# Only the norms grow by a factor of 2, and they are very small. So the number of parameters grows with the square of
# the width, but only in proportion to the number of blocks.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# In the [lesson](../09_32_blocks.ipynb), leaving out one block cost little, with one exception. Now leave out the
# whole middle half at once. `loss(without)` is the mean loss on ten stories while the blocks whose numbers are in
# `without` are left out. Add up what each of the blocks in `middle` costs when it alone is missing. How many times
# as much does it cost to leave out all of `middle` together (`found`)? Guess first: as much as the sum, less, or
# more? Then say in one sentence why (`because`).

# %% key="measure"
from dataclasses import replace

import numpy as np

from weights_tools import load_model
from weights_tools.examine import all_prompts, mean_loss

model = load_model()
config, weights = model.config, model.weights
stories = all_prompts(model.tokenizer)["texts"]
ids = [text[:64] for text in stories.ids[:10]]
stories = stories._replace(ids=ids, scored=[np.arange(1, len(text)) for text in ids])
middle = list(range(config.n_layers))[config.n_layers // 4 : -(config.n_layers // 4)]


def loss(without=()):
    """The mean loss in nats, without these blocks."""
    layers = [layer for i, layer in enumerate(weights.layers) if i not in without]
    return mean_loss(replace(weights, layers=layers), config, stories)


def times_as_much():
    whole = loss()
    return (loss(middle) - whole) / sum(loss([i]) - whole for i in middle)


print(f"whole: {loss():.3f}, without block {middle[0]}: {loss([middle[0]]):.3f}")

found, because = ..., ...
measure("09", found, times_as_much, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# It costs {{ times_as_much() :.1f }} times the sum, {{ loss(middle) - loss() :.2f }} nats. {{ claim: times_as_much() > 1.5 }}
# A block that is missing alone is missed little, because the others still do most of what it would have done. When
# all of them are missing, nobody is left to stand in, so that single costs say how replaceable a block is and not
# how much work it does.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 09](../09_32_blocks.ipynb). Next: [lesson 10](../10_logits.ipynb) and [its exercise](10_logits.ipynb).
