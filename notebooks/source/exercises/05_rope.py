# %% [markdown] key="title"
# # Exercise 05: turning queries and keys
#
# This page belongs to [lesson 05](../05_rope.ipynb). Put your code in the place of each `...` and run the
# cell. A head of width `K` has `K/2` pairs of neighbours: numbers 0 and 1, numbers 2 and 3, and so on. At the
# end you take the words away from the model and see which head does not mind.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

# %% [markdown] key="frequencies-task"
# ## Task 1. A frequency for every pair
#
# Fill in one line ([lesson 05, step 3](../05_rope.ipynb)): the frequencies in radians per position, for the
# pairs $j = 0, 1, \dots, K/2 - 1$.
#
# $$\theta_j = \mathrm{base}^{-2j/K}$$
#
# <details><summary>Hint</summary>
#
# `**` is "to the power of" in Python, and works on a whole array in the exponent. Put the whole exponent in
# brackets.
#
# </details>


# %% key="frequencies"
def my_frequencies(head_dim, base):
    """head_dim: K, base: a number -> K/2

    >>> my_frequencies(4, 100.0)
    array([1. , 0.1])
    """
    pair = np.arange(head_dim // 2)
    per_position = ...
    return per_position


check("frequencies", my_frequencies)

# %% [markdown] key="angles-task"
# ## Task 2. The table of angles
#
# Write the function ([step 4](../05_rope.ipynb)). The table has a row for each token and a column for each
# pair, and the angle is the position times the frequency of the pair.
#
# <details><summary>Hint</summary>
#
# `positions[:, None]` is a column, `T 1`. A column times a row is a table.
#
# </details>


# %% key="angles"
def my_angles(positions, frequencies):
    """positions: T, frequencies: K/2 -> T K/2

    >>> my_angles(np.array([0, 1, 3]), np.array([1.0, 0.1]))
    array([[0. , 0. ],
           [1. , 0.1],
           [3. , 0.3]])
    """
    ...


check("angles", my_angles)

# %% [markdown] key="rotate-task"
# ## Task 3. Turn every pair
#
# This one is yours alone. Each pair $(a, b)$ of neighbours is turned by its angle $\varphi$:
#
# $$(a, b) \;\to\; (a \cos\varphi - b \sin\varphi,\;\; a \sin\varphi + b \cos\varphi)$$
#
# In the result the numbers are in the same order, so that the pairs stay neighbours. `mine.angles` gives the
# table of task 2.
#
# <details><summary>Hint</summary>
#
# `x[:, 0::2]` are the first numbers of all pairs, `x[:, 1::2]` the second ones. Make an empty array with
# `np.empty_like(x)` and fill its `[:, 0::2]` and its `[:, 1::2]`.
#
# </details>


# %% key="rotate"
def my_rotate(x, positions, frequencies):
    """x: T K, positions: T, frequencies: K/2 -> T K

    >>> quarter = np.array([np.pi / 2])
    >>> my_rotate(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]), quarter).round(6)
    array([[1., 0.],
           [0., 1.]])
    """
    ...


check("rotate", my_rotate)

# %% [markdown] key="predict-task"
# ## Predict
#
# A head knows nothing but its fastest pair, which turns by one radian a token. Its query is made so that the
# score is highest at distance 1, as in [step 6](../05_rope.ipynb). In a text of 100 tokens, which other distance
# comes closest to that score?


# %% key="predict"
def second_best():
    key = np.array([[1.0, 0.0]])
    one_speed = mine.frequencies(2, 10000.0)
    query = mine.rotate(key, np.array([-1]), one_speed)
    scores = [(mine.rotate(query, np.array([d]), one_speed) @ key.T).item() for d in range(100)]
    return int(np.argsort(scores)[-2])


guess = ...
predict("05", guess, second_best)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# It is 45, not 7. At 7 the hand has not quite made a full turn: 6 radians further, where it takes 6.28. At 45
# it has gone 44 radians further, and seven full turns are 43.98, so that it points almost exactly where it did.
# This is why one pair is not enough, and why near repetitions come at places that one does not expect.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# Here is a story whose tokens have been shuffled: nobody can guess what comes next, neither you nor the model.
# `patterns_of` gives the pattern of every head of every block. Take, for each head, the mean weight on the token
# before, from the third row on (earlier rows hardly have a choice), and find the largest one in the whole
# model: once for the story as it was, to compare, and once for the shuffled one, which is the number asked for.
#
# <details><summary>A line to begin with</summary>
#
# `patterns[block, head].diagonal(-1)` are the weights on the token before, from the second row on.
#
# </details>

# %% key="measure"
from llama_np import forward, record
from weights_tools import load_model
from weights_tools.examine import ordinary_texts

model = load_model()


def patterns_of(ids):  # -> blocks heads T T
    trace = {}
    forward(model.weights, model.config, ids, tap=record(trace, only={"pattern"}))
    return np.stack([trace[f"blocks.{i}.pattern"] for i in range(model.config.n_layers)])


story = ordinary_texts(model.tokenizer, 1).ids[0]
shuffled = np.array([story[0], *np.random.default_rng(0).permutation(story[1:])])


def largest():
    before = np.diagonal(patterns_of(shuffled), -1, 2, 3)  # blocks heads T-1
    return float(before[..., 1:].mean(axis=-1).max())


found, because = ..., ...
measure("05", found, largest, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# The head goes on reading the token before, although the text makes no sense any more. It finds its neighbour by
# the angles, which the shuffling has not touched, and hardly by the words.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 05](../05_rope.ipynb). Next: [lesson 06](../06_masking.ipynb) and [its exercise](06_masking.ipynb).
