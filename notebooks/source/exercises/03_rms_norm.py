# %% [markdown] key="title"
# # Exercise 03: your own norm
#
# This page belongs to [lesson 03](../03_rms_norm.ipynb). Put your code in the place of each `...` and run
# the cell. `T` counts tokens (rows), `D` the numbers of a row (columns).

# %% key="setup"
import numpy as np
from classroom import check, predict, progress

# %% [markdown] key="row-sizes-task"
# ## Task 1. The size of every row
#
# Fill in one line. The root mean square of each row: square, take the mean along the row, take the root. The
# result is a column with one number for each row, shape `T 1`.
#
# <details><summary>Hint</summary>
#
# `mean(axis=-1, keepdims=True)` goes along each row and leaves an axis of length 1.
#
# </details>


# %% key="row-sizes"
def my_row_sizes(x):
    """x: T D -> T 1

    >>> my_row_sizes(np.array([[3.0, -3.0], [1.0, 7.0]]))
    array([[3.],
           [5.]])
    """
    squares = x**2
    sizes = ...
    return sizes


check("row_sizes", my_row_sizes)

# %% [markdown] key="rms-norm-task"
# ## Task 2. RMS norm
#
# Now write the whole step alone. Divide every row by its size, with $\epsilon$ in its place, and multiply
# each column by its weight.
#
# $$\mathrm{norm}(x)_d = \frac{x_d}{\sqrt{\frac{1}{D}\sum_{i} x_i^2 + \epsilon}} \; w_d$$
#
# <details><summary>Hint</summary>
#
# Three lines: the mean of the squares of each row; `x` divided by the root of it plus `eps`; times `weight`.
# NumPy multiplies `T D` and `D` column by column. Do not write `x /= ...`: that would change the stream
# itself.
#
# </details>


# %% key="rms-norm"
def my_rms_norm(x, weight, eps):
    """x: T D, weight: D, eps: a number -> T D

    >>> my_rms_norm(np.array([[3.0, -3.0], [1.0, 7.0]]), np.array([1.0, 2.0]), 0.0)
    array([[ 1. , -2. ],
           [ 0.2,  2.8]])
    """
    ...


check("rms_norm", my_rms_norm)

# %% [markdown] key="predict-task"
# ## Predict
#
# A row is made 10 times as large, and then normalised (with an epsilon too small to be felt). How many times
# as large is the result, compared with the result for the row before?


# %% key="predict"
def how_many_times():
    row, weight = np.array([[1.0, -2.0, 0.5]]), np.array([1.0, 3.0, 2.0])
    before, after = (x / np.sqrt((x**2).mean()) * weight for x in (row, 10 * row))
    return (after / before).mean()


guess = ...
predict("03", guess, how_many_times)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# The row's size is 10 times as large too, and the division takes it out again: the factor is 1. The norm
# keeps the direction of a row and forgets its length.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 04](../04_single_head_attention.ipynb) and [its exercise](04_single_head_attention.ipynb).
