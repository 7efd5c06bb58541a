# %% [markdown] key="title"
# # Exercise 06: hiding the future
#
# This page belongs to [lesson 06](../06_masking.ipynb). Put your code in the place of each `...` and run the
# cell. `T` counts queries, `S` keys. At the end the model gets a mask of your own and has to tell a story
# through a narrow window.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

# %% [markdown] key="causal-mask-task"
# ## Task 1. Who may see whom
#
# Fill in one line ([lesson 06, step 2](../06_masking.ipynb)): a table of true and false with a row for each query
# and a column for each key, true where the query may see the key.
#
# <details><summary>Hint</summary>
#
# Compare a row of key positions with a column of query positions. A token sees itself too.
#
# </details>


# %% key="causal-mask"
def my_causal_mask(query_positions, key_positions):
    """query_positions: T, key_positions: S -> T S, true and false

    >>> my_causal_mask(np.array([1, 2]), np.array([0, 1, 2])).astype(int)
    array([[1, 1, 0],
           [1, 1, 1]])
    """
    queries, keys = query_positions[:, None], key_positions[None, :]
    visible = ...
    return visible


check("causal_mask", my_causal_mask)

# %% [markdown] key="mask-scores-task"
# ## Task 2. Hide the scores
#
# Write the function ([step 3](../06_masking.ipynb)). The scores of hidden keys become minus infinity, `-np.inf`,
# and all others stay.
#
# <details><summary>Hint</summary>
#
# `np.where(condition, a, b)` takes `a` where the condition is true, and `b` elsewhere.
#
# </details>


# %% key="mask-scores"
def my_mask_scores(scores, mask):
    """scores: T S, mask: T S -> T S

    >>> my_mask_scores(np.array([[1.0, 2.0]]), np.array([[True, False]]))
    array([[  1., -inf]])
    """
    ...


check("mask_scores", my_mask_scores)

# %% [markdown] key="attend-task"
# ## Task 3. Attention with a mask
#
# This one is yours alone: scores, mask, softmax, mix. Use `mine.scores` and `mine.softmax` of exercise 04 and
# `mine.mask_scores`.
#
# <details><summary>Hint</summary>
#
# In this order. Once the scores of the future are minus infinity, the softmax gives them the weight 0.
#
# </details>


# %% key="attend"
def my_attend(q, k, v, mask):
    """q: T K, k: S K, v: S K, mask: T S -> T K

    >>> only_itself = np.array([[True, False], [True, True]])
    >>> my_attend(np.zeros((2, 1)), np.ones((2, 1)), np.array([[2.0], [4.0]]), only_itself)
    array([[2.],
           [3.]])
    """
    ...


check("attend", my_attend)

# %% [markdown] key="predict-task"
# ## Predict
#
# Six tokens go through a head with your mask. Then token 3 is replaced by another one, so that its query, key
# and value are new. Which rows of the mix change? Write them as a list, counted from 0.


# %% key="predict"
def changed_rows():
    rng = np.random.default_rng(0)
    before = rng.standard_normal((3, 6, 4))  # q, k, v: T K
    after = before.copy()
    after[:, 3] = rng.standard_normal((3, 4))
    mask = mine.causal_mask(np.arange(6), np.arange(6))
    mixes = [mine.attend(*qkv, mask) for qkv in (before, after)]
    return np.flatnonzero((mixes[0] != mixes[1]).any(axis=-1)).tolist()


guess = ...
predict("06", guess, changed_rows)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# Rows 3, 4 and 5. Row 3 has a new query, and all three see the new key and value. Rows 0 to 2 do not see them, and
# this is what lets a model keep what it has computed for the tokens before (lesson 11).
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# Some models let each token see only the last few tokens, itself among them: a **sliding window**. Build such a
# mask for a window of 8, give it to the model, and measure the mean loss over the story below, which `loss`
# does for any mask. Before you run it: with the whole mask the print says what the loss is. How much worse will
# it be, when every name that was said more than 8 tokens ago is out of sight?

# %% key="measure"
from llama_np import forward, log_softmax
from weights_tools import load_model
from weights_tools.examine import ordinary_texts

model = load_model()
story = ordinary_texts(model.tokenizer, 1).ids[0]
positions = np.arange(len(story))


def loss(mask):
    rows = log_softmax(forward(model.weights, model.config, story, mask=mask))
    return float(-rows[positions[:-1], story[1:]].mean())


print(f"with the whole mask: {loss(positions <= positions[:, None]):.3f}")


def through_a_window():
    distance = positions[:, None] - positions
    return loss((distance >= 0) & (distance < 8))


found, because = ..., ...
measure("06", found, through_a_window, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# The loss rises, because the model was trained to read far back and its heads now miss what they read there, the
# first token of the text among it. It does not rise to that of a guess, for two reasons: much of the next token
# follows from the last few, and what is out of sight in one block has been handed on in the blocks before. A row
# of the second block can hear, through a row 7 places back, of tokens 14 places back, and so on with every block.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 06](../06_masking.ipynb). Next: [lesson 07](../07_multi_head.ipynb) and [its exercise](07_multi_head.ipynb).
