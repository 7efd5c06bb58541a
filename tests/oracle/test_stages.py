"""Fine-tuning and preference training: what a step learns from, and the same steps in PyTorch."""

import numpy as np
import pytest

from llama_np.training.backward import loss_and_gradients
from llama_np.training.lora import initialize_lora
from llama_np.training.loss import IGNORE
from llama_np.weights import initialize
from tests.checks import agree
from tests.tiny import tiny_config
from weights_tools.training.stages import Answer, FineTuning, Preference, Preferences, draw, pad
from weights_tools.training.trainer import Hyperparameters, Training

CONFIG = tiny_config(rope_scaling=None, context_length=32)
RECIPE = Hyperparameters(steps=20, peak_rate=3e-3, warm_up=3, dropout=0.0, ema_decay=0.0, seed=1)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("weights_tools.training.stages.PART_TOKENS", 40)


def some_answers(n, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 25, n)
    return [Answer(rng.integers(0, 53, length), int(rng.integers(1, 4))) for length in lengths]


def some_pairs(n):
    one, other = some_answers(n, 1), some_answers(n, 2)
    return [Preference(a, b, (-10.0, -9.0)) for a, b in zip(one, other, strict=True)]


def fine_tuning(per_step=6):
    return FineTuning(some_answers(15), per_step, 1, CONFIG.vocab_size, CONFIG.context_length)


def preferences():
    return Preferences(some_pairs(9), 4, 0.2, 1, CONFIG.vocab_size, CONFIG.context_length)


def start(stage, lora=False):
    rng = np.random.default_rng(0)
    weights = initialize(CONFIG, rng)
    return Training(
        CONFIG, RECIPE, stage, weights, initialize_lora(CONFIG, 2, rng) if lora else None
    )


def test_only_the_answer_is_a_target():
    ids, targets = pad([Answer(np.array([5, 6, 7, 8]), 2), Answer(np.array([1, 2, 3, 4, 9, 9]), 3)])
    assert ids.tolist() == [[5, 6, 7, 0, 0], [1, 2, 3, 4, 9]]
    i = IGNORE
    assert targets.tolist() == [[i, 7, 8, i, i], [i, i, 4, 9, 9]]


def test_every_document_once_in_each_epoch():
    drawn = [draw(7, 3, step, seed=2) for step in range(14)]
    flat = sum(drawn, [])
    for epoch in range(6):
        assert sorted(flat[7 * epoch : 7 * epoch + 7]) == list(range(7))
    assert flat[:7] != flat[7:14]  # in another order
    assert drawn[5] == draw(7, 3, 5, seed=2)
    assert sorted(draw(2, 5, 0, seed=0)) in (
        [0, 0, 0, 1, 1],
        [0, 0, 1, 1, 1],
    )  # more than there are


@pytest.mark.parametrize("stage", [fine_tuning(), preferences()], ids=["dialogs", "pairs"])
def test_the_shares_sum_to_one_over_several_parts(stage):
    for step in range(5):
        parts = stage.parts(step)
        assert len(parts) > 1 and sum(part.share for part in parts) == pytest.approx(1)
        assert len({part.first_row for part in parts}) == len(parts)


def test_parts_add_up_to_the_whole(monkeypatch):
    """The mean over all tokens of the answers, however the batch is cut."""
    cut = start(fine_tuning())
    loss = cut.take_step()
    monkeypatch.setattr("weights_tools.training.stages.PART_TOKENS", 10**6)
    whole = start(fine_tuning())
    (part,) = whole.stage.parts(0)
    assert loss == pytest.approx(whole.take_step(), rel=1e-6)
    ids, targets = pad(sorted((d for d in drawn_dialogs(0)), key=lambda d: len(d.ids)))
    expected, _ = loss_and_gradients(start(fine_tuning()).learned, CONFIG, ids, targets)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(part.ids, ids)


def drawn_dialogs(step):
    stage = fine_tuning()
    return [stage.dialogs[i] for i in draw(15, 6, step, seed=1)]


