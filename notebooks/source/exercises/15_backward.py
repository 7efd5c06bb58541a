# %% [markdown] key="title"
# # Exercise 15: the backward pass
#
# This page belongs to [lesson 15](../15_backward.ipynb). Put your code in the place of each `...` and run the cell.
# `d_out` is always the gradient of the loss with respect to what a step gave out, and you return the gradient with
# respect to what went in. `T` counts tokens, `V` the vocabulary, `D` the numbers of a row, `K` those of a head.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

from weights_tools import load_model

# %% [markdown] key="d-logits-task"
# ## Task 1. Predicted minus right
#
# The gradient of cross-entropy with respect to the logits. `targets` holds the id of the token that came; where it is
# -100, the position does not count, and its row is zero. `mine.softmax` is your own from exercise 04.
#
# <details><summary>Hint</summary>
#
# Softmax first. `d[np.arange(len(d)), targets] -= 1` subtracts 1 at the right tokens, but only rows that count may get
# it: `rows = np.flatnonzero(targets != -100)`. Divide by `len(rows)`, and set the other rows to zero.
#
# </details>


# %% key="d-logits"
def my_d_logits(logits, targets):
    """logits: T V, targets: T -> T V

    >>> my_d_logits(np.zeros((2, 2)), np.array([1, -100]))
    array([[ 0.5, -0.5],
           [ 0. ,  0. ]])
    """
    ...


check("d_logits", my_d_logits)

# %% [markdown] key="accumulate-task"
# ## Task 2. Parts of a batch
#
# A batch went through in `B` parts. Row `b` of `gradients` is the gradient of the *mean* loss of part `b`, and
# `counts[b]` says how many tokens counted in it. Return the gradient of the mean loss of the whole batch, for all `P`
# weights.
#
# <details><summary>Hint</summary>
#
# A mean times its count is a sum. Add the sums of the parts, and divide by the count of all.
#
# </details>


# %% key="accumulate"
def my_accumulate(gradients, counts):
    """gradients: B P, counts: B -> P

    >>> my_accumulate(np.array([[1.0], [5.0]]), np.array([3, 1]))
    array([2.])
    """
    ...


check("accumulate", my_accumulate)

# %% [markdown] key="norm-backward-task"
# ## Task 3. RMSNorm
#
# The forward pass was `n = x * r`, with `r = 1 / np.sqrt(mean(x * x) + eps)` for each row, and then `n * weight`. Return
# the gradient with respect to `x`.
#
# $$d_x = r\,\bigl(g - n \cdot \mathrm{mean}(g \odot n)\bigr) \qquad g = d_{out} \odot w$$
#
# <details><summary>Hint</summary>
#
# Compute `r`, `n` and `g` first; `r` and the mean of `g * n` belong to rows: `axis=-1, keepdims=True`.
#
# </details>


# %% key="norm-backward"
def my_norm_backward(d_out, x, weight, eps):
    """d_out: T D, x: T D, weight: D, eps: a number -> T D

    >>> my_norm_backward(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]), np.ones(2), 0.0)
    array([[ 0.5, -0.5]])
    """
    ...


check("norm_backward", my_norm_backward)

# %% [markdown] key="softmax-backward-task"
# ## Task 4. Softmax
#
# From the gradient with respect to the weights of a pattern to the one with respect to the scores. The pattern itself
# is `weights`, and all you need of the forward pass.
#
# <details><summary>Hint</summary>
#
# For each row the sum of `d_out * weights`, as a column. What lies above it is raised, what lies below is lowered, each
# as far as its weight allows.
#
# </details>


# %% key="softmax-backward"
def my_softmax_backward(d_out, weights):
    """d_out: T S, weights: T S -> T S

    >>> my_softmax_backward(np.array([[4.0, 0.0]]), np.array([[0.25, 0.75]]))
    array([[ 0.75, -0.75]])
    """
    ...


check("softmax_backward", my_softmax_backward)

# %% [markdown] key="attend-backward-task"
# ## Task 5. A head
#
# The forward pass was `scores = q @ k.T / np.sqrt(K)`, `pattern` their softmax under the mask, `mix = pattern @ v`. All of `q`, `k`
# and `v` belong to the same `T` tokens here. Fill in four lines; the last one puts the three gradients into one array.
#
# <details><summary>Hint</summary>
#
# Each product gives two: `d_v = pattern.T @ d_mix` and `d_pattern = d_mix @ v.T`. Then `mine.softmax_backward`. Of the product
# that made the scores, do not forget the root.
#
# </details>


