"""The scaling study: what it trains, the table it writes, the law that is fitted to it."""

import numpy as np
import pytest

from weights_tools.training.scaling import study
from weights_tools.training.scaling.law import Law, fit
from weights_tools.training.scaling.study_table import RESULTS, read_results

N, D = (each.ravel() for each in np.meshgrid([1e4, 3e4, 1e5, 4e5], [5e4, 2e5, 6e5]))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("scaling") / "stories.txt"
    stories = [f"Cat number {n} saw {n} mice. " * (9 + n % 4) for n in range(150)]
    path.write_text("\n<|endoftext|>\n".join(stories), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def text(corpus):
    return study.Text(corpus, study.ROW)


@pytest.mark.parametrize(
    "true",
    [
        Law(floor=1.5, A=30.0, alpha=0.3, B=200.0, beta=0.5),
        Law(floor=0.0, A=12.0, alpha=0.2, B=90.0, beta=0.41),
        Law(floor=2.0, A=400.0, alpha=0.75, B=3e5, beta=1.2),
    ],
)
def test_the_fit_finds_the_law_that_made_the_losses(true):
    assert fit(N, D, true.loss(N, D)) == pytest.approx(true, rel=1e-6, abs=1e-6)


def test_the_fit_has_the_least_error_of_all_laws_nearby():
    losses = Law(1.5, 30.0, 0.3, 200.0, 0.5).loss(N, D) + np.sin(np.arange(len(N))) / 20
    found = fit(N, D, losses)
    assert found != pytest.approx(Law(1.5, 30.0, 0.3, 200.0, 0.5))
    least = ((found.loss(N, D) - losses) ** 2).sum()
    for field in Law._fields:
        for factor in (0.98, 1.02):
            other = found._replace(**{field: getattr(found, field) * factor})
            assert ((other.loss(N, D) - losses) ** 2).sum() >= least


def test_numbers_of_a_law_are_never_negative():
    """Best without that rule: the losses fall faster than any law with a floor."""
    losses = Law(-1.0, 30.0, 0.3, 200.0, 0.5).loss(N, D)
    assert min(fit(N, D, losses)) > -1e-9


def test_too_few_runs_and_losses_that_rise_are_refused():
    with pytest.raises(ValueError, match="at least five runs, got 4"):
        fit(N[:4], D[:4], N[:4])
    with pytest.raises(ValueError, match="no law fits"):
        fit(N, D, np.full(len(N), -1.0))


def test_one_seed_trains_one_model_and_the_row_says_which(text):
    runs = [study.train_one(8, text, text.train[::2], 11, 0.01, seed) for seed in (0, 0, 1)]
    losses = [row["held_out_loss"] for row in runs]
    assert losses[0] == losses[1] != losses[2]
    config = study.small_llama(8, text.tokenizer.vocab_size)
    assert runs[0]["parameters"] == config.count_parameters()
    assert runs[0]["text"] == sum(map(len, text.train[::2]))
    assert runs[0]["tokens"] == 11 * study.ROW * study.ROWS


def test_every_step_reads_as_many_rows_as_the_row_says(text, monkeypatch):
    read = []

    class Counted(study.Training):
        def take_step(self):
            read.append(sum(part.ids.size for part in self.stage.parts(self.step)))
            return super().take_step()

    monkeypatch.setattr(study, "Training", Counted)
    row = study.train_one(8, text, text.train, 11, 0.01, seed=0)
    assert len(read) == 11 and sum(read) == row["tokens"]


def test_rates_are_halved_and_doubled_until_the_best_lies_between_two_worse_ones():
    tried = []

    def train(rate):
        tried.append(rate)
        return {"rate": rate, "held_out_loss": abs(np.log(rate / 0.3))}

    rows = study.at_its_best_rate(train, 0.04)
    assert tried == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64]  # none twice
    assert [row["rate"] for row in rows] == tried and study.best_of(rows)["rate"] == 0.32
    tried.clear()
    assert [row["rate"] for row in study.at_its_best_rate(train, 0.32)] == [0.16, 0.32, 0.64]


