"""Training: exact from a seed, over any number of threads, across an interruption."""

import csv
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from weights_tools import load_model
from weights_tools.__main__ import main
from weights_tools.training.corpus import Stream
from weights_tools.training.train import Recipe, Training, train

from .tiny import tiny_config

CONFIG = tiny_config(rope_scaling=None, context_length=32)
RECIPE = Recipe(
    steps=6, tokens_per_step=64, row=16, final_row=32, final_share=0.5,
    peak_rate=1e-2, warm_up=2, dropout=0.2, seed=5,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("weights_tools.training.train.PART_TOKENS", 32)


@pytest.fixture
def stream():
    rng = np.random.default_rng(0)
    return Stream([rng.integers(0, CONFIG.vocab_size, 40) for _ in range(5)], seed=0)


def run(training, stream, steps, threads=1):
    with ThreadPoolExecutor(threads) as pool:
        return [training.take_step(stream, pool) for _ in range(steps)]


def same(one, other):
    return all(
        np.array_equal(array, other.arrays()[kind][name])
        for kind, group in one.arrays().items()
        for name, array in group.items()
    )


def test_the_number_of_threads_changes_nothing(stream):
    alone, together = Training(CONFIG, RECIPE), Training(CONFIG, RECIPE)
    assert run(alone, stream, 4) == run(together, stream, 4, threads=3)
    assert same(alone, together)


def test_an_interrupted_run_goes_on_exactly(stream, tmp_path):
    straight, broken, resumed = (Training(CONFIG, RECIPE) for _ in range(3))
    run(straight, stream, 6)
    run(broken, stream, 4)
    broken.save(tmp_path / "checkpoint.npz")
    resumed.restore(tmp_path / "checkpoint.npz")
    run(resumed, stream, 2)
    assert same(straight, resumed)
    assert (straight.step, straight.loss) == (resumed.step, resumed.loss)


def test_another_recipe_does_not_go_on(tmp_path):
    Training(CONFIG, RECIPE).save(tmp_path / "checkpoint.npz")
    other = Recipe(steps=7, tokens_per_step=64, row=16, final_row=32, seed=5)
    with pytest.raises(ValueError, match="steps = 6, this run has 7"):
        Training(CONFIG, other).restore(tmp_path / "checkpoint.npz")
    with pytest.raises(ValueError, match="data = , this run has 1234"):
        Training(CONFIG, RECIPE, "1234").restore(tmp_path / "checkpoint.npz")
    (tmp_path / "checkpoint.npz").write_bytes(b"PK\3\4 half a file")
    with pytest.raises(ValueError, match="no checkpoint"):
        Training(CONFIG, RECIPE).restore(tmp_path / "checkpoint.npz")


def test_the_loss_falls_on_a_text_that_repeats_itself():
    stream = Stream([np.tile(np.arange(8), 40)], seed=0)
    recipe = Recipe(
        steps=60, tokens_per_step=64, row=16, final_row=16, peak_rate=1e-2, warm_up=5, dropout=0.0
    )
    losses = run(Training(CONFIG, recipe), stream, 60)
    assert losses[0] == pytest.approx(np.log(CONFIG.vocab_size), rel=0.05)  # knows nothing yet
    assert losses[-1] < 0.2


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="100 tokens per step cannot be cut into rows of 16"):
        Recipe(steps=1, tokens_per_step=100, row=16, final_row=4)


def test_a_loss_that_is_no_number_stops_the_run(stream, tmp_path):
    training = Training(CONFIG, RECIPE)
    training.weights.norm[:] = np.nan
    checkpoint = tmp_path / "checkpoint.npz"
    with pytest.raises(FloatingPointError, match="lower --peak-rate"):
        train(training, stream, checkpoint, lambda weights: 0.0, lambda *_: None, evaluate_every=1)
    assert not checkpoint.exists()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    words = ["cat", "dog", "sun", "ran", "sat", "saw", "the", "big", "red", "a"]
    rng = np.random.default_rng(0)
    stories = [" ".join(rng.choice(words, 40)) + "." for _ in range(40)]
    path = tmp_path_factory.mktemp("corpus") / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(stories))
    return path


def test_the_command_trains_logs_and_writes_a_model(corpus, tmp_path, capsys):
    options = (
        f"train --corpus {corpus} --out {tmp_path / 'model'} --vocab-size 320 --dim 16 --layers 2 "
        "--heads 4 --kv-heads 2 --context 64 --row 32 --final-row 64 --steps 6 "
        "--tokens-per-step 128 --warm-up 2 --evaluate-every 3 --threads 2"
    ).split()
    assert main(options) == 0
    told = capsys.readouterr().err
    assert "held-out bits per byte" in told and "tokens/s" in told and "left" in told
    model = load_model(tmp_path / "model")
    assert model.config.ffn_width == 56 and model.tokenizer.vocab_size == 320
    with (tmp_path / "model/training/log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "6"]
    assert (tmp_path / "model/training/loss_curve.png").read_bytes().startswith(b"\x89PNG")

    assert main(options) == 0  # once more: there is nothing left to do, and nothing is lost
    assert "going on from step 6" in capsys.readouterr().err

    assert main(["evaluate", "--corpus", str(corpus), "--model", str(tmp_path / "model")]) == 0
    assert "bits per byte on 2 held-out documents" in capsys.readouterr().out


def test_errors_are_one_line(tmp_path, capsys):
    absent = str(tmp_path / "absent.txt")
    assert main(["train", "--corpus", absent, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: no such file: {absent}") and told.count("\n") == 1
    assert not (tmp_path / "out").exists()
