"""Learning from rewards: a number says how good an answer was, in place of the right answer.

The number comes from a **reward model**, which has learned it from comparisons, or from a rule that
can be checked (a **verifiable reward**). The model writes answers of its own, and those that earned
more than was to be expected become likelier: a **policy gradient**. In the words of the field the
model is the policy, a token an action, an answer an episode.

REINFORCE: Williams 1992, https://link.springer.com/article/10.1007/BF00992696
GRPO: Shao et al. 2024 (DeepSeekMath), https://arxiv.org/abs/2402.03300, section 4.1, equations 3
and 4; Guo et al. 2025 (DeepSeek-R1), https://arxiv.org/abs/2501.12948, section 2.2.
Its biases: Liu et al. 2025 (Dr. GRPO), https://arxiv.org/abs/2503.20783, section 3.
"""

import math

import numpy as np

from ..axes import Array
from ..config import LlamaConfig
from ..functional import log_softmax
from ..weights import Weights
from .backward import linear_backward, stream_backward, stream_forward
from .preference import bradley_terry_loss, bradley_terry_loss_backward

# --- a reward model: one column in place of the output matrix ---


def last_of(final_norm: Array["B T D"], last: Array["B"]) -> Array["B D"]:
    """The rows of the final normalised stream at each answer's last token, position ``last``.

    It is the only token that has seen the whole answer; padding stands behind it.
    """
    return final_norm[np.arange(len(last)), last]


def reward(final_norm: Array["B T D"], head: Array["D"], last: Array["B"]) -> Array["B"]:
    """One number for each answer: its last token's row times the head, a matrix with one column.

    There is no bias: Bradley-Terry looks at differences only, and a bias would cancel.

    transformers: ``LlamaForSequenceClassification`` with ``num_labels=1``.
    Source: Touvron et al. 2023, https://arxiv.org/abs/2307.09288, section 3.2.2.
    """
    return last_of(final_norm, last) @ head


def reward_backward(
    d_out: Array["B"], final_norm: Array["B T D"], head: Array["D"], last: Array["B"]
) -> tuple[Array["B T D"], Array["D"]]:
    """Back through ``reward``; returns d_final_norm, zero but at the last tokens, and d_head."""
    d_last, d_head = linear_backward(d_out[:, None], last_of(final_norm, last), head[:, None])
    d_final_norm = np.zeros_like(final_norm)
    d_final_norm[np.arange(len(last)), last] = d_last
    return d_final_norm, d_head[:, 0]


def reward_model_gradients(
    weights: Weights,
    head: Array["D"],
    config: LlamaConfig,
    ids: Array["B T"],
    last: Array["B"],
) -> tuple[float, Array["D"], Weights]:
    """Bradley-Terry's loss of a reward model, and its gradient for the head and for every weight.

    The rows are preferred, other, preferred, other, ..., padded at their end; ``last`` says where
    each one's last token stands. The output matrix is not used: its gradient is zero.

    To train the head alone, keep ``last_of`` of a frozen model: of these rows the reward is a
    linear function, and the loss that of logistic regression on the difference of each two.
    """
    final_norm, seen = stream_forward(weights, config, ids)
    rewards = reward(final_norm, head, last).reshape(-1, 2)
    d_rewards = bradley_terry_loss_backward(rewards).reshape(-1)
    d_final_norm, d_head = reward_backward(d_rewards, final_norm, head, last)
    gradients = stream_backward(d_final_norm, weights, config, seen)
    return bradley_terry_loss(rewards), d_head, gradients


# --- policy gradient ---


def reinforce_loss(log_p: Array["B"], advantages: Array["B"]) -> float:
    """What REINFORCE descends: -mean(advantage * log-probability of the answer), over the answers.

    The mean reward has the gradient mean(reward * gradient of log_p), because the gradient of a
    probability is the probability times that of its logarithm. So the model need not be followed
    through its own draws, and the rewards may come from anywhere. Only the gradient means
    something: the number itself may rise or fall while the answers get better.

    ``log_p`` is ``answer_log_probability`` of answers that the model itself has drawn;
    ``advantages`` are their rewards, less a baseline: see ``centred``. They count as constants.

    PyTorch: ``-(advantages * log_p).mean()``.
    """
    return -float(np.mean(advantages * log_p))