# %% key="attend-backward"
def my_attend_backward(d_mix, q, k, v, pattern):
    """d_mix: T K, q: T K, k: T K, v: T K, pattern: T T -> 3 T K, for q, k and v

    >>> q, k, v, one = *np.eye(3, 2)[:, None], np.ones((1, 1))
    >>> my_attend_backward(np.array([[5.0, 6.0]]), q, k, v, one)[2]
    array([[5., 6.]])
    """
    d_v = ...
    d_scores = ...
    d_q = ...
    d_k = ...
    return np.stack([d_q, d_k, d_v])


check("attend_backward", my_attend_backward)

# %% [markdown] key="predict-task"
# ## Predict
#
# Every number of the stream is doubled before a norm, and the same `d_out` comes back. How many times as large is the
# gradient with respect to `x` now?

# %% key="predict"
guess = ...


def factor():
    rng = np.random.default_rng(0)
    d_out, x, weight = rng.standard_normal((4, 8)), rng.standard_normal((4, 8)), np.ones(8)
    once = mine.norm_backward(d_out, x, weight, 0.0)
    twice = mine.norm_backward(d_out, 2 * x, weight, 0.0)
    return float(np.abs(twice).max() / np.abs(once).max())


predict("15", guess, factor)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Half as large. What comes out of the norm is the same, so a step of the same length in `x` now turns the row only half as
# far. It is the factor `r` in the rule. While a stream grows from block to block, what the halves send back
# into it shrinks, and the way around them carries the rest ([lesson 15](../15_backward.ipynb), step 5).
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# For a single head, from block 1 on, the backward pass promised well what taking it out would do ([lesson 15](../15_backward.ipynb), step 10). Take out **all** heads
# of the model at once, in the text below, where only the last token counts. By how many nats does its surprise really
# grow, and what does the sum of all promises say? Write down the first, and in a sentence why the second is so far off.
#
# <details><summary>Where to begin</summary>
#
# `loss_and_gradients` gives the loss and the gradients, and `silent` is the model whose heads all write nothing. The
# promise of a block is `-(d.wo * layer.wo).sum()`, with `d` its gradients.
#
# </details>

# %% key="measure"
from dataclasses import replace

from llama_np.training.backward import loss_and_gradients

model = load_model()
text = "Once upon a time, there was a big dog named Tom. Tom"
tokens = np.array(model.tokenizer.encode(text, bos=True))
ids, targets = tokens[:-1], np.full(len(tokens) - 1, -100)
targets[-1] = tokens[-1]
layers = tuple(replace(layer, wo=np.zeros_like(layer.wo)) for layer in model.weights.layers)
silent = replace(model.weights, layers=layers)


def grows():
    losses = [
        loss_and_gradients(weights, model.config, ids, targets)[0]
        for weights in (model.weights, silent)
    ]
    return float(losses[1] - losses[0])


found, because = ..., ...
measure("15", found, grows, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# The loss grows by {{ grows() :.1f }} nats, since without attention the last token knows nothing but itself, whereas the promises add up to
# {{ sum(-(d.wo * w.wo).sum() for d, w in zip(loss_and_gradients(model.weights, model.config, ids, targets)[1].layers, model.weights.layers)) :.1f }}. {{ claim: grows() > 5 }} Each
# promise is made at one place, and this is far away from it. More than half of the loss comes from block 0, whose heads alone cost
# {{ loss_and_gradients(replace(model.weights, layers=(layers[0], *model.weights.layers[1:])), model.config, ids, targets)[0] - loss_and_gradients(model.weights, model.config, ids, targets)[0] :.1f }}:
# there is the cliff that the lesson ends with. {{ claim: loss_and_gradients(replace(model.weights, layers=(layers[0], *model.weights.layers[1:])), model.config, ids, targets)[0] - loss_and_gradients(model.weights, model.config, ids, targets)[0] > grows() / 2 }}
# And of the others several bring the same news, so that losing one of them costs little, and losing all costs what none of
# them promised.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 15](../15_backward.ipynb). Next: [lesson 16](../16_pretraining.ipynb), where such gradients train a model.
