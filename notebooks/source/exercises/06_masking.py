# %% [markdown] key="title"
# # Exercise 06: hiding the future
#
# This page belongs to [lesson 06](../06_masking.ipynb). Put your code in the place of each `...` and run the
# cell. `T` counts queries, `S` keys.

# %% key="setup"
import numpy as np
from classroom import check, mine, predict, progress

# %% [markdown] key="causal-mask-task"
# ## Task 1. Who may see whom
#
# Fill in one line: a table of true and false, a row for each query, a column for each key. True where the
# query may see the key.
#
# <details><summary>Hint</summary>
#
# Compare a row of key positions with a column of query positions. A token sees itself too.
#
# </details>


# %% key="causal-mask"
def my_causal_mask(query_positions, key_positions):
    """query_positions: T, key_positions: S -> T S, true and false

    >>> my_causal_mask(np.array([1, 2]), np.array([0, 1, 2])).astype(int)
    array([[1, 1, 0],
           [1, 1, 1]])
    """
    queries, keys = query_positions[:, None], key_positions[None, :]
    visible = ...
    return visible


check("causal_mask", my_causal_mask)

# %% [markdown] key="mask-scores-task"
# ## Task 2. Hide the scores
#
# Write the function. The scores of hidden keys become minus infinity, `-np.inf`; all others stay.
#
# <details><summary>Hint</summary>
#
# `np.where(condition, a, b)` takes `a` where the condition is true, and `b` elsewhere.
#
# </details>


# %% key="mask-scores"
def my_mask_scores(scores, mask):
    """scores: T S, mask: T S -> T S

    >>> my_mask_scores(np.array([[1.0, 2.0]]), np.array([[True, False]]))
    array([[  1., -inf]])
    """
    ...


check("mask_scores", my_mask_scores)

# %% [markdown] key="attend-task"
# ## Task 3. Attention with a mask
#
# Alone: scores, mask, softmax, mix. Use `mine.scores` and `mine.softmax` of exercise 04 and `mine.mask_scores`.
#
# <details><summary>Hint</summary>
#
# In this order. Once the scores of the future are minus infinity, the softmax gives them the weight 0.
#
# </details>


# %% key="attend"
def my_attend(q, k, v, mask):
    """q: T K, k: S K, v: S K, mask: T S -> T K

    >>> only_itself = np.array([[True, False], [True, True]])
    >>> my_attend(np.zeros((2, 1)), np.ones((2, 1)), np.array([[2.0], [4.0]]), only_itself)
    array([[2.],
           [3.]])
    """
    ...


check("attend", my_attend)

# %% [markdown] key="predict-task"
# ## Predict
#
# A text has 10 tokens. How many of the 100 scores of a head are used, with the mask?

# %% key="predict"
guess = ...
predict("06", guess, lambda: int(mine.causal_mask(np.arange(10), np.arange(10)).sum()))

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# The first token sees 1 key, the second 2, the last 10: together 1 + 2 + ... + 10 = 55. A bit more than half.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 07](../07_multi_head.ipynb) and [its exercise](07_multi_head.ipynb).
