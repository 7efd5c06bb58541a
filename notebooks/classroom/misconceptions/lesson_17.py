"""Lesson 17, fine-tuning."""

import math

import numpy as np

from llama_np.training.lora import lora_linear
from llama_np.training.loss import IGNORE

from ..check import tuning as right
from .registry import wrong


@wrong("the answer's first token does not count", "17/dialog-read", task="answer_targets")
def first_token_lost(ids, given):
    """It is the target of the last token that is given: counting begins one position earlier."""
    return np.where(np.arange(len(ids) - 1) >= given, ids[1:], IGNORE)


@wrong("the last token of the question counts as well", "17/dialog-read", task="answer_targets")
def one_too_early(ids, given):
    """The user's side says it; the model begins after it, with the answer's first token."""
    return np.where(np.arange(len(ids) - 1) >= given - 2, ids[1:], IGNORE)


@wrong("the question counts, too", "17/dialog-read", task="answer_targets")
def question_counted(ids, given):
    """The user writes the question. Only tokens that the model is to write are targets."""
    return ids[1:].copy()


@wrong("only the question counts", "17/dialog-read", task="answer_targets")
def answer_ignored(ids, given):
    """It is the other way round: the answer counts, and all before it gets -100."""
    return np.where(np.arange(len(ids) - 1) < given - 1, ids[1:], IGNORE)


@wrong("each position has its own token as the target", "17/dialog-read", task="answer_targets")
def not_shifted(ids, given):
    """A position is to predict the token after it; its own stands in the input."""
    return np.where(np.arange(len(ids) - 1) >= given - 1, ids[:-1], IGNORE)


@wrong("the end of the answer does not count", "17/dialog-read", task="answer_targets")
def end_not_learned(ids, given):
    """The last token ends the turn: without it the model is never taught to stop."""
    targets = right.answer_targets(ids, given)
    targets[-1] = IGNORE
    return targets


@wrong("what does not count got 0, not -100", "17/dialog-read", task="answer_targets")
def ignored_as_zero(ids, given):
    """0 is the id of a token, and would be learned like any other."""
    return np.where(np.arange(len(ids) - 1) >= given - 1, ids[1:], 0)


@wrong("A and B are both zero", "17/gradient", task="lora_start")
def both_zero(noise, n_out):
    """Each gradient is then a product with zero: nothing would ever move."""
    a, b = right.lora_start(noise, n_out)
    return np.zeros_like(a), b


@wrong("B is not zero", "17/gradient", task="lora_start")
def nothing_zero(noise, n_out):
    """The product would be added to W at once, and the start would be a damaged model."""
    a, b = right.lora_start(noise, n_out)
    return a, b + 1


@wrong("the numbers of A are not divided", "17/gradient", task="lora_start")
def undivided(noise, n_out):
    """A row of x sums up n_in numbers of A: divided by the root of n_in, they stay small."""
    return noise, np.zeros((noise.shape[1], n_out))


@wrong("divided by n_in, not by its root", "17/gradient", task="lora_start")
def divided_by_all_of_it(noise, n_out):
    """A sum of n_in random numbers grows like the root of n_in."""
    return noise / len(noise), np.zeros((noise.shape[1], n_out))


@wrong("divided by the root of the rank", "17/gradient", task="lora_start")
def divided_by_the_rank(noise, n_out):
    """What is summed up in x @ A are n_in numbers, one for each number of a row."""
    rank = noise.shape[1]
    return noise / math.sqrt(rank), np.zeros((rank, n_out))


@wrong("the scale is left out", "17/loss-read", task="lora_linear")
def thin_unscaled(x, w, a, b, scale):
    """What is added is s A B, and s changes how far a step goes."""
    return lora_linear(x, w, a, b, 1.0)


@wrong("the frozen matrix is left out", "17/loss-read", task="lora_linear")
def without_the_frozen(x, w, a, b, scale):
    """A and B hold only the change; what the model knew stands in W."""
    return lora_linear(x, np.zeros_like(w), a, b, scale)


@wrong("W was scaled, too", "17/loss-read", task="lora_linear")
def frozen_scaled(x, w, a, b, scale):
    """Only the product of the thin matrices gets the scale."""
    return scale * (x @ w + (x @ a) @ b)


@wrong("the scale was divided by the rank once more", "17/loss-read", task="lora_linear")
def scale_over_rank(x, w, a, b, scale):
    """The scale that is given is alpha / r already."""
    return lora_linear(x, w, a, b, scale / a.shape[1])


@wrong("the scale is left out of both", "17/count-read", task="lora_gradients")
def gradients_unscaled(d_out, x, a, b, scale):
    """The product came with s into the sum, so its gradient has the same factor."""
    return right.lora_gradients(d_out, x, a, b, 1.0)


@wrong("the scale is left out of A's gradient", "17/count-read", task="lora_gradients")
def a_unscaled(d_out, x, a, b, scale):
    """The factor s stands in front of A B, and so in the gradients of both."""
    d_a, d_b = right.lora_gradients(d_out, x, a, b, 1.0)
    return d_a, scale * d_b


@wrong("the scale is left out of B's gradient", "17/count-read", task="lora_gradients")
def b_unscaled(d_out, x, a, b, scale):
    """The factor s stands in front of A B, so both gradients are multiplied by it."""
    d_a, d_b = right.lora_gradients(d_out, x, a, b, 1.0)
    return scale * d_a, d_b


@wrong("the scale came twice", "17/count-read", task="lora_gradients")
def gradients_scaled_twice(d_out, x, a, b, scale):
    """The factor s stands once in the sum, and so once in each gradient."""
    return right.lora_gradients(d_out, x, a, b, scale * scale)


@wrong("averaged over the tokens", "17/count-read", task="lora_gradients")
def averaged_over_tokens(d_out, x, a, b, scale):
    """All tokens use the same matrices, and what they send back adds up."""
    return right.lora_gradients(d_out / len(d_out), x, a, b, scale)


@wrong("the gradient of B takes B's part, not A's", "17/count-read", task="lora_gradients")
def b_through_b(d_out, x, a, b, scale):
    """What came into B is x A: d_B is made with it, and with nothing of B."""
    d_a, _ = right.lora_gradients(d_out, x, a, b, scale)
    return d_a, b @ (d_out.T @ d_out) * scale


@wrong("the gradients changed places", "17/count-read", task="lora_gradients")
def in_the_other_order(d_out, x, a, b, scale):
    """First the one for A, of A's shape, then the one for B."""
    return right.lora_gradients(d_out, x, a, b, scale)[::-1]


@wrong("the scale is left out", "17/loss-read", task="merged")
def merged_unscaled(w, a, b, scale):
    """Beside W the product was used with s; merged it needs the same factor."""
    return w + a @ b


@wrong("the scale was divided by the rank once more", "17/loss-read", task="merged")
def merged_over_rank(w, a, b, scale):
    """The scale that is given is alpha / r already."""
    return w + scale / len(b) * (a @ b)


@wrong("the product alone", "17/loss-read", task="merged")
def product_alone(w, a, b, scale):
    """It is added to the frozen matrix, which holds all that the model knew."""
    return scale * (a @ b)


@wrong("W was scaled, too", "17/loss-read", task="merged")
def all_scaled(w, a, b, scale):
    """Only what was learned gets the scale."""
    return scale * (w + a @ b)


@wrong("the product was taken away", "17/loss-read", task="merged")
def taken_away(w, a, b, scale):
    """Training has learned what to add; to take it away would undo a merge."""
    return w - scale * (a @ b)
