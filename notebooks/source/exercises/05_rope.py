# %% [markdown] key="title"
# # Exercise 05: turning queries and keys
#
# This page belongs to [lesson 05](../05_rope.ipynb). Put your code in the place of each `...` and run the
# cell. A head of width `K` has `K/2` pairs of neighbours: numbers 0 and 1, numbers 2 and 3, and so on.

# %% key="setup"
import numpy as np
from classroom import check, mine, predict, progress

# %% [markdown] key="frequencies-task"
# ## Task 1. A frequency for every pair
#
# Fill in one line. In radians per position, for the pairs $j = 0, 1, \dots, K/2 - 1$ (the argument `base` is
# the base):
#
# $$\theta_j = \mathrm{base}^{-2j/K}$$
#
# <details><summary>Hint</summary>
#
# `**` is "to the power of" in Python, and works on a whole array in the exponent. Put the whole exponent in
# brackets.
#
# </details>


# %% key="frequencies"
def my_frequencies(head_dim, base):
    """head_dim: K, base: a number -> K/2

    >>> my_frequencies(4, 100.0)
    array([1. , 0.1])
    """
    pair = np.arange(head_dim // 2)
    per_position = ...
    return per_position


check("frequencies", my_frequencies)

# %% [markdown] key="angles-task"
# ## Task 2. The table of angles
#
# Write the function: a row for each token, a column for each pair. The angle is the position times the
# frequency of the pair.
#
# <details><summary>Hint</summary>
#
# `positions[:, None]` is a column, `T 1`. A column times a row is a table.
#
# </details>


# %% key="angles"
def my_angles(positions, frequencies):
    """positions: T, frequencies: K/2 -> T K/2

    >>> my_angles(np.array([0, 1, 3]), np.array([1.0, 0.1]))
    array([[0. , 0. ],
           [1. , 0.1],
           [3. , 0.3]])
    """
    ...


check("angles", my_angles)

# %% [markdown] key="rotate-task"
# ## Task 3. Turn every pair
#
# Alone. Each pair $(a, b)$ of neighbours is turned by its angle $\varphi$:
#
# $$(a, b) \;\to\; (a \cos\varphi - b \sin\varphi,\;\; a \sin\varphi + b \cos\varphi)$$
#
# The result has the numbers in the same order: the pairs stay neighbours. `mine.angles` gives the table of
# task 2.
#
# <details><summary>Hint</summary>
#
# `x[:, 0::2]` are the first numbers of all pairs, `x[:, 1::2]` the second ones. Make an empty array with
# `np.empty_like(x)` and fill its `[:, 0::2]` and its `[:, 1::2]`.
#
# </details>


# %% key="rotate"
def my_rotate(x, positions, frequencies):
    """x: T K, positions: T, frequencies: K/2 -> T K

    >>> quarter = np.array([np.pi / 2])
    >>> my_rotate(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]), quarter).round(6)
    array([[1., 0.],
           [0., 1.]])
    """
    ...


check("rotate", my_rotate)

# %% [markdown] key="predict-task"
# ## Predict
#
# A query at position 7 meets a key at position 4, and their score is 2. Now both stand 1000 places further
# on. What is the score?


# %% key="predict"
def further_on():
    frequencies = mine.frequencies(4, 10000.0)
    key = np.array([1.0, 0.5, -1.0, 2.0])

    def score(m, n, query):
        turned = [
            mine.rotate(r[None], np.array([p]), frequencies) for r, p in ((query, m), (key, n))
        ]
        return (turned[0] @ turned[1].T).item() / 2  # the square root of K is 2

    query = np.array([2.0, 1.0, 0.0, 1.0])
    query = query * 2 / score(7, 4, query)
    return score(1007, 1004, query)


guess = ...
predict("05", guess, further_on)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Still 2. Both were turned by the same further angle, and the score depends on the distance alone: 7 - 4 is
# 1007 - 1004.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 06](../06_masking.ipynb) and [its exercise](06_masking.ipynb).
