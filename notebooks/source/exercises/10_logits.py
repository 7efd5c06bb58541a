# %% [markdown] key="title"
# # Exercise 10: from a row to a choice
#
# This page belongs to [lesson 10](../10_logits.ipynb). Put your code in the place of each `...` and run the
# cell. `V` is the size of the vocabulary.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

# %% [markdown] key="logits-task"
# ## Task 1. Logits
#
# Fill in one line, the product with the output matrix, after the last norm (step 1 of the
# [lesson](../10_logits.ipynb)). `weight` is the weight of that norm.
#
# <details><summary>Hint</summary>
#
# The norm is written already, so that one matrix product is left.
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

# %% [markdown] key="predict-task"
# ## Predict
#
# Before you write the temperature: three tokens have the probabilities 0.3, 0.5 and 0.2. At a temperature of
# 0.5, which probability has the first one? Say at least whether it rises or falls, and then a number.


# %% key="predict"
def at_half_the_temperature():
    logits = np.log(np.array([[0.3, 0.5, 0.2]]))
    return float(mine.softmax(logits / 0.5)[0, 0])


guess = ...
predict("10", guess, at_half_the_temperature)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# It falls, although it was not the least likely one: halving the temperature doubles the logits, which squares
# the probabilities before they are brought to a sum of one. The squares are 0.09, 0.25 and 0.04, and 0.09 of
# 0.38 is 0.237. Below 1 a temperature gives to the likeliest, always to the leader, and takes from the
# unlikely ones.
#
# </details>

# %% [markdown] key="probabilities-task"
# ## Task 2. Temperature
#
# Write the function that gives the probabilities of all tokens at a temperature. `mine.softmax` is your
# softmax.
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
# This one is yours alone. Go down from the likeliest token, and drop a token only if those before it already
# hold more than `p`, so that the one with which they pass `p` stays. The kept ones sum to one again.
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

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# Somebody has let the model write 20 texts and will not say at which temperature (it is `secret`; no peeping).
# The texts give it away. `surprise` says how surprised the model is, on the mean, at a token of some texts:
# minus the logarithm of its probability, at a temperature of 1. Write texts of your own at temperatures of your
# choice until they are as surprising as the unknown ones. Within a tenth is right.

# %% key="measure"
from llama_np import Sampling, generate_batch, log_probabilities
from weights_tools import load_model

model = load_model()
start = model.tokenizer.encode("Once upon a time, there was a", bos=True)


def write(temperature, seed):
    rng = np.random.default_rng(seed)
    how = Sampling(temperature)
    return generate_batch(model.weights, model.config, [start] * 20, 50, how, rng=rng)


def surprise(texts):
    whole = [log_probabilities(model.weights, model.config, start + text) for text in texts]
    return -np.mean([each[len(start) - 1 :].mean() for each in whole])


secret = 0.5 + 0.7 * np.random.default_rng(2).random()
unknown = write(secret, seed=0)
print(f"surprise at the unknown texts: {surprise(unknown):.2f}")
# yours, for example: print(surprise(write(0.5, seed=1)))

found, because = ..., ...
measure("10", found, lambda: secret, because, tolerance=0.1)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# The surprise grows with the temperature, because more draws fall on tokens that the model itself finds
# unlikely, so that each temperature leaves its own mean behind. With 20 texts of 50 tokens the mean is exact
# enough to read the temperature off within a few hundredths. Texts at a temperature of 1 are as surprising as
# the model expects them to be, and below 1 they are more predictable than that.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 10](../10_logits.ipynb). Next: [lesson 11](../11_kv_cache.ipynb) and
# [its exercise](11_kv_cache.ipynb).
