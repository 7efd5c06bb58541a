"""Lesson 13, from GPT-2 to Llama."""

import numpy as np

from llama_np.functional import gelu_tanh, silu
from llama_np.norm import layer_norm, rms_norm

from ..check.gpt2_parts import add_positions, gelu_feed_forward, pool_heads
from .registry import wrong


@wrong("the mean was not subtracted", "13/norm-why", task="layer_norm")
def root_mean_square_and_shift(x, weight, shift, eps):
    """That is RMSNorm; LayerNorm first takes the mean of each row away."""
    return rms_norm(x, weight, eps) + shift


@wrong("divided by the size from before the mean was taken away", "13/norm-why", task="layer_norm")
def size_of_the_row_as_it_came(x, weight, shift, eps):
    """The row is centred first, and what is left is brought to size 1."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight + shift


@wrong("the mean of each column, not of each row", "13/norm-why", task="layer_norm")
def mean_of_the_columns(x, weight, shift, eps):
    """Every token is on its own: the mean runs over the numbers of its row."""
    return layer_norm(x.T, 1, 0, eps).T * weight + shift


@wrong("the shift is missing", "13/norm-why", task="layer_norm")
def no_shift(x, weight, shift, eps):
    """After the scale comes the second learned vector, which is added."""
    return layer_norm(x, weight, 0, eps)


@wrong("shifted first, scaled afterwards", "13/norm-why", task="layer_norm")
def shift_before_scale(x, weight, shift, eps):
    """The scale is for the normalised row; the shift is added after it."""
    return (layer_norm(x, 1, 0, eps) + shift) * weight


@wrong("eps outside the root", "13/norm-why", task="layer_norm")
def eps_outside(x, weight, shift, eps):
    """It is added to the variance, and the root is taken of both."""
    centred = x - x.mean(axis=-1, keepdims=True)
    size = np.sqrt((centred**2).mean(axis=-1, keepdims=True)) + eps
    return centred / size * weight + shift


@wrong("the sum of the squares was divided by D - 1", "13/norm-why", task="layer_norm")
def variance_of_a_sample(x, weight, shift, eps):
    """The mean of the squares is over all D numbers: nothing is estimated here."""
    if x.shape[-1] == 1:
        return layer_norm(x, weight, shift, eps)
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1)
    return centred / np.sqrt(variance + eps) * weight + shift


@wrong("silu, the curve of Llama", "13/gelu-why", task="gelu_feed_forward")
def silu_for_gelu(x, w_up, b_up, w_down, b_down):
    """The two look alike; GPT-2 was trained with GELU, by its formula with tanh."""
    return silu(x @ w_up + b_up) @ w_down + b_down


@wrong("the biases are missing", "13/gelu-why", task="gelu_feed_forward")
def no_biases(x, w_up, b_up, w_down, b_down):
    """In GPT-2 each of the two matrices is followed by its bias."""
    return gelu_tanh(x @ w_up) @ w_down


@wrong("the first bias came after the curve", "13/gelu-why", task="gelu_feed_forward")
def bias_after_the_curve(x, w_up, b_up, w_down, b_down):
    """It belongs to the first linear layer: first x @ w_up + b_up, then the curve."""
    return (gelu_tanh(x @ w_up) + b_up) @ w_down + b_down


@wrong("the curve is missing", "13/gelu-why", task="gelu_feed_forward")
def two_matrices_in_a_row(x, w_up, b_up, w_down, b_down):
    """Without a curve two linear layers are no more than one."""
    return (x @ w_up + b_up) @ w_down + b_down


@wrong("a curve at the end, too", "13/gelu-why", task="gelu_feed_forward")
def curve_at_the_end(x, w_up, b_up, w_down, b_down):
    """What is added to the stream may be of any size and sign: nothing bends it."""
    return gelu_tanh(gelu_feed_forward(x, w_up, b_up, w_down, b_down))


@wrong("the cube is missing", "13/gelu-why", task="gelu_feed_forward")
def no_cube(x, w_up, b_up, w_down, b_down):
    """Inside the tanh stands x + 0.044715 x**3, not x alone."""
    up = x @ w_up + b_up
    return up / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * up)) @ w_down + b_down


@wrong("it began again at place 0", "13/positions-why", task="add_positions")
def from_the_first_place(rows, table, past):
    """These tokens follow those in the cache: their places go on after them."""
    return add_positions(rows, table, 0)


@wrong("one place too far", "13/positions-why", task="add_positions")
def one_place_too_far(rows, table, past):
    """Places count from 0, so that the first new one has just the number of those before it."""
    return rows + table[(past + 1 + np.arange(len(rows))) % len(table)]


@wrong("the same place for all", "13/positions-why", task="add_positions")
def the_same_place_for_all(rows, table, past):
    """Each token has a place of its own: one row of the table for each."""
    return rows + table[past]


@wrong("the last rows of the table", "13/positions-why", task="add_positions")
def from_the_end_of_the_table(rows, table, past):
    """A place is counted from the beginning of the text, not from the end of the table."""
    return rows + table[len(table) - len(rows) :]


@wrong("the positions came instead of the tokens", "13/positions-why", task="add_positions")
def positions_alone(rows, table, past):
    """The row of the place is added to the row of the token."""
    return add_positions(0 * rows, table, past)


def heads_of(w, head_dim):
    return w.reshape(len(w), -1, head_dim)  # D Hq K


@wrong("the first head of each group, not the mean", "13b/pool-why", task="pool_heads")
def first_of_each_group(w, head_dim, n_kv_heads):
    """All heads of a group go into the new one, as their mean."""
    heads = heads_of(w, head_dim)
    return heads[:, :: heads.shape[1] // n_kv_heads].reshape(len(w), -1)


@wrong("the heads of a group are not neighbours", "07/repeat-why", task="pool_heads")
def every_so_many_heads(w, head_dim, n_kv_heads):
    """Query heads 0, 1, ... share the first key head: the groups are runs of neighbours."""
    heads = w.reshape(len(w), -1, n_kv_heads, head_dim)
    return heads.mean(axis=1).reshape(len(w), -1)


@wrong("the sum, not the mean", "13b/pool-why", task="pool_heads")
def sum_of_each_group(w, head_dim, n_kv_heads):
    """With a sum keys and values would be as many times too large as heads were pooled."""
    return pool_heads(w, head_dim, n_kv_heads) * (w.shape[1] // head_dim // n_kv_heads)


@wrong("neighbouring columns were pooled, not heads", "13b/pool-why", task="pool_heads")
def neighbouring_columns(w, head_dim, n_kv_heads):
    """The mean is over heads: column 0 of one head with column 0 of the next."""
    return w.reshape(len(w), n_kv_heads * head_dim, -1).mean(axis=2)
