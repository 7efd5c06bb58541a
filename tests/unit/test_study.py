"""The study from GPT-2 to Llama: what it trains, the table it writes, the table that ships."""

import numpy as np
import pytest

from llama_np.gpt2 import hybrid as between
from llama_np.gpt2.hybrid_backward import loss_and_gradients
from llama_np.training.optimizer import AdamW
from weights_tools.training.ablation import study
from weights_tools.training.ablation.ngrams import ngram_losses
from weights_tools.training.ablation.replacements import gpt2_like, replacements
from weights_tools.training.ablation.study_table import (
    FOR_THE_RATE,
    SEEN,
    read_baselines,
    read_results,
    read_rows,
    read_sweep,
)

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
    stages = replacements(gpt2_like(1024))
    counts, gpt2 = [count(config) for config in stages.values()], stages["GPT-2"]
    assert max(counts) / min(counts) < 1.07
    without_positions = [counts[0] - gpt2.context_length * gpt2.dim, *counts[2:]]
    assert max(without_positions) / min(without_positions) < 1.02


def test_the_same_seed_trains_the_same_model(corpus):
    config, text = gpt2_like(1024, dim=8, n_layers=1, context=16), study.Text(corpus, 16)
    runs = [
        [*study.train_one(config, text, seed, rate, steps=3, every=2)]
        for seed, rate in ((0, 1e-3), (0, 1e-3), (1, 1e-3), (0, 1e-2))
    ]
    losses = [[row["held_out_loss"] for _, row in run] for run in runs]
    assert losses[0] == losses[1] and losses[2] != losses[0] != losses[3]
    assert [row["step"] for _, row in runs[0]] == [2, 3]
    assert [row["tokens"] for _, row in runs[0]] == [2 * study.BATCH * 16, 3 * study.BATCH * 16]


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


def test_less_shown_is_a_text_of_its_own(corpus):
    """The loss of single tokens after windows of any length, here in a plain loop."""
    config, text = gpt2_like(1024, dim=8, n_layers=1, context=16), study.Text(corpus, 16)
    w = between.initialize(config, np.random.default_rng(0), std=0.3)
    targets = study.measured_after(text)
    found = study.loss_by_seen(w, config, text.stream, targets)
    assert list(found) == [1, 2, 4, 8, 16] and len(targets) > study.BATCH
    for n, loss in found.items():
        one_by_one = [
            study.cross_entropy(
                between.forward(w, config, text.stream[t - n : t])[-1:], text.stream[t : t + 1]
            )
            for t in targets
        ]
        assert loss == pytest.approx(np.mean(one_by_one), rel=1e-5)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_counting_is_the_formula_and_its_probabilities_sum_to_one(order):
    train, ids = np.random.default_rng(0).integers(5, size=(2, 60)) % 4

    def p(token, before):
        """Witten and Bell, one probability at a time, with shorter contexts below longer ones."""
        below = p(token, before[1:]) if before else 1 / 6
        n = len(before)
        followed = [train[i + n] for i in range(60 - n) if [*train[i : i + n]] == before]
        u = len(set(followed))
        return (followed.count(token) + u * below) / (len(followed) + u) if followed else below

    losses = ngram_losses(train, ids, order, vocab_size=6)
    expected = [-np.log(p(ids[t], [*ids[t - order : t]])) for t in range(order, 60)]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    for before in (ids[:order], np.full(order, 5)):  # 5 is never seen
        tokens = [np.append(before, token) for token in range(6)]
        all_of_them = [np.exp(-ngram_losses(train, each, order, 6)[-1]) for each in tokens]
        assert sum(all_of_them) == pytest.approx(1)


@pytest.fixture
def small(corpus, tmp_path, monkeypatch):
    """The command on small models, its options and where its table goes."""
    monkeypatch.setattr(study, "gpt2_like", lambda v: gpt2_like(v, dim=8, n_layers=1, context=16))
    monkeypatch.setattr(study, "RATES", (1e-3, 1e-2))
    out = tmp_path / "table.csv"
    return out, ["--corpus", str(corpus), "--out", str(out), "--steps", "2", "--seeds", "2"]


