"""Rewards: a reward model, REINFORCE and GRPO, every loss and every gradient as in PyTorch."""

import itertools

import numpy as np
import pytest

from llama_np.training.backward import differentiate
from llama_np.training.loss import IGNORE
from llama_np.training.preference import (
    answer_log_probability,
    answer_log_probability_backward,
    bradley_terry_loss,
    bradley_terry_loss_backward,
    token_log_probability,
    token_log_probability_backward,
)
from llama_np.training.rewards import (
    best_of_n,
    best_of_n_kl,
    best_of_n_kl_bound,
    centred,
    clipped_gain,
    clipped_gain_backward,
    group_advantages,
    grpo_loss,
    grpo_loss_backward,
    kl_divergence,
    kl_estimate,
    kl_estimate_backward,
    last_of,
    least_kl,
    mean_of_answers,
    mean_over_length,
    reinforce_loss,
    reinforce_loss_backward,
    reward,
    reward_backward,
    reward_model_gradients,
)
from tests.checks import agree
from tests.tiny import random_ids, random_weights, tiny_config

CLIP, BETA = 0.2, 0.04
SHAPES = [(6, 7), (1, 1), (4, 13)]  # answers, tokens


def some(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def log_probabilities(shape, seed=0, apart=0.4):
    """Now, at the draw, and under the reference; ratios on both sides of the clip."""
    log_p = -np.abs(some(shape, seed)) - 0.1
    return log_p, log_p + apart * some(shape, seed + 1), log_p + apart * some(shape, seed + 2)


def some_counts(shape, seed=0):
    counts = np.random.default_rng(seed).random(shape) < 0.7
    counts[:, 0] = True
    return counts


# --- a reward model ---


@pytest.mark.parametrize("n", [1, 5])
def test_bradley_terry(torch, n):
    rewards = some((n, 2)) * 3
    twin = torch.tensor(rewards, requires_grad=True)
    theirs = -torch.nn.functional.logsigmoid(twin[:, 0] - twin[:, 1]).mean()
    theirs.backward()
    assert bradley_terry_loss(rewards) == pytest.approx(theirs.item(), rel=1e-12)
    agree(bradley_terry_loss_backward(rewards), twin.grad)
    agree(bradley_terry_loss_backward(rewards, scale=0.3), 0.3 * twin.grad)
    assert bradley_terry_loss(rewards + 7) == pytest.approx(bradley_terry_loss(rewards))


@pytest.mark.parametrize("shape", [(4, 7, 5), (1, 1, 3), (6, 2, 11)])
def test_the_head_reads_the_last_token(torch, shape):
    n, length, width = shape
    stream, head, d_out = some(shape), some(width, 1), some(n, 2)
    last = np.random.default_rng(3).integers(0, length, n)
    theirs = torch.tensor(stream, requires_grad=True), torch.tensor(head, requires_grad=True)
    rewards = (theirs[0][torch.arange(n), torch.tensor(last)] * theirs[1]).sum(-1)
    rewards.backward(torch.tensor(d_out))
    agree(reward(stream, head, last), rewards)
    for ours, twin in zip(reward_backward(d_out, stream, head, last), theirs, strict=True):
        agree(ours, twin.grad)
    agree(last_of(stream, last), np.stack([row[i] for row, i in zip(stream, last, strict=True)]))


@pytest.mark.parametrize("tied", [False, True])
def test_a_reward_model_learns_through_the_whole_model(torch, tied):
    from tests import torch_twin

    config = tiny_config(rope_scaling=None, tied_output=tied)
    weights, head = random_weights(config), some(config.dim, 5)
    ids, last = random_ids(config, 6, 9), np.array([8, 3, 5, 8, 1, 7])
    loss, d_head, gradients = reward_model_gradients(weights, head, config, ids, last)
    twin = torch_twin.tensors(weights, grad=True)
    head_twin = torch.tensor(head, requires_grad=True)
    stream = torch_twin.forward(twin, config, torch.tensor(ids))["final_norm"]
    rewards = (stream[torch.arange(6), torch.tensor(last)] @ head_twin).reshape(-1, 2)
    theirs = -torch.nn.functional.logsigmoid(rewards[:, 0] - rewards[:, 1]).mean()
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    agree(d_head, head_twin.grad, 1e-10)
    for name, gradient in gradients.named():
        expected = twin[name].grad
        if name == "output":
            assert expected is None and not gradient.any()
        else:
            agree(gradient, expected, 1e-10, name)
    padded = ids.copy()
    padded[np.arange(9) > last[:, None]] = 0  # what stands behind the last token is not seen
    again, again_d_head, _ = reward_model_gradients(weights, head, config, padded, last)
    assert again == loss and np.array_equal(again_d_head, d_head)


# --- policy gradient ---


@pytest.mark.parametrize("n, length, vocab", [(3, 5, 7), (1, 1, 2), (4, 9, 3)])
def test_the_log_probability_of_each_token(torch, n, length, vocab):
    logits, d_out, rng = some((n, length, vocab)), some((n, length), 1), np.random.default_rng(2)
    targets = rng.integers(0, vocab, (n, length))
    targets[rng.random((n, length)) < 0.4] = IGNORE
    twin = torch.tensor(logits, requires_grad=True)
    rows = torch.log_softmax(twin, -1).gather(-1, torch.tensor(targets).clamp(min=0)[..., None])
    theirs = rows[..., 0] * torch.tensor(targets != IGNORE)
    theirs.backward(torch.tensor(d_out))
    ours = token_log_probability(logits, targets)
    agree(ours, theirs)
    agree(token_log_probability_backward(d_out, logits, targets), twin.grad)
    agree(answer_log_probability(logits, targets), ours.sum(axis=-1))


@pytest.mark.parametrize("n", [1, 7])
def test_reinforce(torch, n):
    log_p, advantages = -np.abs(some(n)), some(n, 1)
    twin = torch.tensor(log_p, requires_grad=True)
    theirs = -(torch.tensor(advantages) * twin).mean()
    theirs.backward()
    assert reinforce_loss(log_p, advantages) == pytest.approx(theirs.item(), rel=1e-12)
    agree(reinforce_loss_backward(log_p, advantages), twin.grad)
    assert reinforce_loss_backward(log_p.astype(np.float32), advantages).dtype == np.float32


def test_reinforce_is_the_gradient_of_the_mean_reward(torch):
    """All answers of two tokens from a vocabulary of three, each as often as it is drawn."""
    logits = torch.tensor(some((3, 3)), requires_grad=True)  # row 0: the first token; then by it
    rewards = torch.tensor(some((3, 3), 1))
    first, then = torch.softmax(logits[0], -1), torch.softmax(logits, -1)
    chances = first[:, None] * then
    (chances * rewards).sum().backward()
    ours = np.zeros((3, 3))
    for a, b in itertools.product(range(3), repeat=2):
        rows, targets = logits.detach().numpy()[[0, a]], np.array([a, b])
        log_p = answer_log_probability(rows[None], targets[None])
        d_log_p = reinforce_loss_backward(log_p, rewards[a, b].numpy()[None])
        d_rows = answer_log_probability_backward(d_log_p, rows[None], targets[None])[0]
        np.add.at(ours, [0, a], -chances[a, b].item() * d_rows)
    agree(ours, logits.grad)


def test_a_baseline_changes_nothing_on_average_and_takes_out_noise():
    """Every group of two answers from three, by how likely it is: the gradient and its spread."""
    p, rewards = np.array([0.5, 0.3, 0.2]), np.array([3.0, 4.0, 3.5])
    scores = np.eye(3) - p  # the gradient of each log-probability for the logits
    plain, others = [], []
    for pair in itertools.product(range(3), repeat=2):
        chance, group = p[list(pair)].prod(), rewards[list(pair)]
        less_the_other = 2 * centred(group)  # 1 / (1 - 1/2)
        np.testing.assert_allclose(less_the_other, group - group[::-1])
        for kept, advantages in ((plain, group), (others, less_the_other)):
            d_log_p = -reinforce_loss_backward(np.zeros(2), advantages)
            kept.append((chance, d_log_p @ scores[list(pair)]))
    means = [sum(c * g for c, g in kept) for kept in (plain, others)]
    np.testing.assert_allclose(means[0], p * (rewards - p @ rewards), atol=1e-12)
    np.testing.assert_allclose(means[1], means[0], atol=1e-12)
    spreads = [
        sum(c * ((g - mean) ** 2).sum() for c, g in kept)
        for kept, mean in zip((plain, others), means, strict=True)
    ]
    assert spreads[1] < 0.1 * spreads[0]


# --- GRPO ---


@pytest.mark.parametrize("shape", [(4, 8), (1, 2), (3, 5, 6)])
def test_advantages_of_a_group(torch, shape):
    rewards = some(shape)
    twin = torch.tensor(rewards)
    middle, spread = twin.mean(-1, keepdim=True), twin.std(-1, correction=0, keepdim=True)
    agree(group_advantages(rewards), (twin - middle) / spread)
    agree(centred(rewards), twin - middle)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -3.3, 1e-300])
