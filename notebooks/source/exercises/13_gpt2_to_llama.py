# %% [markdown] key="title"
# # Exercise 13: the parts of GPT-2, and a change after training
#
# This page belongs to [lesson 13](../13_gpt2_to_llama.ipynb). Put your code in the place of each `...` and run the
# cell. `T` counts tokens, `D` the numbers in a row, `F` the hidden units, `C` the places in a table of positions, `Hq`
# and `Hkv` heads, `K` the width of a head. At the end you put GPT-2's norm into a Llama that was trained with its own.

# %% key="setup"
import numpy as np
from classroom import check, measure, mine, predict, progress

from llama_np import LLAMA_3_8B, patch
from llama_np.gpt2.weights import GPT2_SMALL
from weights_tools import load_model
from weights_tools.examine import mean_loss, ordinary_texts

# %% [markdown] key="add-positions-task"
# ## Task 1. Learned positions, with a cache
#
# `rows` are the embeddings of new tokens, `table` has a row for each place from 0 on, and `past` tokens were read before
# and lie in the cache ([lesson 11](../11_kv_cache.ipynb)). Add to each token the row of its place.
#
# <details><summary>Hint</summary>
#
# The first new token is at place `past`, because places count from 0. Take as many rows of the table as there are
# tokens.
#
# </details>


# %% key="add-positions"
def my_add_positions(rows, table, past):
    """rows: T D, table: C D, past: a number -> T D

    >>> table = np.array([[0.0], [10.0], [20.0], [30.0]])
    >>> my_add_positions(np.array([[1.0], [2.0]]), table, 1)
    array([[11.],
           [22.]])
    """
    ...


check("add_positions", my_add_positions)

# %% [markdown] key="layer-norm-task"
# ## Task 2. LayerNorm
#
# Take the mean of each row away, divide by the root of the mean square of what is left, with `eps` inside the root, then
# scale by `weight` and add `shift`.
#
# <details><summary>Hint</summary>
#
# It is your `rms_norm` of exercise 03, applied to the row without its mean, plus `shift`. Mind `keepdims=True`.
#
# </details>


# %% key="layer-norm"
def my_layer_norm(x, weight, shift, eps):
    """x: T D, weight: D, shift: D, eps: a number -> T D

    >>> my_layer_norm(np.array([[2.0, 6.0]]), np.array([1.0, 3.0]), np.array([0.0, 0.5]), 0.0)
    array([[-1. ,  3.5]])
    """
    centred = ...
    variance = ...
    return ...


check("layer_norm", my_layer_norm)

# %% [markdown] key="gelu-feed-forward-task"
# ## Task 3. Feed-forward without a gate
#
# Two linear layers with GELU between them, by GPT-2's own formula:
#
# $$\mathrm{GELU}(x) = \frac{x}{2} \left(1 + \tanh\left(\sqrt{2 / \pi}\,(x + 0.044715\,x^3)\right)\right)$$
#
# <details><summary>Hint</summary>
#
# First `up = x @ w_up + b_up`, then the curve of `up`, then the second matrix and its bias. `np.tanh` and `np.pi` are
# there.
#
# </details>


# %% key="gelu-feed-forward"
def my_gelu_feed_forward(x, w_up, b_up, w_down, b_down):
    """x: T D, w_up: D F, b_up: F, w_down: F D, b_down: D -> T D

    >>> one = np.array([[1.0]])
    >>> my_gelu_feed_forward(one, one, np.array([1.0]), 2 * one, np.array([0.5])).round(4)
    array([[4.4092]])
    """
    up = ...
    hidden = ...
    return ...


check("gelu_feed_forward", my_gelu_feed_forward)

# %% [markdown] key="pool-heads-task"
# ## Task 4. From many key heads to few
#
# A model with a key head for each query head is to become one with grouped queries, without being trained from the
# beginning. `w` is its `wk`, with the columns of `Hq` heads side by side, `head_dim` columns each. The heads are put into
# `n_kv_heads` groups of neighbours, and each group becomes one head, the mean of its matrices. ([Page
# 13b](../13b_llama_versions.ipynb), step 5, says how much further training that takes.)
#
# <details><summary>Hint</summary>
#
# `w.reshape(D, n_kv_heads, -1, head_dim)` has an axis for the groups and one for the heads in a group. Take the mean over
# the latter, and lay the heads side by side again.
#
# </details>


