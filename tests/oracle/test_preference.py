"""DPO: log-probabilities of answers, the loss, its gradients, and a whole step as in PyTorch."""

import numpy as np
import pytest

from llama_np.training.backward import differentiate
from llama_np.training.loss import IGNORE
from llama_np.training.preference import (
    answer_log_probability,
    answer_log_probability_backward,
    dpo_loss,
    dpo_loss_backward,
    dpo_rewards,
)
from tests.checks import agree
from tests.tiny import random_weights, tiny_config
from weights_tools.training.stages import Answer, dpo_loss_with_gradient, pad

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

BETA = 0.3


def some(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def torch_log_probability(torch, logits, targets):
    counts = targets != IGNORE
    rows = torch.log_softmax(logits, -1)
    found = rows.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return (found * counts).sum(-1)


def torch_dpo(torch, log_p, reference):
    moved = log_p - reference
    return -torch.nn.functional.logsigmoid(BETA * (moved[:, 0] - moved[:, 1])).mean()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(2, 11), st.integers(0, 99))
def test_the_log_probability_of_an_answer(n, length, vocab, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    logits, d_out = rng.standard_normal((n, length, vocab)) * 3, rng.standard_normal(n)
    targets = np.where(rng.random((n, length)) < 0.4, IGNORE, rng.integers(0, vocab, (n, length)))
    twin = torch.tensor(logits, requires_grad=True)
    theirs = torch_log_probability(torch, twin, torch.tensor(targets))
    theirs.backward(torch.tensor(d_out))
    agree(answer_log_probability(logits, targets), theirs.detach().numpy(), 1e-10)
    ours = answer_log_probability_backward(d_out, logits, targets)
    agree(ours, twin.grad.numpy(), 1e-10)
    assert not ours[targets == IGNORE].any()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.floats(0.1, 300.0), st.integers(0, 99))
def test_the_loss_and_its_gradient(n, scale, seed):
    torch = pytest.importorskip("torch")
    log_p, reference = some((n, 2), seed) * scale, some((n, 2), seed + 1) * scale
    twin = torch.tensor(log_p, requires_grad=True)
    theirs = torch_dpo(torch, twin, torch.tensor(reference))
    theirs.backward()
    assert dpo_loss(log_p, reference, BETA) == pytest.approx(theirs.item(), rel=1e-10, abs=1e-14)
    agree(dpo_loss_backward(log_p, reference, BETA), twin.grad.numpy(), 1e-10)


def test_at_the_start_a_coin_is_tossed():
    log_p = some((4, 2))
    assert dpo_loss(log_p, log_p, BETA) == pytest.approx(np.log(2))
    assert not dpo_rewards(log_p, log_p, BETA).any()
    gradient = dpo_loss_backward(log_p, log_p, BETA)
    np.testing.assert_allclose(gradient, np.tile([-BETA / 8, BETA / 8], (4, 1)))


def test_the_whole_step(torch):
    """Pairs of unequal length, through a whole model with grouped queries, in float64."""
    from tests import torch_twin

    config = tiny_config(rope_scaling=None)
    weights = random_weights(config)
    rng = np.random.default_rng(3)
    answers = [
        Answer(rng.integers(0, config.vocab_size, n), given)
        for n, given in ((9, 4), (7, 4), (12, 5), (15, 5))
    ]
    ids, targets = pad(answers)
    reference = some((2, 2)) - 20

    def loss_of(logits):
        return dpo_loss_with_gradient(logits, targets, reference, BETA)

    loss, gradients = differentiate(weights, config, ids, loss_of)
    twin = torch_twin.tensors(weights, grad=True)
    logits = torch_twin.forward(twin, config, torch.tensor(ids))["logits"]
    log_p = torch_log_probability(torch, logits, torch.tensor(targets))
    theirs = torch_dpo(torch, log_p.reshape(-1, 2), torch.tensor(reference))
    theirs.backward()
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    for name, gradient in gradients.named():
        agree(gradient, twin[name].grad, 1e-10, name=name)