def reinforce_loss_backward(log_p: Array["B"], advantages: Array["B"]) -> Array["B"]:
    """Gradient of ``reinforce_loss`` for log_p: what did better than expected becomes likelier."""
    return (-advantages / len(advantages)).astype(log_p.dtype, copy=False)


def centred(rewards: Array["... G"]) -> Array["... G"]:
    """Rewards less the mean of their group, all answers to one question: what was to be expected.

    A **baseline** that does not depend on the answer changes nothing on average, since the
    gradients of log_p average to zero, and it takes out most of the noise. The mean holds the
    answer's own reward too, which shortens the gradient by the factor 1 - 1/G and turns it nowhere:
    ``centred`` is 1 - 1/G times the reward less the mean of the *others*.

    Source: Kool et al. 2019, https://openreview.net/forum?id=r1lgTGL5DE; Ahmadian et al. 2024,
    https://arxiv.org/abs/2402.14740.

    >>> centred(np.array([1.0, 0.0, 0.0, 1.0])).tolist()
    [0.5, -0.5, -0.5, 0.5]
    """
    return rewards - rewards.mean(axis=-1, keepdims=True)


# --- GRPO ---


def group_advantages(rewards: Array["... G"]) -> Array["... G"]:
    """GRPO's advantages: rewards less the mean of their group, over its standard deviation.

    A group of equal rewards teaches nothing: its advantages are zero.

    Dr. GRPO takes ``centred`` instead. The division gives questions that are nearly always or
    nearly never answered well, whose deviation is small, more weight than the others (difficulty
    bias). The deviation is that of the group itself, over G; TRL divides by the one over G - 1,
    plus 1e-4.

    PyTorch: ``(r - r.mean(-1, True)) / r.std(-1, correction=0, keepdim=True)``.

    >>> group_advantages(np.array([[1.0, 0.0, 0.0, 1.0], [0.1, 0.1, 0.1, 0.1]])).tolist()
    [[1.0, -1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]
    """
    equal = rewards.max(axis=-1, keepdims=True) == rewards.min(axis=-1, keepdims=True)
    deviation = rewards.std(axis=-1, keepdims=True)  # of equal rewards: rounding, not always zero
    return np.where(equal, 0.0, centred(rewards) / np.where(equal, 1.0, deviation))


def mean_of_answers(counts: Array["B T"]) -> Array["B T"]:
    """How much each token weighs in GRPO's loss: a mean over the tokens of each answer, then over
    the answers. ``counts`` says which tokens are an answer's.

    So a token of a long answer weighs less: wrong answers are held against the model less the
    longer they are, right ones count more the shorter they are (length bias). Dr. GRPO lets all
    tokens weigh the same: see ``mean_over_length``.

    >>> mean_of_answers(np.array([[True, True, False], [False, False, True]])).tolist()
    [[0.25, 0.25, 0.0], [0.0, 0.0, 0.5]]
    """
    lengths = np.maximum(1, counts.sum(axis=-1, keepdims=True))
    return counts / (lengths * len(counts))


def mean_over_length(counts: Array["B T"], length: int) -> Array["B T"]:
    """``mean_of_answers`` as Dr. GRPO has it: every answer's sum is divided by one ``length``.

    It is the same for all steps, such as the longest that an answer may be.
    """
    return counts / (length * len(counts))


