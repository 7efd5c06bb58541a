# %% [markdown] key="title"
# # Exercise 07: many heads
#
# This page belongs to [lesson 07](../07_multi_head.ipynb). Put your code in the place of each `...` and run
# the cell. `Hq` is the number of query heads, `Hkv` the number of key-value heads, `K` the width of a head.
# At the end of this page you have written the whole attention step.

# %% key="setup"
import numpy as np
from classroom import check, mine, predict, progress

# %% [markdown] key="split-heads-task"
# ## Task 1. Cut the rows into heads
#
# Fill in one line. The numbers of head 0 come first in each row, then those of head 1. First each row is cut,
# then the head axis comes to the front.
#
# <details><summary>Hint</summary>
#
# `swapaxes(0, 1)` exchanges the first two axes.
#
# </details>


# %% key="split-heads"
def my_split_heads(x, head_dim):
    """x: T Hq*K, head_dim: K -> Hq T K

    >>> my_split_heads(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), 2).tolist()
    [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    """
    cut = x.reshape(len(x), -1, head_dim)  # T Hq K
    heads = ...
    return heads


check("split_heads", my_split_heads)

# %% [markdown] key="merge-heads-task"
# ## Task 2. Side by side again
#
# Write the inverse: the heads of each token are laid side by side in one long row.
#
# <details><summary>Hint</summary>
#
# Undo the last step first: bring the head axis back behind the token axis. Then `reshape(T, -1)`.
#
# </details>


# %% key="merge-heads"
def my_merge_heads(x):
    """x: Hq T K -> T Hq*K

    >>> my_merge_heads(np.array([[[1, 2], [5, 6]], [[3, 4], [7, 8]]])).tolist()
    [[1, 2, 3, 4], [5, 6, 7, 8]]
    """
    ...


check("merge_heads", my_merge_heads)

# %% [markdown] key="key-head-task"
# ## Task 3. Which key-value head?
#
# Fewer key-value heads than query heads: neighbours share one. Which one does query head `head` read?
#
# <details><summary>Hint</summary>
#
# How many query heads are in a group? `//` divides and drops the rest.
#
# </details>


# %% key="key-head"
def my_key_head(head, n_heads, n_kv_heads):
    """head: counted from 0, n_heads: Hq, n_kv_heads: Hkv -> a number from 0 to Hkv - 1

    >>> [my_key_head(head, 6, 2) for head in range(6)]
    [0, 0, 0, 1, 1, 1]
    """
    ...


check("key_head", my_key_head)

# %% [markdown] key="attend-grouped-task"
# ## Task 4. All heads attend
#
# Write a loop over the query heads. Each attends with the keys and values of its group. `mine.attend` is your
# attention of exercise 06, `mine.key_head` your task 3.
#
# <details><summary>Hint</summary>
#
# For each `h` in `range(len(q))`: `mine.attend(q[h], k[...], v[...], mask)`. Collect the results in a list
# and make an array of it.
#
# </details>


# %% key="attend-grouped"
def my_attend_grouped(q, k, v, mask):
    """q: Hq T K, k: Hkv T K, v: Hkv T K, mask: T T -> Hq T K

    >>> q, k, v = np.zeros((4, 1, 1)), np.ones((2, 1, 1)), np.array([[[5.0]], [[7.0]]])
    >>> my_attend_grouped(q, k, v, np.array([[True]])).ravel()
    array([5., 5., 7., 7.])
    """
    ...


check("attend_grouped", my_attend_grouped)

# %% [markdown] key="attention-task"
# ## Task 5. The whole step
#
# Alone: queries, keys and values of all heads, rotation, attention, and back to the width of the stream. Use
# your own parts: `mine.split_heads`, `mine.rotate` (it turns the rows of one head), `mine.attend_grouped`,
# `mine.merge_heads`. The library's function takes the rotations ready-made; yours gets what `mine.rotate` needs.
#
# <details><summary>Hint</summary>
#
# `mine.split_heads(x @ wq, head_dim)` are the queries, and likewise the keys and values. Turn each head of
# the queries and of the keys, but not the values: `mine.rotate` takes one head, so turn `q[h]` for each `h`.
# After `mine.merge_heads` comes `@ wo`.
#
# </details>


# %% key="attention"
def my_attention(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """x: T D, wq: D Hq*K, wk and wv: D Hkv*K, wo: Hq*K D, positions: T, frequencies: K/2,
    mask: T T -> T D

    >>> one, see = np.ones((1, 1)), np.array([[True]])
    >>> my_attention(
    ...     one, np.ones((1, 4)), np.ones((1, 2)), np.array([[3.0, 5.0]]), np.ones((4, 1)),
    ...     2, np.array([0]), np.array([1.0]), see,
    ... )
    array([[16.]])
    """
    ...


check("attention", my_attention)

# %% [markdown] key="predict-task"
# ## Predict
#
# Queries of all heads have the shape `(5, 24)`: five tokens. A head is 6 wide. Which shape comes out of
# `split_heads`?

# %% key="predict"
guess = ...
predict("07", guess, lambda: mine.split_heads(np.zeros((5, 24)), 6).shape)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# `Hq T K`: 24 numbers are 4 heads of 6. The head axis comes first, so it is `(4, 5, 6)`.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 08](../08_feed_forward.ipynb) and [its exercise](08_feed_forward.ipynb).
