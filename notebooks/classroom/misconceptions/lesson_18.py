"""Lesson 18, preferences."""

import numpy as np

from llama_np.functional import log_softmax, sigmoid, softmax
from llama_np.training.preference import dpo_loss, dpo_loss_backward

from ..check.preferences import answer_log_p, preference, tilt
from .registry import wrong


@wrong("the other answer's probability", "18/bt-why", task="preference")
def sign_of_the_margin(r_w, r_l):
    """The margin is the reward of the first less that of the second: a larger r_w, a larger P."""
    return preference(r_l, r_w)


@wrong("the rewards were divided, not their powers", "18/bt-why", task="preference")
def share_of_the_rewards(r_w, r_l):
    """Rewards may be zero or negative; e to the power of them is what is shared out."""
    return r_w / (r_w + r_l)


@wrong("the loser's reward is left out", "18/bt-why", task="preference")
def winner_alone(r_w, r_l):
    """One reward says nothing, because rewards have no zero: it is the difference that counts."""
    return sigmoid(r_w)


@wrong("the powers were taken of the rewards themselves", "18/bt-why", task="preference")
def overflowing_powers(r_w, r_l):
    """The same on paper, but e to the power of 2000 is infinite: take the difference first."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(r_w) / (np.exp(r_w) + np.exp(r_l))


@wrong("a softmax over all pairs", "18/bt-why", task="preference")
def over_all_pairs(r_w, r_l):
    """Each pair is decided by itself, between its own two answers."""
    return softmax(r_w - r_l)


@wrong("multiplied by beta instead of divided", "18/bt-read", task="tilt")
def times_beta(reference, rewards, beta):
    """A large beta makes distance dear, so that the reward must count less: e^(r / beta)."""
    return tilt(reference, rewards * beta * beta, beta)


@wrong("beta is left out", "18/bt-read", task="tilt")
def tilt_without_beta(reference, rewards, beta):
    """How far the model may go for a reward depends on beta: e^(r / beta)."""
    return tilt(reference, rewards, 1.0)


@wrong("not divided by the sum", "18/bt-read", task="tilt")
def tilt_not_normalised(reference, rewards, beta):
    """Probabilities sum to one: that is what Z is for."""
    return reference * np.exp(rewards / beta)


@wrong("the reference is left out", "18/bt-read", task="tilt")
def softmax_of_rewards(reference, rewards, beta):
    """The best model is the reference, tilted: what it finds unlikely must be worth it."""
    return softmax(rewards / beta)


@wrong("the rewards were added to the probabilities", "18/bt-read", task="tilt")
def rewards_added(reference, rewards, beta):
    """The reward multiplies a probability, by e^(r / beta): it is the logarithms that add."""
    tilted = reference + rewards / beta
    return tilted / tilted.sum()


@wrong("the question counts as well", "18/logp-why", task="answer_log_p")
def question_and_answer(logits, ids, given):
    """The question was given: only the tokens of the answer are summed."""
    return answer_log_p(logits, ids, 1)


@wrong("each token was read from its own row", "18/logp-why", task="answer_log_p")
def own_row(logits, ids, given):
    """The row at a token is about the next one: the answer begins in row given - 1."""
    rows = log_softmax(logits)[given:]
    return rows[np.arange(len(rows)), ids[given:]].sum()


@wrong("the first token of the answer is left out", "18/logp-why", task="answer_log_p")
def first_token_left_out(logits, ids, given):
    """The last token that was given predicts the first of the answer, which counts."""
    return answer_log_p(logits, ids, given + 1)


@wrong("the mean, not the sum", "18/logp-why", task="answer_log_p")
def mean_of_tokens(logits, ids, given):
    """The logarithm of a product is a sum; the mean forgets how long the answer is (SimPO)."""
    return answer_log_p(logits, ids, given) / (len(ids) - given)


@wrong("the logits, not their logarithms of probabilities", "18/logp-why", task="answer_log_p")
def logits_summed(logits, ids, given):
    """A logit is no log-probability before the softmax has made the row sum to one."""
    rows = logits[given - 1 : -1]
    return rows[np.arange(len(rows)), ids[given:]].sum()


@wrong("the margin has the wrong sign", "18/alone-read", task="dpo_loss")
def loss_for_the_other(log_p, reference, beta):
    """So the model would learn to prefer the other answer, and the loss would fall as nicely."""
    return dpo_loss(log_p[:, ::-1], reference[:, ::-1], beta)


@wrong("there is no reference", "18/alone-read", task="dpo_loss")
def reference_free(log_p, reference, beta):
    """A reward is what the model has gained against the reference, not how likely it finds it."""
    return dpo_loss(log_p, np.zeros_like(reference), beta)


@wrong("beta was dropped", "18/alone-read", task="dpo_loss")
def loss_without_beta(log_p, reference, beta):
    """The rewards are beta times the nats gained."""
    return dpo_loss(log_p, reference, 1.0)


@wrong("beta stands in front of the loss", "18/alone-read", task="dpo_loss")
def beta_in_front(log_p, reference, beta):
    """Beta makes the margin smaller or larger; it is inside of the sigmoid."""
    return beta * dpo_loss(log_p, reference, 1.0)


@wrong("summed up instead of the mean", "18/alone-read", task="dpo_loss")
def summed_over_pairs(log_p, reference, beta):
    """The loss is the mean over the pairs, so that it does not depend on their number."""
    return len(log_p) * dpo_loss(log_p, reference, beta)


@wrong("the surprise at the mean margin", "18/alone-read", task="dpo_loss")
def mean_margin(log_p, reference, beta):
    """Each pair has a surprise of its own: the mean comes last."""
    mean = (log_p - reference).mean(axis=0, keepdims=True)
    return dpo_loss(mean, np.zeros_like(mean), beta)


@wrong("the reference is not frozen", "18/loss-read", task="dpo_backward")
def reference_not_frozen(log_p, reference, beta):
    """Against the model as it is by now every margin is zero, and no pair ever stops pushing."""
    return dpo_loss_backward(log_p, log_p, beta)


@wrong("the sign is turned round", "18/loss-read", task="dpo_backward")
def pushed_the_wrong_way(log_p, reference, beta):
    """A step goes against the gradient, so the preferred answer's is negative."""
    return -dpo_loss_backward(log_p, reference, beta)


@wrong("both answers are pushed up", "18/loss-read", task="dpo_backward")
def both_pushed_up(log_p, reference, beta):
    """The other answer's reward counts with a minus in the margin, so it is pushed down."""
    return -np.abs(dpo_loss_backward(log_p, reference, beta))


@wrong("the probability of the right choice", "18/loss-read", task="dpo_backward")
def pushed_where_right(log_p, reference, beta):
    """A pair pushes as much as the model is wrong about it: sigma of minus the margin."""
    return dpo_loss_backward(log_p[:, ::-1], reference[:, ::-1], beta)[:, ::-1]


@wrong("beta was dropped in front", "18/loss-read", task="dpo_backward")
def gradient_without_beta(log_p, reference, beta):
    """The margin is beta times a difference, so its slope has the factor beta."""
    return dpo_loss_backward(log_p, reference, beta) / beta


@wrong("not divided by the number of pairs", "18/loss-read", task="dpo_backward")
def gradient_of_the_sum_of_pairs(log_p, reference, beta):
    """The loss is a mean over the pairs, and so is its gradient."""
    return len(log_p) * dpo_loss_backward(log_p, reference, beta)