@pytest.mark.parametrize("size", [1, 3, 7, 10])
def test_equal_rewards_teach_nothing(value, size):
    """Also where the mean is rounded, as that of three times 0.1."""
    rewards = np.stack([np.full(size, value), np.arange(size) % 2])
    advantages = group_advantages(rewards)
    assert not advantages[0].any() and (size == 1 or np.isfinite(advantages[1]).all())
    assert size == 1 or advantages[1].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kl_of_a_token(torch, shape):
    log_p, _, reference = log_probabilities(shape)
    d_out = some(shape, 4)
    twin = torch.tensor(log_p, requires_grad=True)
    log_r = torch.tensor(reference) - twin
    theirs = torch.exp(log_r) - log_r - 1
    theirs.backward(torch.tensor(d_out))
    agree(kl_estimate(log_p, reference), theirs)
    agree(kl_estimate_backward(d_out, log_p, reference), twin.grad)
    assert (kl_estimate(log_p, reference) >= 0).all() and not kl_estimate(log_p, log_p).any()


def test_the_estimate_is_right_on_average_and_its_gradient_is_that_of_the_other_kl(torch):
    logits, reference = some((2, 5)), some((2, 5), 1)
    twin, fixed = torch.tensor(logits, requires_grad=True), torch.tensor(reference)
    log_p, log_q = torch.log_softmax(twin, -1), torch.log_softmax(fixed, -1)
    kl = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)
    agree(kl_divergence(logits, reference), kl)
    p, ours = log_p.detach().exp().numpy(), log_p.detach().numpy()
    agree((p * kl_estimate(ours, log_q.numpy())).sum(-1), kl)
    torch.nn.functional.kl_div(log_p, log_q, log_target=True, reduction="sum").backward()
    d_log_p = kl_estimate_backward(p, ours, log_q.numpy())  # each token as often as it is drawn
    agree(d_log_p - p * d_log_p.sum(-1, keepdims=True), twin.grad)  # back through log_softmax


