# %% [markdown] key="title"
# # Exercise 04: one head
#
# This page belongs to [lesson 04](../04_single_head_attention.ipynb). Put your code in the place of each
# `...` and run the cell. `T` counts the tokens that ask, `S` those that are asked, and `K` is the width of
# the head. Here every token may read from every other one: rotation and the mask come later.

# %% key="setup"
import numpy as np
from classroom import check, mine, predict, progress

# %% [markdown] key="scores-task"
# ## Task 1. Scores
#
# Fill in one line: how well does each query fit each key?
#
# $$\mathrm{score}_{ts} = \frac{1}{\sqrt{K}} \sum_{j=1}^{K} q_{tj}\, k_{sj}$$
#
# <details><summary>Hint</summary>
#
# All the sums at once are a matrix product of `q` with `k` transposed, `k.T`. Divide it by `np.sqrt(width)`.
#
# </details>


# %% key="scores"
def my_scores(q, k):
    """q: T K, k: S K -> T S

    >>> q, k = np.array([[2.0, 0.0, 0.0, 0.0]]), np.array([[3.0, 1, 1, 1], [-1.0, 0, 0, 0]])
    >>> my_scores(q, k)
    array([[ 3., -1.]])
    """
    width = q.shape[-1]
    fits = ...
    return fits


check("scores", my_scores)

# %% [markdown] key="softmax-task"
# ## Task 2. Softmax
#
# Write the function. Every row of scores becomes shares that are positive and sum to one. Scores may be very
# large: subtract the largest of each row first, as the lesson does.
#
# <details><summary>Hint</summary>
#
# `x.max(axis=-1, keepdims=True)` is the largest number of each row, as a column. After subtracting it, take
# `np.exp`, and divide by the sum of each row, also with `keepdims=True`.
#
# </details>


# %% key="softmax"
def my_softmax(x):
    """x: T S -> T S

    >>> my_softmax(np.array([[0.0, 0.0], [1000.0, 0.0]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    ...


check("softmax", my_softmax)

# %% [markdown] key="mix-task"
# ## Task 3. The mix
#
# Now alone: from queries, keys and values to what each token gets. `mine.scores` and `mine.softmax` are your
# own functions once they have passed. (Until then, the ones that come with these pages.)
#
# <details><summary>Hint</summary>
#
# Scores, pattern, mix: the softmax of the scores, times `v`.
#
# </details>


# %% key="mix"
def my_mix(q, k, v):
    """q: T K, k: S K, v: S K -> T K

    >>> my_mix(np.zeros((1, 2)), np.ones((2, 2)), np.array([[2.0, 0.0], [4.0, 6.0]]))
    array([[3., 3.]])
    """
    ...


check("mix", my_mix)

# %% [markdown] key="predict-task"
# ## Predict
#
# A query has the score 3 with each of four keys. Which weight does the first key get? (And if all four
# scores were 100?)

# %% key="predict"
guess = ...
predict("04", guess, lambda: float(mine.softmax(np.array([[3.0, 3.0, 3.0, 3.0]]))[0, 0]))

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Equal scores get equal shares: a quarter each. Only the differences between scores count, so it is the same
# for 100. The sum of the weights is always 1.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 05](../05_rope.ipynb) and [its exercise](05_rope.ipynb).
