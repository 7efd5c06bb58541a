"""AdamW, clipping and the schedule beside PyTorch's."""

import numpy as np
import pytest

from llama_np.training.optimizer import AdamW, clip_by_global_norm, global_norm, learning_rate
from tests.checks import agree, agree_by_name
from tests.tiny import random_weights, tiny_config


@pytest.mark.parametrize("tied", [False, True])
def test_fifty_steps(torch, twin, tied):
    """AdamW, the schedule and clipping together; every third gradient is small enough to stay."""
    config = tiny_config(tied_output=tied)
    ours, theirs = random_weights(config), twin.tensors(random_weights(config), grad=True)
    optimizer = AdamW(ours, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    groups = [
        {"params": [w for w in theirs.values() if w.ndim > 1], "weight_decay": 0.1},
        {"params": [w for w in theirs.values() if w.ndim == 1], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    for step in range(50):
        gradients = random_weights(config, seed=step + 1)
        gradients = gradients.map(lambda g, step=step: g * (0.001 if step % 3 == 0 else 1))
        rate = learning_rate(step, 0.01, warm_up=10, total=50)
        for name, gradient in gradients.named():
            theirs[name].grad = twin.tensor(gradient.copy())
        length = torch.nn.utils.get_total_norm([w.grad for w in theirs.values()])
        for w in theirs.values():  # clip_grad_norm_ adds 1e-6 to the length; see test_clipping
            w.grad *= torch.clamp(0.5 / length, max=1.0)
        assert clip_by_global_norm(gradients, 0.5) == pytest.approx(length.item(), rel=1e-12)
        optimizer.step(ours, gradients, rate)
        up, down = (step + 1) / 11, (1 + np.cos(np.pi * (step - 10) / 40)) / 2
        for group in reference.param_groups:
            group["lr"] = 0.01 * (up if step < 10 else down)
        reference.step()
    agree_by_name(dict(ours.named()), theirs)
    assert tied == np.shares_memory(ours.output, ours.embedding)


def test_float32_stays_float32(house):
    config, _ = house
    ours, gradients = random_weights(config, np.float32), random_weights(config, np.float32, 1)
    optimizer = AdamW(ours)
    clip_by_global_norm(gradients, 1.0)
    optimizer.step(ours, gradients, 0.01)
    for group in (dict(ours.named()), optimizer.mean, optimizer.mean_square):
        assert {array.dtype for array in group.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("limit", [0.5, 1000.0])
def test_clipping(torch, twin, house, limit):
    config, _ = house
    ours = random_weights(config, seed=1)
    theirs = {name: torch.zeros(array.shape) for name, array in ours.named()}
    for name, array in ours.named():
        theirs[name] = torch.zeros(array.shape, dtype=torch.float64, requires_grad=True)
        theirs[name].grad = twin.tensor(array)
    norm = torch.nn.utils.clip_grad_norm_(theirs.values(), limit)
    np.testing.assert_allclose(clip_by_global_norm(ours, limit), norm.item(), rtol=1e-12)
    # PyTorch divides by the norm plus 1e-6, we by the norm
    agree_by_name(dict(ours.named()), {name: w.grad for name, w in theirs.items()}, 1e-6)


def test_clipped_gradients_are_as_long_as_the_limit(house):
    gradients = random_weights(house[0], seed=1)
    clip_by_global_norm(gradients, 0.5)
    np.testing.assert_allclose(global_norm(array for _, array in gradients.named()), 0.5)


def test_gradients_within_the_limit_stay(house):
    gradients = random_weights(house[0], seed=1)
    before = gradients.map(np.copy)
    clip_by_global_norm(gradients, 1e6)
    agree_by_name(dict(gradients.named()), dict(before.named()), 0)


def test_the_schedule_ends_and_peaks():
    rates = [learning_rate(step, 3e-3, warm_up=10, total=100, final=1e-4) for step in range(101)]
    assert max(rates) == rates[10] == 3e-3
    np.testing.assert_allclose(rates[100], 1e-4)
    assert 0 < rates[0] < rates[1] < rates[9] < rates[10]
    agree(np.diff(rates[:11]), np.full(10, rates[0]))  # a straight line
    assert (np.diff(rates[10:]) < 0).all()
    assert learning_rate(200, 3e-3, 10, 100, final=1e-4) == rates[100]


def test_the_schedule_is_pytorchs_cosine(torch):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30, eta_min=0.1)
    for step in range(31):
        ours = learning_rate(step, 1.0, warm_up=0, total=30, final=0.1)
        np.testing.assert_allclose(ours, cosine.get_last_lr()[0], rtol=1e-12)
        optimizer.step()
        cosine.step()


def test_a_schedule_without_warm_up_starts_at_the_peak():
    assert learning_rate(0, 1.0, warm_up=0, total=5) == 1.0