def torch_gain(torch, log_p, old, advantages):
    ratio = torch.exp(log_p - torch.tensor(old))
    a = torch.tensor(advantages).reshape(len(advantages), -1)
    return torch.minimum(ratio * a, torch.clamp(ratio, 1 - CLIP, 1 + CLIP) * a)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("of_tokens", [False, True])
def test_the_gain_is_held_in_bounds(torch, shape, of_tokens):
    log_p, old, _ = log_probabilities(shape)
    advantages, d_out = some(shape if of_tokens else shape[0], 4), some(shape, 5)
    twin = torch.tensor(log_p, requires_grad=True)
    theirs = torch_gain(torch, twin, old, advantages)
    theirs.backward(torch.tensor(d_out))
    agree(clipped_gain(log_p, old, advantages, CLIP), theirs)
    agree(clipped_gain_backward(d_out, log_p, old, advantages, CLIP), twin.grad)


@pytest.mark.parametrize(
    "ratio, advantage, gain, slope",
    [
        (1.5, 2.0, 2.4, 0.0),  # a good token that is likelier already: held
        (1.1, 2.0, 2.2, 2.2),
        (0.5, 2.0, 1.0, 1.0),  # one that has become less likely: the way back is open
        (0.5, -2.0, -1.6, 0.0),  # a bad one that is less likely already: held
        (0.9, -2.0, -1.8, -1.8),
        (1.5, -2.0, -3.0, -3.0),  # one that has become likelier: pushed down, as hard as it takes
        (1.5, 0.0, 0.0, 0.0),
        (1.0, 2.0, 2.0, 2.0),
    ],
)
def test_both_sides_of_the_clip(ratio, advantage, gain, slope):
    log_p, old, advantages = np.log([[ratio]]), np.zeros((1, 1)), np.array([advantage])
    assert clipped_gain(log_p, old, advantages, CLIP)[0, 0] == pytest.approx(gain)
    found = clipped_gain_backward(np.ones((1, 1)), log_p, old, advantages, CLIP)
    assert found[0, 0] == pytest.approx(slope)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [None, 9])
