"""Lesson 19, rewards."""

import numpy as np

from llama_np.training.rewards import (
    centred,
    clipped_gain,
    group_advantages,
    kl_estimate,
    mean_of_answers,
)
from llama_np.training.rewards import grpo_loss as named_loss

from ..check import rewards as right
from .registry import wrong


@wrong("the advantage is not centred", "19/gradient-why", task="reinforce")
def not_centred(rewards):
    """Without a baseline whatever was drawn gets likelier: take off the mean of its group."""
    return -rewards / rewards.size


@wrong("centred over all groups together", "19/gradient-why", task="reinforce")
def centred_over_the_batch(rewards):
    """A hard question would always look bad: each group has a mean of its own."""
    return -(rewards - rewards.mean()) / rewards.size


@wrong("the baseline is the best of the group", "19/gradient-why", task="reinforce")
def below_the_best(rewards):
    """Then no answer gets likelier, only less: the baseline is the mean."""
    return -(rewards - rewards.max(axis=-1, keepdims=True)) / rewards.size


@wrong("the sign is turned round", "19/gradient-why", task="reinforce")
def uphill(rewards):
    """Training goes against the gradient: good answers need a negative one to become likelier."""
    return -right.reinforce(rewards)


@wrong("not divided by the number of answers", "19/gradient-why", task="reinforce")
def reinforce_summed(rewards):
    """The loss is a mean over all answers."""
    return -centred(rewards)


@wrong("divided by the answers of a group alone", "19/gradient-why", task="reinforce")
def divided_by_the_group(rewards):
    """The loss is a mean over the answers of all groups."""
    return -centred(rewards) / rewards.shape[-1]


@wrong("divided by the standard deviation as well", "19/gradient-why", task="reinforce")
def reinforce_as_in_grpo(rewards):
    """That is GRPO's own addition; REINFORCE has the reward less the baseline."""
    return -group_advantages(rewards) / rewards.size


@wrong("the advantage is not centred", "19/group-why", task="group_advantages")
def advantages_not_centred(rewards):
    """Take off the mean of the group first; else bad answers become likelier too."""
    return rewards / rewards.std(axis=-1, keepdims=True)


@wrong("not divided by the deviation", "19/group-why", task="group_advantages")
def only_centred(rewards):
    """That is Dr. GRPO; GRPO divides by the group's standard deviation."""
    return centred(rewards)


@wrong("divided by the variance", "19/group-why", task="group_advantages")
def over_the_variance(rewards):
    """The deviation is the root of the variance: advantages have no unit."""
    return group_advantages(rewards) / np.maximum(1e-12, rewards.std(axis=-1, keepdims=True))


@wrong("the deviation over G - 1", "19/group-why", task="group_advantages")
def deviation_of_a_sample(rewards):
    """The page takes the deviation of the group itself, over G, as NumPy's std does."""
    size = rewards.shape[-1]
    return group_advantages(rewards) * np.sqrt((size - 1) / size)


@wrong("mean and deviation over all groups together", "19/group-why", task="group_advantages")
def over_the_batch(rewards):
    """The group is what an answer is compared with: axis=-1, keepdims=True."""
    return (rewards - rewards.mean()) / rewards.std()


@wrong("equal rewards were divided by their rounding", "19/group-why", task="group_advantages")
def rounding_divided(rewards):
    """Three times 0.1 have a mean that is not quite 0.1: where all are equal, return zeros."""
    deviation = rewards.std(axis=-1, keepdims=True)
    return centred(rewards) / np.where(deviation == 0, 1, deviation)


@wrong("the ratio is upside down", "19/clip-read", task="kl_estimate")
def ratio_upside_down(log_p, reference):
    """r is the reference's probability over the model's: the model has drawn the tokens."""
    return kl_estimate(reference, log_p)


@wrong("k1: the logarithm alone", "19/clip-read", task="kl_estimate")
def k1(log_p, reference):
    """That is right on average, and often negative: k3 adds r - 1, whose mean is zero."""
    return log_p - reference


@wrong("the 1 is not taken off", "19/clip-read", task="kl_estimate")
def one_forgotten(log_p, reference):
    """Where both models agree r is 1, and the estimate must be 0."""
    return kl_estimate(log_p, reference) + 1


@wrong("the logarithm with the wrong sign", "19/clip-read", task="kl_estimate")
def sign_of_the_logarithm(log_p, reference):
    """r - ln r - 1 is never below zero; r + ln r - 1 is."""
    log_r = reference - log_p
    return np.exp(log_r) + log_r - 1


@wrong("the square of the logarithm", "19/clip-read", task="kl_estimate")
def k2(log_p, reference):
    """That is k2, half the square, which is near the KL for small steps only."""
    return 0.5 * (reference - log_p) ** 2


@wrong("clipped, without the minimum", "19/group-read", task="clipped_gain")
def without_the_minimum(log_p, old, advantages, clip):
    """Then the way back is closed too: take the smaller of the gain and the clipped gain."""
    return np.clip(np.exp(log_p - old), 1 - clip, 1 + clip) * advantages[:, None]


@wrong("the larger of the two was taken", "19/group-read", task="clipped_gain")
def the_larger(log_p, old, advantages, clip):
    """That holds the wrong side: nothing would stop a good token above the bound."""
    return -clipped_gain(log_p, old, -advantages, clip)


