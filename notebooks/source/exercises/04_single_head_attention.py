# %% [markdown] key="title"
# # Exercise 04: one head
#
# This page belongs to [lesson 04](../04_single_head_attention.ipynb). Put your code in the place of each
# `...` and run the cell. `T` counts the tokens that ask, `S` those that are asked, and `K` is the width of
# the head. Here every token may read from every other one: rotation and the mask come later.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

from llama_np import forward, record
from weights_tools import load_model

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
# A query has the scores 5 and 3 with two keys, so the first gets 7.4 times the weight of the second. Now the
# stream becomes twice as large, and with it every query and every key. How many times the weight of the
# second does the first get now?

# %% key="predict"
guess = ...


def ratio():
    query, keys = np.array([[2.0]]), np.array([[2.5], [1.5]])
    weights = mine.softmax((2 * query) @ (2 * keys).T)[0]
    return float(weights[0] / weights[1])


predict("04", guess, ratio)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Both factors of a score are doubled, so the scores become four times as large: 20 and 12. They were 2 apart
# and are now 8 apart, and each step of 1 is a factor of $e$: $e^8 = 2981$. A norm in front of every head keeps
# this from happening ([lesson 03](../03_rms_norm.ipynb)).
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# In the last part of the [lesson](../04_single_head_attention.ipynb), some heads turned out to read ` girl`
# and yet to change next to nothing. How many heads read it at all? Count those whose last row gives ` girl` more
# than half of its weight. Then say in one sentence why this count does not tell how many heads matter for the name.

# %% key="measure"
model = load_model()
prompt = "Once upon a time, there was a little girl named"
ids = np.array(model.tokenizer.encode(prompt, bos=True))
girl = [model.tokenizer.decode([t]) for t in ids].index(" girl")
trace = {}
forward(model.weights, model.config, ids, tap=record(trace))  # trace["blocks.0.pattern"]: Hq T S


def readers():
    patterns = [trace[f"blocks.{block}.pattern"] for block in range(model.config.n_layers)]
    return int((np.stack(patterns)[:, :, -1, girl] > 0.5).sum())


found, because = ..., ...
measure("04", found, readers, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# What a head reads is one thing, what it hands over is another: the value may carry nothing about girl or boy,
# or `wo` may write it in a direction that no later step uses. Whether a head matters is seen by changing what
# it hands over, as the lesson does.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 05](../05_rope.ipynb) and [its exercise](05_rope.ipynb).