def test_grpo(torch, shape, length):
    log_p, old, reference = log_probabilities(shape)
    advantages, counts = some(shape[0], 4), some_counts(shape)
    share = mean_over_length(counts, length) if length else mean_of_answers(counts)
    twin, mask = torch.tensor(log_p, requires_grad=True), torch.tensor(counts)
    log_r = torch.tensor(reference) - twin
    per_token = torch_gain(torch, twin, old, advantages) - BETA * (torch.exp(log_r) - log_r - 1)
    of_answers = (per_token * mask).sum(-1) / (length or mask.sum(-1))
    theirs = -of_answers.mean()
    theirs.backward()
    given = log_p, old, reference, advantages, share, CLIP, BETA
    assert grpo_loss(*given) == pytest.approx(theirs.item(), rel=1e-12)
    ours = grpo_loss_backward(*given)
    agree(ours, twin.grad)
    assert not ours[~counts].any() and ours[counts].any()


def test_an_answer_without_tokens_weighs_nothing():
    share = mean_of_answers(np.array([[False, False], [True, True]]))
    assert share.tolist() == [[0.0, 0.0], [0.25, 0.25]]
    assert mean_over_length(np.array([[False, True], [True, True]]), 4).tolist() == [
        [0.0, 0.125], [0.125, 0.125]
    ]  # fmt: skip


def test_grpo_starts_as_reinforce_and_at_a_loss_of_zero():
    """Right after the draw, with the reference at the start; per token of each answer."""
    log_p, counts = log_probabilities((4, 5))[0], some_counts((4, 5))
    advantages = group_advantages(np.array([1.0, 0.0, 0.0, 1.0]))
    share = mean_of_answers(counts)
    given = log_p, log_p, log_p, advantages, share, CLIP, BETA
    assert grpo_loss(*given) == pytest.approx(0, abs=1e-12)
    d_answers = reinforce_loss_backward(log_p.sum(axis=-1), advantages)
    lengths = counts.sum(axis=-1, keepdims=True)
    agree(grpo_loss_backward(*given), d_answers[:, None] * counts / lengths)


