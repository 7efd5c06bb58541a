# %% [markdown] key="title"
# # Exercise 02: rows for ids
#
# This page belongs to [lesson 02](../02_embedding.ipynb). Put your code in the place of each `...` and run
# the cell. The letters are those of the lessons: `T` tokens of the text, `V` tokens in the vocabulary, `D`
# numbers in a row.

# %% key="setup"
import numpy as np
from classroom import check, predict, progress

# %% [markdown] key="embed-task"
# ## Task 1. The look-up
#
# Fill in one line: the rows of the embedding that the ids name, one below the other.
#
# <details><summary>Hint</summary>
#
# NumPy takes an array of whole numbers in square brackets and gives the rows with these numbers.
#
# </details>


# %% key="embed"
def my_embed(embedding, ids):
    """embedding: V D, ids: T -> T D

    >>> my_embed(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 0, 1]))
    array([[3., 4.],
           [1., 2.],
           [3., 4.]])
    """
    rows = ...
    return rows


check("embed", my_embed)

# %% [markdown] key="one-hot-task"
# ## Task 2. One-hot rows
#
# Write the function. Each id becomes a row of `V` numbers: 1 at the id's place, 0 everywhere else.
#
# <details><summary>Hint</summary>
#
# Start with `np.zeros((len(ids), vocab_size))`. `array[rows, columns] = 1` sets one number in each row when
# `rows` is `np.arange(len(ids))`. Or: the rows of `np.eye(vocab_size)` are all one-hot rows there are.
#
# </details>


# %% key="one-hot"
def my_one_hot(ids, vocab_size):
    """ids: T, vocab_size: V -> T V

    >>> my_one_hot(np.array([2, 0]), 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    ...


check("one_hot", my_one_hot)

# %% [markdown] key="cosines-task"
# ## Task 3. How near are two tokens?
#
# Write the function. It compares one row with each row of a matrix and returns their cosines.
#
# $$\cos(a, b) = \frac{a \cdot b}{|a|\,|b|} \qquad |a| = \sqrt{a \cdot a}$$
#
# <details><summary>Hint</summary>
#
# `rows @ row` gives all the dot products. The lengths of all rows: `np.sqrt((rows**2).sum(axis=-1))`.
#
# </details>


# %% key="cosines"
def my_cosines(row, rows):
    """row: D, rows: N D -> N

    >>> my_cosines(np.array([1.0, 0.0]), np.array([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]]))
    array([ 1.,  0., -1.])
    """
    ...


check("cosines", my_cosines)

# %% [markdown] key="predict-task"
# ## Predict
#
# An embedding has 9 rows of 4 numbers. The ids are those of two texts with three tokens each, an array of
# shape `(2, 3)`. Which shape has `embedding[ids]`? Write it as `(…, …)` with as many numbers as you need.

# %% key="predict"
embedding, ids = np.zeros((9, 4)), np.array([[0, 1, 2], [8, 8, 0]])
guess = ...
predict("02", guess, lambda: embedding[ids].shape)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Every id is replaced by its row of 4 numbers. So the shape of the ids stays, and the width comes behind it:
# `(2, 3, 4)`. That is a batch.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 03](../03_rms_norm.ipynb) and [its exercise](03_rms_norm.ipynb).
