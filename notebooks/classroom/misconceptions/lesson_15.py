"""Lesson 15, the backward pass."""

import math

import numpy as np

from llama_np.functional import softmax
from llama_np.training.backward import (
    cross_entropy_backward,
    rms_norm_backward,
    softmax_backward,
)
from llama_np.training.loss import IGNORE

from ..check.references import attend_backward
from .registry import wrong


@wrong("divided by all positions, not by those that count", "15/logits-why", task="d_logits")
def divided_by_all(logits, targets):
    """The loss is the mean over the positions that count, and so is its gradient."""
    return cross_entropy_backward(logits, targets) * (targets != IGNORE).mean()


@wrong("not divided by the number of positions", "15/logits-why", task="d_logits")
def gradient_of_the_sum(logits, targets):
    """The loss is a mean: each position has one part in as many as there are."""
    return cross_entropy_backward(logits, targets) * (targets != IGNORE).sum()


@wrong("the sign is turned round", "15/logits-why", task="d_logits")
def right_minus_predicted(logits, targets):
    """To raise the right logit lowers the loss: predicted minus right is negative there."""
    return -cross_entropy_backward(logits, targets)


@wrong("nothing was subtracted at the right token", "15/logits-why", task="d_logits")
def predicted_alone(logits, targets):
    """The probabilities alone would push every token down, the right one too."""
    counts = targets != IGNORE
    return softmax(logits) * counts[:, None] / counts.sum()


@wrong("positions that do not count got a gradient", "15/logits-why", task="d_logits")
def ignored_rows_kept(logits, targets):
    """A position that is not in the loss cannot move it: its row is zero."""
    counts = targets != IGNORE
    return np.where(
        counts[:, None], cross_entropy_backward(logits, targets), softmax(logits) / counts.sum()
    )


@wrong("the parts were averaged without their counts", "15/count-read", task="accumulate")
def unscaled_accumulation(gradients, counts):
    """A token of a short part would count more than one of a long part: weight them."""
    return gradients.mean(axis=0)


@wrong("the parts were only added up", "15/count-read", task="accumulate")
def parts_added(gradients, counts):
    """The sum grows with the number of parts; the loss of the whole is a mean."""
    return gradients.sum(axis=0)


@wrong("weighted, and not divided by the count of all", "15/count-read", task="accumulate")
def weighted_sum(gradients, counts):
    """That is the gradient of the sum of all surprises; the loss is their mean."""
    return counts @ gradients


@wrong("the size of the row was taken for a constant", "15/norm-why", task="norm_backward")
def constant_size(d_out, x, weight, eps):
    """Each number also moves r, and with it the whole row: that is the second term."""
    return d_out * weight / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


@wrong("the weight is left out", "15/norm-why", task="norm_backward")
def norm_weight_forgotten(d_out, x, weight, eps):
    """What comes to the normalised row is d_out times the weight."""
    return rms_norm_backward(d_out, x, np.ones_like(weight), eps)[0]


@wrong("eps is left out", "15/norm-why", task="norm_backward")
def norm_eps_forgotten(d_out, x, weight, eps):
    """The forward pass divided by a size with eps in it, and so does the backward pass."""
    return rms_norm_backward(d_out, x, weight, 0.0)[0]


@wrong("summed up instead of the mean", "15/norm-why", task="norm_backward")
def summed_along_the_row(d_out, x, weight, eps):
    """r comes from the mean of the squares, so that the second term has a mean, too."""
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    n, g = x * r, d_out * weight
    return r * (g - n * (g * n).sum(axis=-1, keepdims=True))


@wrong("the factor r in front is left out", "15/norm-why", task="norm_backward")
def norm_without_r(d_out, x, weight, eps):
    """Each number of x moves its own number of n by r."""
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    return rms_norm_backward(d_out, x, weight, eps)[0] / r


@wrong("one mean for the whole table", "15/norm-why", task="norm_backward")
def one_mean_for_all(d_out, x, weight, eps):
    """Each row was normalised by itself: mean(axis=-1, keepdims=True)."""
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    n, g = x * r, d_out * weight
    return r * (g - n * (g * n).mean())


