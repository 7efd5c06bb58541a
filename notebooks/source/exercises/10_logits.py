# %% [markdown] key="title"
# # Exercise 10: from a row to a choice
#
# This page belongs to [lesson 10](../10_logits.ipynb). Put your code in the place of each `...` and run the
# cell. `V` is the size of the vocabulary.

# %% key="setup"
import numpy as np
from classroom import check, mine, predict, progress

# %% [markdown] key="logits-task"
# ## Task 1. Logits
#
# Fill in one line: the last norm, then the output matrix. `weight` is the weight of the last norm.
#
# <details><summary>Hint</summary>
#
# The norm is written already. What is left is one matrix product.
#
# </details>


# %% key="logits"
def my_logits(x, weight, output, eps):
    """x: T D, weight: D, output: D V, eps: a number -> T V

    >>> output = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 2.0]])
    >>> my_logits(np.array([[3.0, -3.0]]), np.ones(2), output, 0.0)
    array([[ 1., -1.,  0.]])
    """
    final = mine.rms_norm(x, weight, eps)
    scores = ...
    return scores


check("logits", my_logits)

# %% [markdown] key="probabilities-task"
# ## Task 2. Temperature
#
# Write the function: the probabilities of all tokens, at a temperature. `mine.softmax` is your softmax.
#
# <details><summary>Hint</summary>
#
# The logits are divided, not the probabilities.
#
# </details>


# %% key="probabilities"
def my_probabilities(logits, temperature):
    """logits: V, temperature: a number above 0 -> V

    >>> my_probabilities(np.array([0.0, np.log(3.0)]), 1.0).round(4)
    array([0.25, 0.75])
    >>> my_probabilities(np.array([0.0, np.log(3.0)]), 0.5).round(4)
    array([0.1, 0.9])
    """
    ...


check("probabilities", my_probabilities)

# %% [markdown] key="keep-top-k-task"
# ## Task 3. Top-k
#
# Keep the `k` most likely tokens, set all others to zero, and let the kept ones sum to one again.
#
# <details><summary>Hint</summary>
#
# `np.argsort(-probabilities)[:k]` are the ids to keep. Start with zeros, copy those, and divide by the sum.
#
# </details>


# %% key="keep-top-k"
def my_keep_top_k(probabilities, k):
    """probabilities: V, k: a whole number -> V

    >>> my_keep_top_k(np.array([0.15, 0.5, 0.05, 0.3]), 2)
    array([0.   , 0.625, 0.   , 0.375])
    """
    ...


check("keep_top_k", my_keep_top_k)

# %% [markdown] key="keep-top-p-task"
# ## Task 4. Top-p
#
# Alone. Go from the likeliest token down. A token is dropped only if those before it already hold more than
# `p`. So the one with which they pass `p` stays. The kept ones sum to one again.
#
# <details><summary>Hint</summary>
#
# Sort with `np.argsort(-probabilities)`. `np.cumsum` of the sorted ones says how much they hold up to each
# token; subtract the token's own, and you have what those before it hold.
#
# </details>


# %% key="keep-top-p"
def my_keep_top_p(probabilities, p):
    """probabilities: V, p: a number between 0 and 1 -> V

    >>> my_keep_top_p(np.array([0.15, 0.5, 0.05, 0.3]), 0.6)
    array([0.   , 0.625, 0.   , 0.375])
    """
    ...


check("keep_top_p", my_keep_top_p)

# %% [markdown] key="predict-task"
# ## Predict
#
# A token has the probability 0.3. Now 5 is added to **all** logits. Which probability does it have?


# %% key="predict"
def after_adding():
    logits = np.log(np.array([[0.3, 0.5, 0.2]]))
    return float(mine.softmax(logits + 5)[0, 0])


guess = ...
predict("10", guess, after_adding)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# 0.3 as before. Only the differences between logits count, and none of them has changed.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Next: [lesson 11](../11_kv_cache.ipynb) and [its exercise](11_kv_cache.ipynb).