def test_the_whole_step(torch):
    """A group of answers of unequal length, through a whole model, in float64."""
    from tests import torch_twin
    from weights_tools.training.grpo import grpo_loss_with_gradient
    from weights_tools.training.stages import Answer, pad

    config, temperature = tiny_config(rope_scaling=None), 0.7
    weights, rng = random_weights(config), np.random.default_rng(3)
    answers = [
        Answer(rng.integers(0, config.vocab_size, n), given)
        for n, given in ((9, 4), (7, 4), (12, 4), (15, 4))
    ]
    ids, targets = pad(answers)
    counts = targets != IGNORE
    old, reference = (np.where(counts, -np.abs(some(ids.shape, s)) - 2, 0) for s in (7, 8))
    advantages = group_advantages(np.array([1.0, 0.0, 1.0, 1.0]))

    def loss_of(logits):
        return grpo_loss_with_gradient(
            logits, targets, old, reference, advantages, CLIP, BETA, temperature
        )

    loss, gradients = differentiate(weights, config, ids, loss_of)
    twin, mask = torch_twin.tensors(weights, grad=True), torch.tensor(counts)
    logits = torch_twin.forward(twin, config, torch.tensor(ids))["logits"]
    rows = torch.log_softmax(logits / temperature, -1)
    log_p = rows.gather(-1, torch.tensor(targets).clamp(min=0)[..., None])[..., 0] * mask
    log_r = torch.tensor(reference) - log_p
    per_token = torch_gain(torch, log_p, old, advantages) - BETA * (torch.exp(log_r) - log_r - 1)
    theirs = -((per_token * mask).sum(-1) / mask.sum(-1)).mean()
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    for name, gradient in gradients.named():
        agree(gradient, twin[name].grad, 1e-10, name)


# --- the best of n ---


def test_the_best_of_n_is_the_mean_over_all_choices():
    rewards = np.round(some((2, 6)), 1)
    for n in range(1, 7):
        chosen = [rewards[:, list(c)].max(axis=-1) for c in itertools.combinations(range(6), n)]
        agree(best_of_n(rewards, n), np.mean(chosen, axis=0))
    for n in (0, 7):
        with pytest.raises(ValueError, match=f"n from 1 to the 6 answers, got {n}"):
            best_of_n(rewards, n)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_how_far_the_best_of_n_has_moved(n):
    """The probability of each answer as the best of n, by trying all draws of n."""

    def moved(p, rewards):
        best = np.zeros(len(p))
        for draw in itertools.product(range(len(p)), repeat=n):
            of_draw = rewards[list(draw)]
            ties = [i for i, r in zip(draw, of_draw, strict=True) if r == of_draw.max()]
            for i in ties:  # among equals any may be taken
                best[i] += p[list(draw)].prod() / len(ties)
        return float(np.sum(best[best > 0] * np.log(best[best > 0] / p[best > 0])))

    p = np.array([0.3, 0.1, 0.4, 0.2])
    coin = moved(p, np.array([1.0, 0.0, 1.0, 0.0]))
    assert best_of_n_kl(0.7, n) == pytest.approx(coin, abs=1e-12)
    all_differ = moved(p, np.array([3.0, 1.0, 2.0, 4.0]))
    assert coin <= all_differ <= best_of_n_kl_bound(n) + 1e-12
    many = moved(np.full(12, 1 / 12), np.arange(12.0)) if n < 4 else best_of_n_kl_bound(n)
    assert many == pytest.approx(best_of_n_kl_bound(n), abs=0.1)  # with ever more answers, equal


def test_no_model_earns_as_much_for_less():
    """Rewards of 0 and 1 for six answers: any model's KL, and that of one that only prefers."""
    rewards, rng = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0]), np.random.default_rng(0)
    start, others = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6), size=50)
    for model in others:
        q, p = model @ rewards, start @ rewards
        assert np.sum(model * np.log(model / start)) >= least_kl(q, p)
        tilted = start * np.where(rewards, q / p, (1 - q) / (1 - p))
        assert np.sum(tilted * np.log(tilted / start)) == pytest.approx(least_kl(q, p))
    for q, p in ((0.5, 0.0), (0.5, 1.0), (1.1, 0.5), (0.5, -0.1)):
        with pytest.raises(ValueError, match=f"from a probability of {p} to one of {q}"):
            least_kl(q, p)


def test_the_best_of_a_sure_thing_has_not_moved():
    assert best_of_n_kl(1.0, 5) == best_of_n_kl(0.0, 5) == 0
