# %% [markdown] key="title"
# # Exercise 00: reading a prediction
#
# This page belongs to [lesson 00](../00_start_here.ipynb). Read the lesson first, or keep it open beside.
#
# How it works: a task gives you a function without its inside. Put your code in the place of each `...`
# and run the cell (Shift and Enter). `check` calls your function with fresh random numbers and says in one
# or two lines whether it is right. If it knows the mistake, it says so, and where to read again. Nothing
# leaves your machine, and you can try as often as you like.
#
# The text in quotes under the first line of a function says which shapes go in and which come out, and
# behind `>>>` stands a tiny example with its result. It only explains: leave it as it is.
#
# If a cell does not end, press the stop button (the square above the page): a loop of yours has no end.
#
# Write with NumPy alone. A function that calls the library of the lessons does not pass.

# %% key="setup"
import numpy as np
from classroom import check, measure, predict, progress

# %% [markdown] key="next-token-task"
# ## Task 1. The next token
#
# Fill in one line (step 10 of the [lesson](../00_start_here.ipynb)). The logits of a text have shape `T V`: a row for each token of the text, a score for each
# token of the vocabulary. Which token does the model find likeliest **after the whole text**? Give its id.
#
# <details><summary>Hint</summary>
#
# The last row says what follows the last token. `argmax` gives the place of the largest number, and the
# place of a score in its row is the id.
#
# </details>


# %% key="next-token"
def my_next_token(logits):
    """logits: T V -> an id

    >>> my_next_token(np.array([[9.0, 1.0, 2.0], [1.0, 2.0, 5.0]]))
    2
    """
    last = logits[-1]
    best = ...
    return int(best)


check("next_token", my_next_token)

# %% [markdown] key="n-best-task"
# ## Task 2. The n best
#
# Write the function. It gets one row of scores and returns the ids of the `n` largest, the best first.
#
# <details><summary>Hint</summary>
#
# `np.argsort` gives the places of the numbers from the smallest to the largest. What does it give for
# `-scores`?
#
# </details>


# %% key="n-best"
def my_n_best(scores, n):
    """scores: V -> n ids, an array

    >>> my_n_best(np.array([0.5, 3.0, -1.0, 2.0]), 2)
    array([1, 3])
    """
    ...


check("n_best", my_n_best)

# %% [markdown] key="predict-task"
# ## Predict
#
# The model below gets five ids. Its vocabulary is printed. Which shape do its logits have? Write your
# guess as a pair, such as `(3, 4)`, then run the cell. A prediction counts when it is made, right or wrong.

# %% key="predict"
from llama_np import forward
from weights_tools import load_model

model = load_model()
print("vocabulary:", model.config.vocab_size)
guess = ...
predict("00", guess, lambda: forward(model.weights, model.config, [1, 2, 3, 4, 5]).shape)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# `T V`: one row for each of the five tokens, and in each row a score for every token of the vocabulary. Every
# row predicts, not only the last.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# In the [lesson](../00_start_here.ipynb) the last token was forbidden to read ` girl` in all blocks, and ` Lily` was
# gone. Is it enough to forbid it in the *first* `n` blocks? `best_token(n)` says which token the model then finds
# likeliest. Find the smallest `n` at which it is no longer ` Lily`, and say in a sentence why the blocks before do
# not suffice. Guess first: fewer than half of the blocks, or more?

# %% key="measure"
from llama_np import patch

tokenizer = model.tokenizer
ids = np.array(tokenizer.encode("Once upon a time, there was a little girl named", bos=True))


def without_girl(scores):
    scores = scores.copy()
    scores[:, -1, -2] = -np.inf  # in all heads: the last token reads nothing from the one before
    return scores


def best_token(n):
    """The likeliest next token if the last one cannot read ` girl` in the first n blocks."""
    tap = patch({f"blocks.{i}.masked": without_girl for i in range(n)})
    return tokenizer.token(forward(model.weights, model.config, ids, tap=tap)[-1].argmax())


def smallest():
    blocks = range(model.config.n_layers + 1)
    return next((n for n in blocks if best_token(n) != best_token(0)), len(blocks))


print("in no block:", best_token(0), " in all:", best_token(model.config.n_layers))
# yours, for example: print(best_token(8))

found, because = ..., ...
measure("00", found, smallest, because, tolerance=0)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# It is {{ smallest() }} of {{ model.config.n_layers }}. With one block fewer hidden the name still
# comes first, since the last token can read ` girl` in the blocks that are left and catch up on what it has missed:
# several heads in several blocks read the same word.
#
# </details>

# %% [markdown] key="end"
# ## How far you are
#
# Each box is a task of the course. It is filled when it is done.

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 00](../00_start_here.ipynb). Next: [lesson 01](../01_tokens.ipynb) and
# [its exercise](01_tokens.ipynb).
