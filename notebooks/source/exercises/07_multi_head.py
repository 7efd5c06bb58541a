# %% [markdown] key="title"
# # Exercise 07: many heads
#
# This page belongs to [lesson 07](../07_multi_head.ipynb). Put your code in the place of each `...` and run
# the cell. Tasks 1 and 2 belong to its step 5 and step 4, task 3 to step 3, and tasks 4 and 5 to step 5. `Hq` is the number of query heads, `Hkv` the number of key-value heads, `K` the width of a head.
# At the end of this page you have written the whole attention step.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

# %% [markdown] key="split-heads-task"
# ## Task 1. Cut the rows into heads
#
# Fill in one line. The numbers of head 0 come first in each row, then those of head 1. First each row is cut,
# then the head axis comes to the front.
#
# <details><summary>Hint</summary>
#
# `swapaxes(0, 1)` exchanges the first two axes.
#
# </details>


# %% key="split-heads"
def my_split_heads(x, head_dim):
    """x: T Hq*K, head_dim: K -> Hq T K

    >>> my_split_heads(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), 2).tolist()
    [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    """
    cut = x.reshape(len(x), -1, head_dim)  # T Hq K
    heads = ...
    return heads


check("split_heads", my_split_heads)

# %% [markdown] key="merge-heads-task"
# ## Task 2. Side by side again
#
# Write the inverse: the heads of each token are laid side by side in one long row.
#
# <details><summary>Hint</summary>
#
# Undo the last step first: bring the head axis back behind the token axis. Then `reshape(T, -1)`.
#
# </details>


# %% key="merge-heads"
def my_merge_heads(x):
    """x: Hq T K -> T Hq*K

    >>> my_merge_heads(np.array([[[1, 2], [5, 6]], [[3, 4], [7, 8]]])).tolist()
    [[1, 2, 3, 4], [5, 6, 7, 8]]
    """
    ...


check("merge_heads", my_merge_heads)

# %% [markdown] key="key-head-task"
# ## Task 3. Which key-value head?
#
# Fewer key-value heads than query heads: neighbours share one. Which one does query head `head` read?
#
# <details><summary>Hint</summary>
#
# How many query heads are in a group? `//` divides and drops the rest.
#
# </details>


# %% key="key-head"
def my_key_head(head, n_heads, n_kv_heads):
    """head: counted from 0, n_heads: Hq, n_kv_heads: Hkv -> a number from 0 to Hkv - 1

    >>> [my_key_head(head, 6, 2) for head in range(6)]
    [0, 0, 0, 1, 1, 1]
    """
    ...


check("key_head", my_key_head)

# %% [markdown] key="attend-grouped-task"
# ## Task 4. All heads attend
#
# Write a loop over the query heads. Each attends with the keys and values of its group. `mine.attend` is your
# attention of exercise 06, `mine.key_head` your task 3.
#
# <details><summary>Hint</summary>
#
# For each `h` in `range(len(q))`: `mine.attend(q[h], k[...], v[...], mask)`. Collect the results in a list
# and make an array of it.
#
# </details>


# %% key="attend-grouped"
def my_attend_grouped(q, k, v, mask):
    """q: Hq T K, k: Hkv T K, v: Hkv T K, mask: T T -> Hq T K

    >>> q, k, v = np.zeros((4, 1, 1)), np.ones((2, 1, 1)), np.array([[[5.0]], [[7.0]]])
    >>> my_attend_grouped(q, k, v, np.array([[True]])).ravel()
    array([5., 5., 7., 7.])
    """
    ...


check("attend_grouped", my_attend_grouped)

# %% [markdown] key="attention-task"
# ## Task 5. The whole step
#
# This one is yours alone: queries, keys and values of all heads, rotation, attention, and back to the width of the stream. Use
# your own parts: `mine.split_heads`, `mine.rotate` (it turns the rows of one head), `mine.attend_grouped`,
# `mine.merge_heads`. The library's function takes the rotations ready-made; yours gets what `mine.rotate` needs.
#
# <details><summary>Hint</summary>
#
# `mine.split_heads(x @ wq, head_dim)` are the queries, and likewise the keys and values. Turn each head of
# the queries and of the keys, but not the values: `mine.rotate` takes one head, so turn `q[h]` for each `h`.
# After `mine.merge_heads` comes `@ wo`.
#
# </details>