# %% key="pool-heads"
def my_pool_heads(w, head_dim, n_kv_heads):
    """w: D Hq*K, head_dim: K, n_kv_heads: Hkv -> D Hkv*K

    >>> my_pool_heads(np.array([[1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]]), 2, 2)
    array([[ 2.,  3., 20., 30.]])
    """
    ...


check("pool_heads", my_pool_heads)

# %% [markdown] key="predict-task"
# ## Predict
#
# Llama 3 8B has {{ LLAMA_3_8B.count_parameters() / 124_439_808 :.0f }} times as many parameters as GPT-2 small. How many times as
# many bytes does it keep in its cache for each token, if both keep numbers of two bytes?

# %% key="predict"
guess = ...


def times_as_much():
    def of(c, n_kv_heads):
        return mine.cache_bytes(c.n_layers, c.n_heads, n_kv_heads, c.head_dim, 1, 2)

    return of(LLAMA_3_8B, LLAMA_3_8B.n_kv_heads) / of(GPT2_SMALL, GPT2_SMALL.n_heads)


predict("13", guess, times_as_much)

# %% [markdown] key="predict-answer"
# <details><summary>Why</summary>
#
# The cache grows with the blocks, {{ LLAMA_3_8B.n_layers }} instead of {{ GPT2_SMALL.n_layers }}, and with the width of all key-value
# heads together. In GPT-2 that is the whole width of the stream, {{ GPT2_SMALL.dim }}; in Llama 3 8B it is only {{ LLAMA_3_8B.n_kv_heads }} heads
# of {{ LLAMA_3_8B.head_dim }}, a quarter of its {{ LLAMA_3_8B.dim :, }}. The vocabulary and the feed-forward step, where most
# parameters are, leave nothing in the cache.
#
# </details>

# %% [markdown] key="measure-task"
# ## Measure and explain
#
# The doll-house was trained with RMSNorm. Put your LayerNorm into all its norms, with the scales that it has learned and a
# shift of zero, and train nothing. All shapes fit. By how much does the loss of stories rise, in nats a token? Say in a
# sentence why by so little, or by so much.
#
# A tap sees a row only *after* the norm. Divided by the scale it is the row at size 1, and since LayerNorm does not care
# for the size of a row, it gives the same for that as for the row of the stream.
#
# <details><summary>Where to begin</summary>
#
# `loss_of_stories(patch(...))` minus `loss_of_stories()`, where `patch` gets a dictionary: for each name of a norm,
# `in_place_of(weight)` with its scale. For the reason, look into lesson 03, which measured the mean of the rows.
#
# </details>

# %% key="measure"
model = load_model("doll-house")
weights, config = model.weights, model.config
stories = ordinary_texts(model.tokenizer, count=10)
scales = {"final_norm": weights.norm}
for i, layer in enumerate(weights.layers):
    scales |= {f"blocks.{i}.attn_norm": layer.attn_norm, f"blocks.{i}.ffn_norm": layer.ffn_norm}


def loss_of_stories(*tap):
    return mean_loss(weights, config, stories, **({"tap": tap[0]} if tap else {}))


def in_place_of(weight):
    """LayerNorm in the place of the RMSNorm with this scale."""
    return lambda normed: mine.layer_norm(normed / weight, weight, 0, config.norm_eps)


def rise():
    layer_norms = patch({name: in_place_of(weight) for name, weight in scales.items()})
    return loss_of_stories(layer_norms) - loss_of_stories()


found, because = ..., ...
measure("13", found, rise, because)

# %% [markdown] key="measure-answer"
# <details><summary>Compare</summary>
#
# The loss of {{ loss_of_stories() :.2f }} rises by {{ rise() :.2f }}. {{ claim: 0 < rise() < 0.1 * loss_of_stories() + 0.1 }}
# LayerNorm takes one direction out of each row, that in which all columns are equal, and leaves the other
# {{ config.dim - 1 }} as they are. Lesson 03 found that the rows of this model have no more in that direction than random
# rows would. So little is lost, but not nothing, because whatever *is* there was used by somebody. That all
# shapes fit says nothing of what a change costs: after your task 4 a model has to be trained further
# ([page 13b](../13b_llama_versions.ipynb), step 5).
#
# </details>

# %% [markdown] key="end"
# ## How far you are

# %% key="progress"
progress()

# %% [markdown] key="next"
# Back to [lesson 13](../13_gpt2_to_llama.ipynb). Next: [lesson 14](../14_tensors_and_gradients.ipynb).
