"""The study from GPT-2 to Llama: what it trains, the table it writes, the table that ships."""

import numpy as np
import pytest

from llama_np.gpt2 import hybrid as between
from llama_np.gpt2.hybrid_backward import loss_and_gradients
from llama_np.training.optimizer import AdamW
from weights_tools.training.ablation import study
from weights_tools.training.ablation.replacements import gpt2_like, replacements
from weights_tools.training.ablation.study_table import RESULTS, read_results

STAGES = ["GPT-2", "RMSNorm", "RoPE", "SwiGLU", "grouped queries", "no biases"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "stories.txt"
    stories = [f"Cat number {n} saw {n} mice. " * (3 + n % 4) for n in range(40)]
    path.write_text("\n<|endoftext|>\n".join(stories), encoding="utf-8")
    return path


def count(config) -> int:
    return sum(int(np.prod(shape)) for shape in between.shapes(config).values())


def test_each_stage_replaces_one_thing():
    stages = replacements(gpt2_like(1024))
    assert list(stages) == STAGES
    choices = ["norm", "positions", "feed_forward", "n_kv_heads", "biases"]
    values = [[getattr(config, choice) for choice in choices] for config in stages.values()]
    for n, (before, after) in enumerate(zip(values, values[1:], strict=False)):
        assert [a != b for a, b in zip(before, after, strict=True)] == [i == n for i in range(5)]


def test_the_stages_are_about_equally_large():
    counts = [count(config) for config in replacements(gpt2_like(1024)).values()]
    assert max(counts) / min(counts) < 1.07
    without_positions = [counts[0] - 128 * 48, *counts[2:]]
    assert max(without_positions) / min(without_positions) < 1.02


def test_the_same_seed_trains_the_same_model(corpus):
    config, text = gpt2_like(1024, dim=8, n_layers=1, context=16), study.Text(corpus, 16)
    runs = [[*study.train_one(config, text, seed, steps=3, every=2)] for seed in (0, 0, 1)]
    losses = [[row["held_out_loss"] for _, row in run] for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert [row["step"] for _, row in runs[0]] == [2, 3]
    assert [row["tokens"] for _, row in runs[0]] == [2 * 8 * 16, 3 * 8 * 16]


@pytest.mark.parametrize("stage", ["GPT-2", "no biases"])
def test_training_lowers_the_loss(stage):
    config = replacements(gpt2_like(29, dim=16, n_layers=1, context=16))[stage]
    w = between.initialize(config, np.random.default_rng(0))
    optimizer, ids = AdamW(w), np.arange(34).reshape(2, 17) % 29
    losses = []
    for _ in range(60):
        loss, gradients = loss_and_gradients(w, config, ids[:, :-1], ids[:, 1:])
        optimizer.step(w, gradients, 1e-2)
        losses.append(loss)
    assert losses[0] == pytest.approx(np.log(29), abs=0.2)
    assert losses[-1] < 0.5


def test_held_out_loss_is_that_of_all_rows_together(corpus):
    config, text = gpt2_like(1024, dim=8, n_layers=1, context=16), study.Text(corpus, 16)
    w = between.initialize(config, np.random.default_rng(0))
    ids, targets = text.held_out
    assert len(ids) % study.BATCH and np.array_equal(ids[:, 1:], targets[:, :-1])
    whole = study.cross_entropy(between.forward(w, config, ids), targets)
    assert study.held_out_loss(w, config, ids, targets) == pytest.approx(whole, rel=1e-6)


def test_the_command_writes_a_table(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "gpt2_like", lambda v: gpt2_like(v, dim=8, n_layers=1, context=16))
    out = tmp_path / "table.csv"
    options = ["--corpus", corpus, "--out", out, "--steps", "2", "--seeds", "2"]
    assert study.main([*map(str, options)]) == 0
    found = read_results(out)
    assert list(found) == STAGES
    for table in found.values():
        assert table["held_out_loss"].shape == table["train_loss"].shape == (2, 1)
        assert table["tokens"].tolist() == [2 * 8 * 16]


@pytest.mark.parametrize(
    "options, told",
    [
        (["--steps", "0"], "--steps and --seeds start at 1, got 0, 3"),
        (["--corpus", "nowhere.txt"], "no such file: nowhere.txt"),
    ],
)
def test_errors_are_one_line(options, told, capsys):
    assert study.main(options) == 1
    assert capsys.readouterr().err.strip().startswith(f"error: {told}")


def test_too_little_text_is_refused(corpus):
    with pytest.raises(ValueError, match="too few to fill a context of 100000"):
        study.Text(corpus, 100_000)


def test_the_table_that_ships():
    """Six stages, three seeds, the models of today."""
    found = read_results(RESULTS)
    stages = replacements(gpt2_like(1024))
    assert list(found) == STAGES
    for stage, table in found.items():
        assert table["parameters"] == count(stages[stage])
        assert table["held_out_loss"].shape == (3, study.STEPS // study.EVERY)
        assert table["tokens"][-1] == study.STEPS * study.BATCH * 128
        assert (np.diff(table["held_out_loss"][:, :4]) < 0).all()


@pytest.mark.slow
def test_the_table_that_ships_is_of_these_stories_and_this_code():
    """Its first measurement again: other stories, steps or weights would show by far."""
    config = gpt2_like(1024)
    text = study.Text(study.STORIES, config.context_length)
    _, row = next(study.train_one(config, text, seed=0))
    shipped = read_results()["GPT-2"]
    assert row["tokens"] == shipped["tokens"][0]
    assert row["held_out_loss"] == pytest.approx(shipped["held_out_loss"][0, 0], abs=0.02)
