"""Lesson 03, norm."""

import numpy as np

from llama_np.norm import rms_norm

from .registry import wrong


@wrong("the axis is gone: keepdims is missing", "03/size-all-why", task="row_sizes")
def axis_gone(x):
    """With shape T the sizes would stand beside the columns; as T 1 they divide the rows."""
    return np.sqrt((x * x).mean(axis=-1))


@wrong("the mean was taken over the whole table", "03/size-all-why", task="row_sizes")
def one_size_for_all(x):
    """Each row has a size of its own: mean(axis=-1, keepdims=True) goes along each row."""
    return np.sqrt((x * x).mean())


@wrong("a size for every column", "03/size-all-why", task="row_sizes")
def sizes_of_columns(x):
    """axis=-1 goes along a row, over its columns; axis=0 would mix the tokens."""
    return np.sqrt((x * x).mean(axis=0, keepdims=True))


@wrong("the root is missing", "03/size-why", task="row_sizes")
def mean_square(x):
    """The root brings the size back to the scale of the numbers: twice the row, twice the size."""
    return (x * x).mean(axis=-1, keepdims=True)


@wrong("summed up instead of the mean", "03/size-why", task="row_sizes")
def length_of_rows(x):
    """The sum grows with the number of columns: the mean does not."""
    return np.sqrt((x * x).sum(axis=-1, keepdims=True))


ROOT_FIRST = "the root came before the mean"


@wrong(ROOT_FIRST, "03/size-why", task="row_sizes")
def mean_of_the_roots(x):
    """The root of a square is the number without its sign: square, then mean, and the root last."""
    return np.sqrt(x * x).mean(axis=-1, keepdims=True)


@wrong("the mean was subtracted first", "03/layernorm-note", task="row_sizes")
def spread_of_rows(x):
    """np.std subtracts the mean; the root mean square takes the numbers as they are."""
    return x.std(axis=-1, keepdims=True)


@wrong("eps stands outside the root", "03/eps-why", right="norm.rms_norm", task="rms_norm")
def eps_outside_the_root(x, weight, eps):
    """Meta's code adds eps to the mean square, before the root."""
    return x / (np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + eps) * weight


@wrong("the mean was subtracted first", "03/layernorm-note", right="norm.rms_norm", task="rms_norm")
def subtract_the_mean(x, weight, eps):
    """That is LayerNorm; RMSNorm only divides."""
    return rms_norm(x - x.mean(axis=-1, keepdims=True), weight, eps)


@wrong("normalised over the tokens", "03/size-all-why", right="norm.rms_norm", task="rms_norm")
def norm_over_the_tokens(x, weight, eps):
    """Each token's row is normalised by itself; a column would mix tokens, future ones too."""
    return x / np.sqrt(np.mean(x * x, axis=-2, keepdims=True) + eps) * weight


@wrong("the mean was taken over the whole table", "03/size-all-why", task="rms_norm")
def norm_of_the_whole_table(x, weight, eps):
    """Each row is divided by its own size: mean(axis=-1, keepdims=True) goes along each row."""
    return x / np.sqrt((x * x).mean() + eps) * weight


@wrong("the axis is gone: keepdims is missing", "03/size-all-why", task="rms_norm")
def norm_without_keepdims(x, weight, eps):
    """Sizes of shape T stand beside the columns; as a column, T 1, they divide the rows."""
    return x / np.sqrt((x * x).mean(axis=-1) + eps) * weight


@wrong("the root is missing", "03/size-why", task="rms_norm")
def divided_by_the_mean_square(x, weight, eps):
    """A row twice as large has four times the mean square: its root is the size to divide by."""
    return x / (np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


@wrong(ROOT_FIRST, "03/size-why", task="rms_norm")
def divided_by_the_mean_of_roots(x, weight, eps):
    """Square, then mean, plus eps, and the root last: the root of one square undoes the square."""
    return x / np.sqrt(x * x + eps).mean(axis=-1, keepdims=True) * weight


@wrong("eps is left out", "03/eps-why", task="rms_norm")
def no_eps(x, weight, eps):
    """Without eps a row of zeros would be 0 divided by 0."""
    return rms_norm(x, weight, 0.0)


@wrong("the weight is left out", "03/weight-why", task="rms_norm")
def no_weight(x, weight, eps):
    """After the division every column is multiplied by its learned number."""
    return rms_norm(x, np.ones_like(weight), eps)


@wrong("summed up instead of the mean", "03/size-why", task="rms_norm")
def divided_by_the_length(x, weight, eps):
    """Divided by its length a row's size depends on the number of columns; the mean does not."""
    return x / np.sqrt((x * x).sum(axis=-1, keepdims=True) + eps) * weight
