# %% [markdown] key="title"
# # Exercise 14: gradients, and steps
#
# This page belongs to [lesson 14](../14_tensors_and_gradients.ipynb). Put your code in the place of each `...` and run
# the cell. `T` counts rows, `D` the numbers in a row, `V` the vocabulary, and `N` steps of a training run. At the end
# you make a model say another name after *girl*, and look what that has done to *boy*.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

from llama_np import forward, record
from weights_tools import load_model

# %% [markdown] key="d-weight-task"
# ## Task 1. The gradient with respect to a matrix
#
# The forward pass was `z = x @ w`, and `d_out` is the gradient of the loss with respect to `z`. Return the one with
# respect to `w`. (Test your answer on the shapes, and mind that in one of the checks all of them are equal.)
#
# $$d_{w,jv} = \sum_t x_{tj}\, d_{tv}$$
#
# <details><summary>Hint</summary>
#
# The sum runs over the rows, so the rows have to be on the inside of the product.
#
# </details>


# %% key="d-weight"
def my_d_weight(d_out, x):
    """d_out: T V, x: T D -> D V

    >>> my_d_weight(np.array([[1.0, -1.0], [0.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[3., 5.]])
    """
    ...


check("d_weight", my_d_weight)

# %% [markdown] key="descend-task"
# ## Task 2. One step
#
# The logits are `x @ output`, and the loss is the surprise at one wanted token, `-ln p[target]`. Return the matrix
# after one step against the gradient. `mine.probabilities(logits, 1.0)` is your own softmax of exercise 10.
#
# <details><summary>Hint</summary>
#
# `d_z` is the row of probabilities, less 1 at the target. For a single row the sum of task 1 has one term:
# `np.outer(x, d_z)`.
#
# </details>


# %% key="descend"
def my_descend(x, output, target, rate):
    """x: D, output: D V, target: an id, rate: a number -> D V

    >>> my_descend(np.array([1.0, 2.0]), np.zeros((2, 2)), 0, 1.0)
    array([[ 0.5, -0.5],
           [ 1. , -1. ]])
    """
    d_z = ...
    d_output = ...
    return ...


check("descend", my_descend)

# %% [markdown] key="velocity-task"
# ## Task 3. Momentum
#
# In a training run the gradients came one after another, here as the rows of `gradients`, the oldest first. Return the
# velocity after the last of them. It began at zero.
#
# <details><summary>Hint</summary>
#
# A loop over the rows with one line: `keep` times the old velocity, plus the new gradient.
#
# </details>


# %% key="velocity"
def my_velocity(gradients, keep):
    """gradients: N D, keep: a number -> D

    >>> my_velocity(np.array([[8.0, 0.0], [0.0, 4.0], [1.0, 1.0]]), 0.5)
    array([3., 3.])
    """
    ...


check("velocity", my_velocity)

# %% [markdown] key="adam-task"
# ## Task 4. Adam
#
# Fill in three lines, with 0.9 for $\beta_1$ and 0.95 for $\beta_2$. Add `1e-8` to the root, so that a gradient of
# zero is not divided by zero. The tiny example has two weights whose slopes are very different, and the same first step.
#
# <details><summary>Hint</summary>
#
# `m / (1 - 0.9**t)` and `v / (1 - 0.95**t)` are the corrected means, where `t` counts from 1.
#
# </details>


# %% key="adam"
def my_adam(w, gradients, rate):
    """w: D, gradients: N D, the oldest first, rate: a number -> D

    >>> my_adam(np.array([1.0, 1.0]), np.array([[0.001, -50.0]]), 0.1).round(3)
    array([0.9, 1.1])
    """
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m = ...
        v = ...
        w = ...
    return w


check("adam", my_adam)

# %% [markdown] key="predict-task"
# ## Predict
#
# Somebody takes the sum of the losses of 1,000 texts for their mean, so that every gradient is 1,000 times as large. How
# many times as far does Adam go in 20 steps?

# %% key="predict"
guess = ...


def times_as_far():
    gradients = np.random.default_rng(0).standard_normal((20, 5))
    start = np.zeros(5)
    near, far = mine.adam(start, gradients, 0.1), mine.adam(start, 1000 * gradients, 0.1)
    return float(np.linalg.norm(far) / np.linalg.norm(near))


predict("14", guess, times_as_far)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Just as far. The mean of the gradients is 1,000 times as large, and so is the root of the mean of their squares; in the
# quotient it cancels. Plain descent would go 1,000 times as far. So with Adam a loss can be scaled without a new
# rate, and the size of a gradient says nothing about the size of a step.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# In [step 5](../14_tensors_and_gradients.ipynb) of the lesson one step with the rate 0.01 made the model say another
# name after *girl*. The step knew nothing of boys. How likely is that name now after *boy*? `row("boy")` is the last row
# of the stream for that text, `target` the name that was wanted. Say in a sentence why a boy is concerned at all.
#
# <details><summary>Where to begin</summary>
#
# `mine.descend(row("girl"), output, target, 0.01)` is the matrix after the step. For the reason, take the dot product
# of the two rows: what does the step add to a logit of the other text?
#
# </details>

# %% key="measure"
model = load_model()
output = np.asarray(model.weights.output, np.float64)


def row(who):
    text = f"Once upon a time, there was a little {who} named"
    ids, trace = np.array(model.tokenizer.encode(text, bos=True)), {}
    forward(model.weights, model.config, ids, tap=record(trace, only={"final_norm"}))
    return trace["final_norm"][-1].astype(np.float64)


target = np.argsort(-(row("girl") @ output))[2]


def after_boy():
    stepped = mine.descend(row("girl"), output, target, 0.01)
    return float(mine.probabilities(row("boy") @ stepped, 1.0)[target])


found, because = ..., ...
measure("14", found, after_boy, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# After *boy* the probability of `{{ model.tokenizer.token(target) }}` was {{ mine.probabilities(row("boy") @ output, 1.0)[target] :.4f }}, and now it is {{ after_boy() :.2f }}.
# {{ claim: after_boy() > 100 * mine.probabilities(row("boy") @ output, 1.0)[target] }}
# The step adds `-0.01 * np.outer(x, d_z)` to the matrix, where `x` is the row of *girl*. On another row `y` that changes
# the logits by `-0.01 * (y @ x) * d_z`: the same change, and the stronger, the more alike the two rows are. Both are rows of a text in which a
# name is due, and so they have much in common. A step for one text is a step for all texts that look like it to the
# model, which is what makes learning from examples possible, and also how a model forgets.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 14](../14_tensors_and_gradients.ipynb). Next: [lesson 15](../15_backward.ipynb).
