# %% [markdown] key="title"
# # Exercise 03: your own norm
#
# This page belongs to [lesson 03](../03_rms_norm.ipynb). Put your code in the place of each `...` and run
# the cell. `T` counts tokens (rows), `D` the numbers of a row (columns).

# %% key="setup"
import numpy as np
from classroom import check, measure, predict, progress

from llama_np import forward, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
prompt = "Once upon a time, there was a little girl named"
ids = np.array(tokenizer.encode(prompt, bos=True))

# %% [markdown] key="row-sizes-task"
# ## Task 1. The size of every row
#
# Fill in one line, the root mean square of each row (step 1 of the [lesson](../03_rms_norm.ipynb)): square,
# take the mean along the row, take the root. The result is a column with one number for each row, shape
# `T 1`.
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
# Now write the whole step alone (step 4 of the [lesson](../03_rms_norm.ipynb)). Divide every row by its size,
# with $\epsilon$ in its place, and multiply each column by its weight.
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
# In step 6 of the [lesson](../03_rms_norm.ipynb) the stream was multiplied by 10 at one place, and the model suffered.
# Now everything that is ever *written* to the stream becomes ten times as large: the rows of the embedding, and in
# every block the matrices `wo` and `w_down`, whose results are added. By how much does the largest logit of the
# sentence change, in percent of its value, with one digit after the point?


# %% key="predict"
def change_in_percent():
    named = dict(weights.named())
    for name in ("embedding", "wo", "w_down"):
        for full in [known for known in named if known.split(".")[-1] == name]:
            named[full] = np.asarray(named[full]) * np.float32(10)
    before, after = (
        forward(w, config, ids)[-1] for w in (weights, type(weights).from_named(named))
    )
    best = before.argmax()
    return round(float(abs(after[best] - before[best]) / abs(before[best]) * 100), 1)


guess = ...
predict("03", guess, change_in_percent)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Hardly at all, and only because $\epsilon$ now matters even less. {{ claim: change_in_percent() < 0.1 }} The stream is the sum of all that is written to it,
# so every row of it is ten times as large, at every place, and every norm divides by ten times as much. In the lesson
# only the part that was there already became larger, and what came after it had to be heard beside it. It is the
# *proportions* of what blocks write that count.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# Somebody has turned a knob: in one block, the weight of the norm before feed-forward was multiplied by one
# number, all columns alike. `patient` are these weights; `weights` are healthy. Find the number. `record` keeps
# every named result of a run, `trace["blocks.3.ffn_norm"]` is what feed-forward of block 3 reads, and
# `my_row_sizes` measures it. (Looking into the weights of the patient would be cheating, and so would `secret`.)
#
# Then say in a sentence why blocks before that one read just what they always read, while the blocks *after* it
# read rows of nearly the usual size, although what they read is no longer the same.

# %% key="measure"
rng = np.random.default_rng(3)
block, secret = int(rng.integers(1, config.n_layers)), float(rng.uniform(1.5, 3))
named = dict(weights.named())
named[f"layers.{block}.ffn_norm"] = weights.layers[block].ffn_norm * np.float32(secret)
patient = type(weights).from_named(named)

healthy_trace, patient_trace = {}, {}
forward(weights, config, ids, tap=record(healthy_trace))
forward(patient, config, ids, tap=record(patient_trace))
# yours: compare the sizes of the rows in the two traces, block by block

found, because = ..., ...
measure("03", found, lambda: secret, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# Nothing flows backwards in the stream, so every block before the turned knob does the same as ever, and its two
# traces are equal to the last digit. In the block itself feed-forward reads rows larger by just the number you
# found, since the norm has divided by the row's own size before. All later norms divide by the size of *their*
# row, so whatever the block wrote too loudly, their readers get rows of the usual size, which point elsewhere.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 03](../03_rms_norm.ipynb). Next: [lesson 04](../04_single_head_attention.ipynb) and
# [its exercise](04_single_head_attention.ipynb).