def kl_estimate(log_p: Array["..."], reference: Array["..."]) -> Array["..."]:
    """An estimate of KL(model || reference) in nats from tokens that the model has drawn: "k3".

    with r = p_reference / p:  r - log r - 1

    Like -log r, "k1", it is right on average, since r has the mean 1; unlike that it is never below
    zero, and it varies less. Its *gradient*, on average, is not that of KL(model || reference) but
    of KL(reference || model), with the arguments the other way round: both vanish at the reference
    and agree near it (Tang and Munos 2025, https://arxiv.org/abs/2506.09477).

    Source: Schulman 2020, http://joschu.net/blog/kl-approx.html

    >>> kl_estimate(np.log([0.5, 0.25]), np.log([0.5, 0.5])).round(6).tolist()
    [0.0, 0.306853]
    """
    log_r = reference - log_p
    return np.expm1(log_r) - log_r


def kl_estimate_backward(
    d_out: Array["..."], log_p: Array["..."], reference: Array["..."]
) -> Array["..."]:
    """Back through ``kl_estimate`` for log_p: d_out (1 - r). A token that has become likelier than
    it was under the reference is pulled down, and pulled up where it has become less likely."""
    return -d_out * np.expm1(reference - log_p)


def clipped_gain(
    log_p: Array["B T"],
    old: Array["B T"],
    advantages: Array["B"] | Array["B T"],
    clip: float,
) -> Array["B T"]:
    """What each token promises: its advantage times how much likelier it is by now, held in bounds.

    with the ratio p / p_old:  min(ratio * advantage, clip(ratio, 1 - clip, 1 + clip) * advantage)

    An advantage belongs to an answer, and so to all of its tokens, or to each token: (B, T).

    ``old`` is what drew the answers. When they are used for several updates, the ratio makes up for
    what the model would draw differently by now. Beyond the bounds nothing more is promised, so no
    token is pushed further: a good one above 1 + clip, a bad one below 1 - clip. The way back stays
    open: a good one that has become *less* likely is always pushed.

    Source: Schulman et al. 2017 (PPO), https://arxiv.org/abs/1707.06347, equation 7.
    """
    ratio, advantage = np.exp(log_p - old), advantages.reshape(len(log_p), -1)
    return np.minimum(ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage)


def clipped_gain_backward(
    d_out: Array["B T"],
    log_p: Array["B T"],
    old: Array["B T"],
    advantages: Array["B"] | Array["B T"],
    clip: float,
) -> Array["B T"]:
    """Back through ``clipped_gain`` for log_p: d_out * ratio * advantage, zero where it is held."""
    ratio, advantage = np.exp(log_p - old), advantages.reshape(len(log_p), -1)
    held = np.where(advantage > 0, ratio > 1 + clip, ratio < 1 - clip)
    return np.where(held, 0, d_out * ratio * advantage)


def grpo_loss(
    log_p: Array["B T"],
    old: Array["B T"],
    reference: Array["B T"],
    advantages: Array["B"] | Array["B T"],
    share: Array["B T"],
    clip: float,
    beta: float,
) -> float:
    """GRPO: the promised gain of each token, less beta times its KL from the reference; negative.

    loss = sum over tokens of share * (beta * kl_estimate - clipped_gain)

    ``log_p``, ``old`` and ``reference`` are log-probabilities of the tokens of some answers: under
    the model as it is, as it was when it drew them, and under the frozen reference (see
    ``token_log_probability``). ``advantages``, one for each answer, are ``group_advantages`` and
    hold for all its tokens; ``share`` is ``mean_of_answers``, zero where a token does not count.

    At the first update after a draw all ratios are 1: then the gradient is that of REINFORCE, with
    each answer's log-probability divided by its length, and the advantages of a group cancel in
    the loss. What is left is beta times the KL: GRPO's loss starts at zero and *rises*.

    PyTorch: the objective of ``trl.GRPOTrainer`` with ``loss_type="grpo"``.
    """
    gain = clipped_gain(log_p, old, advantages, clip)
    return float(np.sum(share * (beta * kl_estimate(log_p, reference) - gain)))