# %% key="attention"
def my_attention(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
    """x: T D, wq: D Hq*K, wk and wv: D Hkv*K, wo: Hq*K D, positions: T, frequencies: K/2,
    mask: T T -> T D

    >>> one, see = np.ones((1, 1)), np.array([[True]])
    >>> my_attention(
    ...     one, np.ones((1, 4)), np.ones((1, 2)), np.array([[3.0, 5.0]]), np.ones((4, 1)),
    ...     2, np.array([0]), np.array([1.0]), see,
    ... )
    array([[16.]])
    """
    ...


check("attention", my_attention)

# %% [markdown] key="predict-task"
# ## Predict
#
# Four query heads share two key-value heads. We put the query heads into reverse order, moving the columns of
# `wq` and the rows of `wo` together. Is the result of the step still the same? And is it, if the key-value heads
# are reversed, too, in `wk` and `wv`? Guess both, for example `(True, True)`.


# %% key="predict"
def still_the_same():
    rng = np.random.default_rng(0)
    x, wq, wo = (rng.standard_normal(shape) for shape in ((5, 8), (8, 4 * 6), (4 * 6, 8)))
    wk, wv = rng.standard_normal((2, 8, 2 * 6))
    rest = 6, np.arange(5), 0.1 ** np.arange(3), np.tri(5, dtype=bool)

    def turned_round(w, axis=1):
        return np.concatenate(np.split(w, w.shape[axis] // 6, axis=axis)[::-1], axis=axis)

    before = mine.attention(x, wq, wk, wv, wo, *rest)
    wq, wo = turned_round(wq), turned_round(wo, axis=0)
    queries = mine.attention(x, wq, wk, wv, wo, *rest)
    both = mine.attention(x, wq, turned_round(wk), turned_round(wv), wo, *rest)
    return bool(np.allclose(before, queries)), bool(np.allclose(before, both))


guess = ...
predict("07", guess, still_the_same)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# `(False, True)`. The sum over heads does not depend on their order, but each query head must find its own keys and
# values. Reversed alone, heads 0 and 1 come to read the key-value head that belonged to 2 and 3. If the key-value
# heads are reversed as well, every group is together again, and only the order of the sum has changed.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# Step 1 of the [lesson](../07_multi_head.ipynb) found the group of heads that tells `named` of a *girl*. Which
# group tells it of a *boy*? `lead()` says by how much the boy's name leads the girl's after "One day, a little boy
# named", and `lead(block, heads)` what is left of it when, for the last token, these heads of one block hand over what they
# do in the text about a girl. Try every group of every block. By how much does the lead fall at most (`found`)? Is it the group of the lesson, and why should
# it be the same one, or another? Answer in one sentence (`because`).

# %% key="measure"
from llama_np import forward, patch, record
from weights_tools import load_model

model = load_model()
config, weights, tokenizer = model.config, model.weights, model.tokenizer
start = "One day, a little {} named"
ids, other = (np.array(tokenizer.encode(start.format(w), bos=True)) for w in ("boy", "girl"))
trace = {}  # of the text about a girl
his = forward(weights, config, ids)[-1].argmax()
hers = forward(weights, config, other, tap=record(trace, only={"mix"}))[-1].argmax()


def lead(block=0, heads=()):
    """The logit of his name minus that of hers, with these heads from the other text."""

    def exchanged(mix):
        mix = mix.copy()
        mix[list(heads), -1] = trace[f"blocks.{block}.mix"][list(heads), -1]
        return mix

    last = forward(weights, config, ids, tap=patch({f"blocks.{block}.mix": exchanged}))[-1]
    return last[his] - last[hers]


def strongest():
    """The largest fall of the lead, and the block and the heads that it takes."""
    groups = np.arange(config.n_heads).reshape(config.n_kv_heads, config.group).tolist()
    return max((lead() - lead(b, g), b, g) for b in range(config.n_layers) for g in groups)


print(f"as it is: {lead():.2f}, heads 0 and 1 of block 0 exchanged: {lead(0, [0, 1]):.2f}")

found, because = ..., ...
measure("07", found, lambda: strongest()[0], because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# The lead falls by {{ strongest()[0] :.2f }} of {{ lead() :.2f }}, with heads {{ strongest()[2] }} of block {{ strongest()[1] }} exchanged.
# {{ claim: strongest()[0] > 0.1 * lead() }}
# A group whose keys stand for persons does not need to know in advance whether a boy or a girl will come: its QK
# circuit finds either, and its OV circuit hands over which of the two it was. So the same group may well serve both,
# and where another one comes out, that one has learned to answer more strongly to boys, which only a measurement can
# tell.
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 07](../07_multi_head.ipynb). Next: [lesson 08](../08_feed_forward.ipynb) and [its exercise](08_feed_forward.ipynb).