@wrong("the sum of the row is not subtracted", "15/pattern-why", task="softmax_backward")
def weights_alone(d_out, weights):
    """A row sums to one: to raise one weight lowers the others, and the sum says so."""
    return weights * d_out


@wrong("each weight was taken for itself, as in a sigmoid", "15/pattern-why",
       task="softmax_backward")  # fmt: skip
def as_in_a_sigmoid(d_out, weights):
    """p (1 - p) is how a score moves its own weight; it moves all others of the row as well."""
    return d_out * weights * (1 - weights)


@wrong("the plain mean was subtracted", "15/pattern-why", task="softmax_backward")
def plain_mean(d_out, weights):
    """What is subtracted is the mean with the weights themselves: sum(d_out * weights)."""
    return weights * (d_out - d_out.mean(axis=-1, keepdims=True))


@wrong("not multiplied by the weights", "15/pattern-why", task="softmax_backward")
def bracket_alone(d_out, weights):
    """A score moves its weight in proportion to the weight: a hidden key gets exactly nothing."""
    return d_out - (d_out * weights).sum(axis=-1, keepdims=True)


@wrong("one sum for the whole table", "15/pattern-why", task="softmax_backward")
def one_sum_back(d_out, weights):
    """Every row sums to one by itself: sum(axis=-1, keepdims=True)."""
    return weights * (d_out - (d_out * weights).sum())


@wrong("not divided by sqrt(K)", "15/pattern-why", task="attend_backward")
def root_dropped(d_mix, q, k, v, pattern):
    """The scores were divided by the root, so their gradient has the same factor on its way on."""
    root = math.sqrt(q.shape[-1])
    return attend_backward(d_mix, q, k, v, pattern) * np.array([root, root, 1])[:, None, None]


@wrong("divided by K, not by its root", "15/pattern-why", task="attend_backward")
def divided_twice(d_mix, q, k, v, pattern):
    """The factor of the forward pass, 1/sqrt(K), comes once in each of d_q and d_k."""
    root = math.sqrt(q.shape[-1])
    return attend_backward(d_mix, q, k, v, pattern) / np.array([root, root, 1])[:, None, None]


@wrong("the pattern was not transposed", "15/pattern-why", task="attend_backward")
def pattern_as_it_was(d_mix, q, k, v, pattern):
    """A value gets the sum over all queries that read it: the queries are on the inside."""
    d_q, d_k, _ = attend_backward(d_mix, q, k, v, pattern)
    return np.stack([d_q, d_k, pattern @ d_mix])


@wrong("the scores' gradient was not transposed for the keys", "15/pattern-why",
       task="attend_backward")  # fmt: skip
def scores_as_they_were(d_mix, q, k, v, pattern):
    """A key gets the sum over all queries that it met: d_scores.T @ q."""
    d_scores = softmax_backward(d_mix @ v.T, pattern)
    d_q, _, d_v = attend_backward(d_mix, q, k, v, pattern)
    return np.stack([d_q, d_scores @ q / math.sqrt(q.shape[-1]), d_v])


@wrong("the softmax was passed over", "15/pattern-why", task="attend_backward")
def softmax_passed_over(d_mix, q, k, v, pattern):
    """Between the pattern and the scores stands the softmax, which has a rule of its own."""
    d_pattern, root = d_mix @ v.T, math.sqrt(q.shape[-1])
    return np.stack([d_pattern @ k / root, d_pattern.T @ q / root, pattern.T @ d_mix])


@wrong("queries and keys changed places", "15/pattern-why", task="attend_backward")
def changed_places(d_mix, q, k, v, pattern):
    """The gradient of one factor is made with the other: d_q with k, d_k with q."""
    d_scores, root = softmax_backward(d_mix @ v.T, pattern), math.sqrt(q.shape[-1])
    return np.stack([d_scores @ q / root, d_scores.T @ k / root, pattern.T @ d_mix])
