"""Learning from comparisons: of two answers to one question, one was preferred.

Bradley and Terry give each answer a reward and say how likely it is to be preferred: the sigmoid of
the difference. DPO needs no model of rewards: it takes as reward how much likelier the model
has made an answer than a frozen reference does, times beta.

Source: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290, equations 1, 6 and 7.
"""

import numpy as np

from ..axes import Array
from ..functional import log_softmax, sigmoid, softmax
from .loss import IGNORE


def token_log_probability(logits: Array["... T V"], targets: Array["... T"]) -> Array["... T"]:
    """Log-probability of each target, in nats; 0 where the target is ``IGNORE``.

    PyTorch: ``log_softmax(logits, -1).gather(-1, targets[..., None])[..., 0]``.
    """
    counts = targets != IGNORE
    rows = log_softmax(logits)
    chosen = np.take_along_axis(rows, np.where(counts, targets, 0)[..., None], axis=-1)[..., 0]
    return np.where(counts, chosen, 0)


def token_log_probability_backward(
    d_out: Array["... T"], logits: Array["... T V"], targets: Array["... T"]
) -> Array["... T V"]:
    """Back through ``token_log_probability``: d_out (one_hot - softmax), where it counts."""
    counts = targets != IGNORE
    d_logits = -softmax(logits)
    right = np.where(counts, targets, 0)[..., None]
    np.put_along_axis(d_logits, right, np.take_along_axis(d_logits, right, axis=-1) + 1, axis=-1)
    d_logits *= np.where(counts, d_out, 0)[..., None]
    return d_logits.astype(logits.dtype, copy=False)


def answer_log_probability(logits: Array["... T V"], targets: Array["... T"]) -> Array["..."]:
    """Log-probability of each whole answer, in nats: the sum over its tokens.

    Positions with target ``IGNORE``, the question and the padding, do not count.

    >>> answer_log_probability(np.zeros((1, 2, 4)), np.array([[1, IGNORE]])).round(6).tolist()
    [-1.386294]
    """
    return np.sum(token_log_probability(logits, targets), axis=-1, where=targets != IGNORE)


def answer_log_probability_backward(
    d_out: Array["..."], logits: Array["... T V"], targets: Array["... T"]
) -> Array["... T V"]:
    """Back through ``answer_log_probability``: a sum hands its gradient to each of its tokens."""
    d_tokens = np.broadcast_to(d_out[..., None], targets.shape)
    return token_log_probability_backward(d_tokens, logits, targets)


def bradley_terry_loss(rewards: Array["B 2"]) -> float:
    """Mean surprise, in nats, at the preferences that were found, from the rewards of the answers.

    loss = -mean log sigmoid(r_preferred - r_other)

    The last axis holds the preferred answer and the other one. Only the difference counts: rewards
    have no zero. Equal rewards have the loss ln 2, a coin.

    PyTorch: ``-F.logsigmoid(rewards[:, 0] - rewards[:, 1]).mean()``.
    Source: Ouyang et al. 2022, https://arxiv.org/abs/2203.02155, equation 1.

    >>> round(bradley_terry_loss(np.array([[3.0, 1.0], [-5.0, -7.0]])), 6)
    0.126928
    """
    margin = rewards[..., 0] - rewards[..., 1]
    return float(np.mean(np.logaddexp(0, -margin)))  # -log sigmoid(x) = log(1 + exp(-x))


def bradley_terry_loss_backward(rewards: Array["B 2"], scale: float = 1.0) -> Array["B 2"]:
    """``scale`` times the gradient of ``bradley_terry_loss``: the preferred up, the other down.

    Each pair counts by sigmoid(-margin), how likely the wrong choice is.
    """
    wrong = sigmoid(rewards[..., 1] - rewards[..., 0])
    push = (scale / len(wrong)) * wrong
    return np.stack([-push, push], axis=-1)


def dpo_rewards(log_p: Array["... 2"], reference: Array["... 2"], beta: float) -> Array["... 2"]:
    """beta times how much likelier, in nats, the model finds each answer than the reference does.

    The last axis holds the preferred answer and the other one.
    """
    return beta * (log_p - reference)


def dpo_loss(log_p: Array["B 2"], reference: Array["B 2"], beta: float) -> float:
    """Mean surprise, in nats, at the preferences that were found: Bradley-Terry's.

    loss = -mean log sigmoid(r_preferred - r_other), with the rewards r of ``dpo_rewards``

    A model that has not moved has the loss ln 2: it would toss a coin.

    PyTorch: ``-F.logsigmoid(beta * ((pi_w - pi_l) - (ref_w - ref_l))).mean()``.

    >>> round(dpo_loss(np.zeros((1, 2)), np.zeros((1, 2)), beta=0.1), 6)
    0.693147
    """
    return bradley_terry_loss(dpo_rewards(log_p, reference, beta))


def dpo_loss_backward(log_p: Array["B 2"], reference: Array["B 2"], beta: float) -> Array["B 2"]:
    """Gradient of ``dpo_loss`` for log_p: push up the preferred, push down the other.

    Each pair counts by sigmoid(-margin): much where the model is wrong, little where it is right
    already. Source: equation 7 and the lines that follow it.
    """
    return bradley_terry_loss_backward(dpo_rewards(log_p, reference, beta), scale=beta)