def grpo_loss_backward(
    log_p: Array["B T"],
    old: Array["B T"],
    reference: Array["B T"],
    advantages: Array["B"] | Array["B T"],
    share: Array["B T"],
    clip: float,
    beta: float,
) -> Array["B T"]:
    """Gradient of ``grpo_loss`` for log_p; all else counts as constant."""
    d_log_p = kl_estimate_backward(beta * share, log_p, reference)
    d_log_p += clipped_gain_backward(-share, log_p, old, advantages, clip)
    return d_log_p.astype(log_p.dtype, copy=False)


# --- how far a model has moved, and what it gained by it ---


def kl_divergence(logits: Array["... T V"], reference: Array["... T V"]) -> Array["... T"]:
    """KL(model || reference) of the next token at each position, in nats, from all probabilities.

    Summed over an answer that the model has drawn, it is on average the KL of whole answers, and
    varies less than estimates from the drawn tokens alone.

    PyTorch: ``F.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)``.

    >>> kl_divergence(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])).round(6).tolist()
    [0.143841]
    """
    log_p, log_q = log_softmax(logits), log_softmax(reference)
    return np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)


def best_of_n(rewards: Array["... N"], n: int) -> Array["..."]:
    """The mean reward of the best of ``n`` answers, from N of them: the mean over all choices of n.

    It is right on average, for rewards of any kind; for rewards of 0 and 1 it is "pass@n".

    Source: Chen et al. 2021, https://arxiv.org/abs/2107.03374, equation 1. Raises ``ValueError``
    for an n below 1 or above N.

    >>> best_of_n(np.array([1.0, 0.0, 0.0]), 2).round(6).tolist()
    0.666667
    """
    total = rewards.shape[-1]
    if not 1 <= n <= total:
        raise ValueError(f"the best of n needs an n from 1 to the {total} answers, got {n}")
    chosen = math.comb(total, n)  # the k-th smallest is the best of those with n - 1 below it
    weights = [math.comb(below, n - 1) / chosen for below in range(total)]
    return np.sort(rewards, axis=-1) @ np.array(weights)


def best_of_n_kl_bound(n: int) -> float:
    """At most so far, in nats, has the best of ``n`` answers moved from the model: log n - (n-1)/n.

    It is reached when no two answers have the same reward; with equal rewards it is less (see
    ``best_of_n_kl``). Source: Beirami et al. 2024, https://arxiv.org/abs/2401.01879, theorem 3.1;
    as an equation, Gao et al. 2022, https://arxiv.org/abs/2210.10760, section 2.

    >>> round(best_of_n_kl_bound(4), 6)
    0.636294
    """
    return math.log(n) - (n - 1) / n


def least_kl(q: float, p: float) -> float:
    """The least KL, in nats, of a model that earns a reward of 1 with probability q, where the one
    that it started from earns it with probability p, and 0 otherwise.

    It is the KL of two coins: whole answers tell at least as much as their rewards do (the data
    processing inequality). Whatever a model has moved beyond that changed something else. Raises
    ``ValueError`` for a q above 0 where p is 0, or below 1 where p is 1: there is no way.

    >>> round(least_kl(0.8, 0.4), 6), least_kl(0.4, 0.4), round(least_kl(1.0, 0.5), 6)
    (0.334795, 0.0, 0.693147)
    """
    if not 0 <= q <= 1 or not 0 <= p <= 1 or (p in (0, 1) and q != p):
        raise ValueError(f"no model moves from a probability of {p} to one of {q}")
    return sum(a * math.log(a / b) for a, b in ((q, p), (1 - q, 1 - p)) if a > 0)


def best_of_n_kl(p: float, n: int) -> float:
    """How far, in nats, the best of ``n`` has moved where a reward is 1, with probability p, or 0.

    Among answers of equal reward the choice changes nothing, so only the probability of the reward
    moves, from p to 1 - (1-p)^n, and that at the ``least_kl``. It stays below log(1/p).

    >>> round(best_of_n_kl(0.4, 1), 6), round(best_of_n_kl(0.4, 4), 6)
    (0.0, 0.478117)
    """
    return least_kl(1 - (1 - p) ** n, p)
