# %% [markdown] key="title"
# # Exercise 02: rows for ids
#
# This page belongs to [lesson 02](../02_embedding.ipynb). Put your code in the place of each `...` and run
# the cell. The letters are those of the lessons: `T` tokens of the text, `V` tokens in the vocabulary, `D`
# numbers in a row.

# %% key="setup"
import numpy as np
from classroom import check, measure, predict, progress

from llama_np import forward
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer

# %% [markdown] key="embed-task"
# ## Task 1. The look-up
#
# Fill in one line: the rows of the embedding that the ids name, one below the other
# (step 1 of the [lesson](../02_embedding.ipynb)).
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
# Write the function. Each id becomes a row of `V` numbers: 1 at the id's place, 0 everywhere else
# (step 1 again).
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
# Write the function. It compares one row with each row of a matrix and returns their cosines
# (step 2 of the [lesson](../02_embedding.ipynb)).
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
# Somebody swaps two rows of the embedding, that of `␣girl` and that of `␣boy`, and leaves the output matrix
# as it is. The model gets *Once upon a time, there was a little girl named*. What does it say next? Write
# `"a"`, `"b"` or `"c"`.
#
# - a. What it said before the swap: the word in the text is still *girl*.
# - b. Exactly what the model without the swap says after *... a little boy named*.
# - c. Neither: the swap spoils the prediction.


# %% key="predict"
def after_the_swap():
    girl, boy = (tokenizer.encode(word)[-1] for word in (" girl", " boy"))
    embedding = np.array(weights.embedding)
    embedding[[girl, boy]] = embedding[[boy, girl]]
    named = dict(weights.named()) | {"embedding": embedding, "output": weights.output}
    text = "Once upon a time, there was a little {} named"
    of_girl, of_boy = (
        np.array(tokenizer.encode(text.format(w), bos=True)) for w in ("girl", "boy")
    )
    logits = forward(type(weights).from_named(named), config, of_girl)[-1]
    answers = {
        "a": forward(weights, config, of_girl)[-1],
        "b": forward(weights, config, of_boy)[-1],
    }
    return next((name for name, each in answers.items() if np.allclose(logits, each)), "c")


guess = ...
predict("02", guess, after_the_swap)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# It is b, and not only nearly: every number of the forward pass is the same. The blocks never see an id, only
# the row that the look-up gives them, so with the swap *girl* is read as *boy*. What the model *writes* is
# decided by the output matrix, which was not swapped, and so it can still say `␣girl` where a girl belongs.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# When training began, every token's column in the output matrix was a copy of its row in the embedding. How many
# tokens still find their own column nearest? Take the tokens `some`, spread over the vocabulary. Subtract
# their mean from their rows, and from their columns (step 3 of the [lesson](../02_embedding.ipynb)), and give the
# share of tokens whose row has its largest cosine with their *own* column, among the columns of all `some`. Then
# say in one sentence what has drawn the two apart.


# %% key="measure"
some = np.arange(0, config.vocab_size, config.vocab_size // 256)


def own_right():
    rows, columns = (m[some] - m[some].mean(axis=0) for m in (weights.embedding, weights.output.T))
    lengths = np.sqrt((columns**2).sum(axis=-1))  # the length of the row changes no order
    return ((rows @ columns.T / lengths).argmax(axis=-1) == np.arange(len(some))).mean()


# yours: my_cosines helps, one row at a time

found, because = ..., ...
measure("02", found, own_right, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# By chance it would be one token in {{ len(some) }}. It is {{ own_right() :.0% }}, so that the common start can still be
# seen. {{ claim: own_right() > 10 / len(some) }}
# The other pairs have been drawn apart, since a row is moved by what comes after its token, towards the columns of its
# followers, and a column by what comes before, towards rows that expect it. A token whose followers and predecessors
# are different cannot stay in one place.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 02](../02_embedding.ipynb). Next: [lesson 03](../03_rms_norm.ipynb) and
# [its exercise](03_rms_norm.ipynb).