@pytest.mark.usefixtures("progress_ends")
def test_the_command_writes_a_table(small, monkeypatch):
    out, options = small
    rates, step = [], AdamW.step
    monkeypatch.setattr(AdamW, "step", lambda *given: rates.append(given[-1]) or step(*given))
    assert study.main(options) == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    sweep, found = read_sweep(out), read_results(out)
    assert list(found) == list(sweep) == STAGES
    for stage, table in found.items():
        assert table["rate"] == min(sweep[stage], key=sweep[stage].get)
        assert list(sweep[stage]) == [1e-3, 1e-2]
        assert table["held_out_loss"].shape == table["train_loss"].shape == (2, 1)
        assert table["tokens"].tolist() == [2 * study.BATCH * 16]
    baselines = read_baselines(out)
    assert list(baselines) == list(study.COUNTING)
    assert baselines["bigram counts"]["held_out_loss"] < np.log(1024)
    warming = [rate * (step + 1) / (study.WARM_UP + 1) for rate in (1e-3, 1e-2) for step in (0, 1)]
    assert {round(rate, 12) for rate in rates} == {round(rate, 12) for rate in warming}


def test_a_rate_that_runs_away_is_not_the_best():
    assert study.best_rate({1e-3: 3.0, 1e-2: 2.0, 0.1: float("nan")}) == 1e-2
    assert study.best_rate({0.1: float("nan"), 1e-3: 3.0}) == 1e-3


def test_an_interrupted_study_goes_on_to_the_same_table(small, monkeypatch, capsys):
    out, options = small
    assert study.main(options) == 0
    straight = [without_seconds(row) for row in read_rows(out)]
    out.unlink()
    train_one, trained = study.train_one, []

    def interrupted(c, text, seed, rate, steps):
        trained.append((seed, rate))
        if len(trained) == 15:
            raise KeyboardInterrupt
        yield from train_one(c, text, seed, rate, steps)

    monkeypatch.setattr(study, "train_one", interrupted)
    assert study.main(options) == 130 and not out.exists()
    assert "start again with the same options" in capsys.readouterr().err
    assert study.main(options) == 0
    assert [without_seconds(row) for row in read_rows(out)] == straight
    assert len(trained) == 6 * (2 + 2) + 1  # only the interrupted one was begun twice


def without_seconds(row: dict) -> dict:
    return {name: value for name, value in row.items() if name != "seconds"}


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
    """Six stages, five rates, three more seeds at the best of them, the models of today."""
    found, sweep = read_results(), read_sweep()
    stages = replacements(gpt2_like(1024))
    assert list(found) == list(sweep) == STAGES
    for stage, table in found.items():
        assert table["parameters"] == count(stages[stage])
        assert tuple(sweep[stage]) == study.RATES
        assert table["rate"] == study.best_rate(sweep[stage])
        assert min(study.RATES) < table["rate"] < max(study.RATES)  # else wider rates are due
        assert table["held_out_loss"].shape == (3, study.STEPS // study.EVERY)
        assert table["seen"].shape == (3, len(SEEN)) and SEEN[-1] == stages[stage].context_length
        assert np.isfinite(table["seen"]).all()
        assert table["tokens"][-1] == study.STEPS * study.BATCH * stages[stage].context_length
        assert (np.diff(table["held_out_loss"][:, :4]) < 0).all()
    seeds = {row["seed"] for row in read_rows() if "rate" in row}
    assert seeds == {FOR_THE_RATE, 1, 2, 3}


def test_the_table_that_ships_is_of_these_stories():
    """Counting is quick: other stories or another tokenizer would show."""
    text = study.Text(study.STORIES, gpt2_like(1).context_length)
    shipped = read_baselines()
    for row in study.baselines(text):
        assert row["tokens"] == shipped[row["stage"]]["tokens"]
        assert row["held_out_loss"] == pytest.approx(
            shipped[row["stage"]]["held_out_loss"], abs=6e-5
        )


@pytest.mark.slow
@pytest.mark.long
def test_the_table_that_ships_is_of_this_code():
    """The first measurement of a run again: other steps or weights would show by far."""
    config = gpt2_like(1024)
    text = study.Text(study.STORIES, config.context_length)
    shipped = read_results()["GPT-2"]
    _, row = next(study.train_one(config, text, seed=1, rate=shipped["rate"]))
    assert row["tokens"] == shipped["tokens"][0]
    assert row["held_out_loss"] == pytest.approx(shipped["held_out_loss"][0, 0], abs=0.02)
