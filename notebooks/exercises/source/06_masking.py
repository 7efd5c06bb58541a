# %% [markdown] key="title"
# # Exercise 06: hiding the future
#
# This page belongs to [lesson 06](../06_masking.ipynb). Put your code in the place of each `...` and run the
# cell. `T` counts queries, `S` keys.

# %% key="setup"
import numpy as np

from llama_np.classroom import check, mine, predict, progress

# %% [markdown] key="may-see-task"
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


# %% key="may-see"
def my_may_see(query_positions, key_positions):
    """query_positions: T, key_positions: S -> T S, true and false

    >>> my_may_see(np.array([1, 2]), np.array([0, 1, 2])).astype(int)
    array([[1, 1, 0],
           [1, 1, 1]])
    """
    queries, keys = query_positions[:, None], key_positions[None, :]
    visible = ...
    return visible


check("may_see", my_may_see)

# %% [markdown] key="hide-task"
# ## Task 2. Hide the scores
#
# Write the function. The scores of hidden keys become minus infinity, `-np.inf`; all others stay.
#
# <details><summary>Hint</summary>
#
# `np.where(condition, a, b)` takes `a` where the condition is true, and `b` elsewhere.
#
# </details>


# %% key="hide"
def my_hide(scores, may_see):
    """scores: T S, may_see: T S -> T S

    >>> my_hide(np.array([[1.0, 2.0]]), np.array([[True, False]]))
    array([[  1., -inf]])
    """
    ...


check("hide", my_hide)

# %% [markdown] key="attend-task"
# ## Task 3. Attention with a mask
#
# Alone: scores, mask, softmax, mix. Use `mine.scores` and `mine.softmax` of exercise 04 and `mine.hide`.
#
# <details><summary>Hint</summary>
#
# In this order. Once the scores of the future are minus infinity, the softmax gives them the weight 0.
#
# </details>


# %% key="attend"
def my_attend(q, k, v, may_see):
    """q: T K, k: S K, v: S K, may_see: T S -> T K

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
predict("06", guess, lambda: int(mine.may_see(np.arange(10), np.arange(10)).sum()))

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