@wrong("held above only, whatever the advantage", "19/group-read", task="clipped_gain")
def held_above_only(log_p, old, advantages, clip):
    """A bad token is held below 1 - clip: there it is pushed down no further."""
    return np.minimum(np.exp(log_p - old), 1 + clip) * advantages[:, None]


@wrong("not clipped", "19/group-read", task="clipped_gain")
def not_clipped(log_p, old, advantages, clip):
    """Beyond the bounds nothing more may be gained."""
    return np.exp(log_p - old) * advantages[:, None]


@wrong("the ratio is upside down", "19/group-read", task="clipped_gain")
def then_over_now(log_p, old, advantages, clip):
    """It is p now over p then: a token that has become likelier has a ratio above 1."""
    return clipped_gain(old, log_p, advantages, clip)


@wrong("the logarithms were divided", "19/group-read", task="clipped_gain")
def logarithms_divided(log_p, old, advantages, clip):
    """The ratio of two probabilities is exp of the difference of their logarithms."""
    ratio, each = log_p / old, advantages[:, None]
    return np.minimum(ratio * each, np.clip(ratio, 1 - clip, 1 + clip) * each)


def loss_with(log_p, old, reference, advantages, share, clip, beta):
    return named_loss(log_p, old, reference, advantages, share, clip, beta)


@wrong("the KL is rewarded", "19/clip-read", task="grpo_loss")
def kl_rewarded(log_p, old, reference, rewards, counts, clip, beta):
    """The penalty makes the loss larger: plus beta times the KL, minus the gain."""
    return right.grpo_loss(log_p, old, reference, rewards, counts, clip, -beta)


@wrong("the gain was added to the loss", "19/clip-read", task="grpo_loss")
def gain_added(log_p, old, reference, rewards, counts, clip, beta):
    """A loss is made small, a gain large: it enters with a minus."""
    return -right.grpo_loss(log_p, old, reference, rewards, counts, clip, -beta)


@wrong("beta is left out", "19/clip-read", task="grpo_loss")
def beta_forgotten(log_p, old, reference, rewards, counts, clip, beta):
    """beta says how much a nat of distance counts against the gain."""
    return right.grpo_loss(log_p, old, reference, rewards, counts, clip, 1.0)


@wrong("no penalty at all", "19/clip-read", task="grpo_loss")
def no_penalty(log_p, old, reference, rewards, counts, clip, beta):
    """Nothing would hold the model to the reference."""
    return right.grpo_loss(log_p, old, reference, rewards, counts, clip, 0.0)


@wrong("the reference moves along", "19/clip-read", task="grpo_loss")
def reference_moves_along(log_p, old, reference, rewards, counts, clip, beta):
    """The KL is measured from the frozen model of the start, not from the one that drew."""
    return right.grpo_loss(log_p, old, old, rewards, counts, clip, beta)


@wrong("the old probabilities were taken after the update", "19/group-read", task="grpo_loss")
def old_taken_too_late(log_p, old, reference, rewards, counts, clip, beta):
    """Then every ratio is 1: old is what drew the answers."""
    return right.grpo_loss(log_p, log_p, reference, rewards, counts, clip, beta)


@wrong("the ratio was taken to the reference", "19/group-read", task="grpo_loss")
def ratio_to_the_reference(log_p, old, reference, rewards, counts, clip, beta):
    """The ratio compares with the model that drew the answers; the KL has the reference."""
    return right.grpo_loss(log_p, reference, reference, rewards, counts, clip, beta)


@wrong("the rewards were not turned into advantages", "19/group-why", task="grpo_loss")
def rewards_as_they_are(log_p, old, reference, rewards, counts, clip, beta):
    """Each reward is compared with its group first: your group_advantages."""
    share = mean_of_answers(counts)
    return loss_with(log_p, old, reference, rewards, share, clip, beta)


@wrong("the question and the padding counted", "19/clip-read", task="grpo_loss")
def all_tokens_counted(log_p, old, reference, rewards, counts, clip, beta):
    """Only where counts is True stands a token of the answer."""
    every = np.ones_like(counts)
    return right.grpo_loss(log_p, old, reference, rewards, every, clip, beta)


@wrong("one mean over all tokens", "19/clip-read", task="grpo_loss")
def one_mean_over_all(log_p, old, reference, rewards, counts, clip, beta):
    """First the mean over the tokens of each answer, then over the answers."""
    share = counts / counts.sum()
    return loss_with(log_p, old, reference, group_advantages(rewards), share, clip, beta)


@wrong("divided by the padded length", "19/clip-read", task="grpo_loss")
def divided_by_the_padded_length(log_p, old, reference, rewards, counts, clip, beta):
    """The mean of an answer is over as many tokens as count in it, which is not all of its row."""
    share = counts / counts.size
    return loss_with(log_p, old, reference, group_advantages(rewards), share, clip, beta)


@wrong("summed over the answers, not their mean", "19/clip-read", task="grpo_loss")
def answers_summed(log_p, old, reference, rewards, counts, clip, beta):
    """The last step is a mean over the answers of the group."""
    return right.grpo_loss(log_p, old, reference, rewards, counts, clip, beta) * len(rewards)