def test_every_run_begins_at_the_rate_that_was_best_for_the_shorter_one(text, monkeypatch):
    """Best is the lowest loss on held-out text, and another one for each width."""

    def pretended(width, text, documents, steps, rate):
        wanted = {8: 0.04, 16: 0.01}[width] if steps < 30 else 0.04
        return {"width": width, "steps": steps, "rate": rate, "text": len(documents),
                "held_out_loss": abs(np.log(rate / wanted))}  # fmt: skip

    monkeypatch.setattr(study, "train_one", pretended)
    found = list(study.run_study(text, (8, 16), (30, 10, 20)))
    assert len(found) == study.count_settings(2, 3)
    parts = [rows for rows in found if rows[0]["text"] < len(text.train)]
    whole = [rows for rows in found if rows not in parts]
    tried = {(r[0]["width"], r[0]["steps"]): [each["rate"] for each in r] for r in whole}
    assert tried == {
        (8, 10): [0.02, 0.04, 0.08], (16, 10): [0.005, 0.01, 0.02, 0.04, 0.08],
        (8, 20): [0.02, 0.04, 0.08], (16, 20): [0.005, 0.01, 0.02],
        (8, 30): [0.02, 0.04, 0.08], (16, 30): [0.005, 0.01, 0.02, 0.04, 0.08],
    }  # fmt: skip
    assert len(parts) == len(study.PARTS)
    assert {row["rate"] for rows in parts for row in rows} == {0.01}  # of width 16, 20 steps
    assert all(again["steps"] == 20 > once["steps"] for again, once in parts)


@pytest.mark.usefixtures("progress_ends")
def test_the_command_writes_a_table_that_can_be_read(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "at_its_best_rate", lambda train, rate: [train(rate)])
    out = tmp_path / "table.csv"
    options = ["--corpus", corpus, "--out", out, "--widths", 4, 8, "--steps", 10, 12]
    assert study.main([*map(str, options)]) == 0
    found = read_results(out)
    assert len(found["width"]) == 2 * 2 + 2 * len(study.PARTS)
    assert set(found["tokens"]) >= {10 * 512, 12 * 512}
    assert np.isfinite(found["held_out_loss"]).all()


@pytest.mark.parametrize(
    "options, told",
    [
        (["--steps", "9", "20"], "--steps: expected two numbers or more, each from 10 on"),
        (["--steps", "20", "20"], "--steps: expected two numbers or more, each from 10 on"),
        (["--widths", "6"], "--widths: expected multiples of 4, got [6]"),
        (["--widths", "0"], "--widths: expected multiples of 4, got [0]"),
        (["--corpus", "nowhere.txt"], "no such file: nowhere.txt"),
    ],
)
def test_errors_are_one_line(options, told, tmp_path, capsys):
    assert study.main([*options, "--out", str(tmp_path / "table.csv")]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"error: {told}") and "\n" not in said


def test_the_table_that_ships():
    """Four widths, three numbers of tokens, and parts of the text; larger is better throughout.

    The best of the rates that were tried lies between two that are worse.
    """
    found = read_results(RESULTS)
    whole = found["text"] == found["text"].max()
    assert (~whole).sum() == 2 * len(study.PARTS)
    grid = np.zeros((len(study.WIDTHS), len(study.STEPS)))
    for place in np.ndindex(grid.shape):
        width, steps = study.WIDTHS[place[0]], study.STEPS[place[1]]
        here = whole & (found["width"] == width) & (found["tokens"] == steps * 512)
        losses = found["held_out_loss"][here]
        assert (np.diff(found["rate"][here]) > 0).all()
        assert 0 < losses.argmin() < len(losses) - 1
        grid[place] = losses.min()
    assert (np.diff(grid, axis=1) < 0).all()
    assert (np.diff(grid[:, -1]) < 0).all()
    sizes = {study.small_llama(width, 1024).count_parameters() for width in study.WIDTHS}
    assert set(found["parameters"]) == sizes
    assert found["seconds"].sum() < 25 * 60


@pytest.mark.slow
def test_the_table_that_ships_is_of_this_code():
    """Its first run again; other steps, sizes or weights would show by far."""
    found = read_results(RESULTS)
    text = study.Text(study.STORIES, study.ROW)
    row = study.train_one(study.WIDTHS[0], text, text.train, study.STEPS[0], found["rate"][0])
    assert row["text"] == pytest.approx(found["text"][0], rel=0.1)  # stories may be told anew
    assert row["held_out_loss"] == pytest.approx(found["held_out_loss"][0], abs=0.1)