@pytest.mark.parametrize("lora", [False, True], ids=["all weights", "lora"])
@pytest.mark.parametrize("stage", [fine_tuning, preferences])
def test_an_interrupted_run_goes_on_exactly(stage, lora, tmp_path):
    straight, broken, resumed = (start(stage(), lora) for _ in range(3))
    for _ in range(5):
        straight.take_step()
    for _ in range(3):
        broken.take_step()
    broken.save(tmp_path / "checkpoint.npz")
    resumed.restore(tmp_path / "checkpoint.npz")
    for _ in range(2):
        resumed.take_step()
    for kind, group in straight.arrays().items():
        for name, array in group.items():
            assert np.array_equal(array, resumed.arrays()[kind][name]), name
    assert (straight.step, straight.loss) == (resumed.step, resumed.loss)


def test_lora_leaves_the_model_alone():
    training = start(fine_tuning(), lora=True)
    before = [array.copy() for _, array in training.frozen.named()]
    first = training.take_step()
    for _ in range(19):
        last = training.take_step()
    assert last < first
    for array, (name, now) in zip(before, training.frozen.named(), strict=True):
        assert np.array_equal(array, now), name


def test_other_data_other_beta_and_another_frozen_model_do_not_go_on(tmp_path):
    path = tmp_path / "checkpoint.npz"
    training = start(preferences(), lora=True)
    training.save(path)
    other = Preferences(some_pairs(9), 4, 0.5, 1, CONFIG.vocab_size, CONFIG.context_length)
    with pytest.raises(ValueError, match="beta = 0.2, this run has 0.5"):
        start(other, lora=True).restore(path)
    with pytest.raises(ValueError, match="was made with"):
        start(fine_tuning(), lora=True).restore(path)
    training.frozen.norm[:] = 2
    with pytest.raises(ValueError, match="frozen_model = "):
        training.restore(path)


def test_dialogs_that_cannot_be_learned():
    with pytest.raises(ValueError, match="no dialog"):
        FineTuning([], 1, 0, 53, 32)
    with pytest.raises(ValueError, match="a dialog has 40 tokens, the model's context is 32"):
        FineTuning([Answer(np.zeros(40, int), 3)], 1, 0, 53, 32)
    with pytest.raises(ValueError, match="the id 60, the model a vocabulary of 53"):
        FineTuning([Answer(np.full(9, 60), 3)], 1, 0, 53, 32)


@pytest.mark.parametrize("tied", [False, True])
def test_twenty_steps_as_in_pytorch(tied, torch):
    """The same start, batches, schedule, clipping and AdamW: the same losses to 1e-5."""
    from tests import torch_twin

    config = tiny_config(rope_scaling=None, context_length=32, tied_output=tied)
    recipe = Hyperparameters(steps=20, peak_rate=1e-2, warm_up=3, dropout=0.0, clip=0.5, seed=1)
    stage = FineTuning(some_answers(15), 6, 1, config.vocab_size, config.context_length)
    training = Training(config, recipe, stage, initialize(config, np.random.default_rng(0)))
    twin = torch_twin.tensors(training.learned, grad=True)
    decayed = [w for w in twin.values() if w.ndim > 1]
    plain = [w for w in twin.values() if w.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.peak_rate, betas=(0.9, 0.95),
    )  # fmt: skip
    for step in range(20):
        dialogs = [stage.dialogs[i] for i in draw(15, 6, step, seed=1)]
        ids, targets = pad(dialogs)
        up, down = (step + 1) / 4, (1 + np.cos(np.pi * (step - 3) / 17)) / 2
        for group in optimizer.param_groups:
            group["lr"] = recipe.peak_rate * (up if step < 3 else down)
        optimizer.zero_grad()
        logits = torch_twin.forward(twin, config, torch.tensor(ids))["logits"]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.tensor(targets).flatten()
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(twin.values(), recipe.clip)
        optimizer.step()
        assert training.take_step() == pytest.approx(loss.item(), rel=1e-5), step
    for name, array in training.learned.named():
        agree(array, twin[name].detach().numpy(), 1e-3, name=name)
