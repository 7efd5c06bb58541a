"""Training: exact from a seed, over any number of threads, across an interruption."""

import argparse
import csv
import json
import os

import numpy as np
import pytest

from llama_np.weights import initialize
from tests.tiny import tiny_config
from weights_tools import load_model, workers
from weights_tools.__main__ import main
from weights_tools.commands.train import add_arguments, beginning, given
from weights_tools.training import run as run_module
from weights_tools.training import trainer as train_module
from weights_tools.training import training_log
from weights_tools.training.corpus import Stream
from weights_tools.training.run import run_training
from weights_tools.training.stages import Copying, Pretraining, Rows
from weights_tools.training.trainer import Hyperparameters, Training, train
from weights_tools.training.training_log import read_log
from weights_tools.writing import alone_in, replacing

CONFIG = tiny_config(rope_scaling=None, context_length=32)
ROWS = Rows(tokens_per_step=64, row=16, final_row=32, final_share=0.5)
RECIPE = Hyperparameters(steps=6, peak_rate=1e-2, warm_up=2, dropout=0.2, seed=5)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr("weights_tools.training.stages.PART_TOKENS", 32)


@pytest.fixture
def stream():
    rng = np.random.default_rng(0)
    return Stream([rng.integers(0, CONFIG.vocab_size, 40) for _ in range(5)], seed=0)


def start(stream, recipe=RECIPE, rows=ROWS):
    stage = Pretraining(stream, rows, recipe.steps, CONFIG.vocab_size)
    return Training(CONFIG, recipe, stage, initialize(CONFIG, np.random.default_rng(recipe.seed)))


def run(training, steps):
    return [training.take_step() for _ in range(steps)]


def same(one, other):
    return all(
        np.array_equal(array, other.arrays()[kind][name])
        for kind, group in one.arrays().items()
        for name, array in group.items()
    )


def test_the_number_of_cores_changes_nothing(stream, monkeypatch):
    together, alone = start(stream), start(stream)
    losses = run(together, 4)
    monkeypatch.setattr(workers, "n_cores", lambda: 1)
    assert run(alone, 4) == losses
    assert same(alone, together)


def test_an_interrupted_run_goes_on_exactly(stream, tmp_path):
    straight, broken, resumed = (start(stream) for _ in range(3))
    run(straight, 6)
    run(broken, 4)
    broken.save(tmp_path / "checkpoint.npz")
    resumed.restore(tmp_path / "checkpoint.npz")
    run(resumed, 2)
    assert same(straight, resumed)
    assert (straight.step, straight.loss) == (resumed.step, resumed.loss)


def test_another_recipe_does_not_go_on(stream, tmp_path):
    path = tmp_path / "checkpoint.npz"
    start(stream).save(path)
    with pytest.raises(ValueError, match="steps = 6, this run has 7"):
        start(
            stream, Hyperparameters(steps=7, peak_rate=1e-2, warm_up=2, dropout=0.2, seed=5)
        ).restore(path)
    with pytest.raises(ValueError, match="row = 16, this run has 8"):
        rows = Rows(tokens_per_step=64, row=8, final_row=32, final_share=0.5)
        start(stream, rows=rows).restore(path)
    other = Stream([document + 0 for document in stream.documents[:4]], seed=0)
    with pytest.raises(ValueError, match="data = "):
        start(other).restore(path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 half a file", b"no zip at all"])
def test_what_is_no_checkpoint_is_refused(stream, tmp_path, content):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no checkpoint"):
        start(stream).restore(path)


def test_a_checkpoint_of_another_shape_is_refused(stream, tmp_path):
    path = tmp_path / "checkpoint.npz"
    start(stream).save(path)
    config = tiny_config(rope_scaling=None, context_length=32, n_layers=CONFIG.n_layers + 1)
    weights = initialize(config, np.random.default_rng(0))
    stage = Pretraining(stream, ROWS, RECIPE.steps, config.vocab_size)
    with pytest.raises(ValueError, match=f"n_layers = {CONFIG.n_layers}, this run has"):
        Training(config, RECIPE, stage, weights).restore(path)


def test_the_loss_falls_on_a_text_that_repeats_itself():
    stream = Stream([np.tile(np.arange(8), 40)], seed=0)
    recipe = Hyperparameters(steps=60, peak_rate=1e-2, warm_up=5, dropout=0.0)
    rows = Rows(tokens_per_step=64, row=16, final_row=16)
    losses = run(start(stream, recipe, rows), 60)
    assert losses[0] == pytest.approx(np.log(CONFIG.vocab_size), rel=0.05)  # knows nothing yet
    assert losses[-1] < 0.2


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="100 tokens per step cannot be cut into rows of 16"):
        Rows(tokens_per_step=100, row=16, final_row=4)


def test_a_text_shorter_than_a_row_is_refused():
    with pytest.raises(ValueError, match="the text has 32 tokens, too few for rows of 32"):
        start(Stream([np.arange(32)], seed=0))


def test_ids_outside_the_vocabulary_are_refused():
    too_high = np.full(100, CONFIG.vocab_size)
    with pytest.raises(ValueError, match=f"the id {CONFIG.vocab_size}, the model a vocabulary"):
        start(Stream([too_high], seed=0))


@pytest.mark.parametrize("broken", ["loss", "gradients"])
def test_a_loss_that_is_no_number_stops_the_run(stream, tmp_path, broken, monkeypatch):
    training = start(stream)
    checkpoint = tmp_path / "checkpoint.npz"
    as_it_was = train_module.add_up

    def add_up(results, shares):
        loss, gradients = as_it_was(results, shares)
        if training.step < 2:
            return loss, gradients
        if broken == "loss":
            return np.nan, gradients
        gradients.norm[:] = np.nan
        return loss, gradients

    monkeypatch.setattr(train_module, "add_up", add_up)
    with pytest.raises(FloatingPointError, match="at step 2.*lower --peak-rate"):
        train(training, checkpoint, lambda weights: 0.0, lambda *_: None, evaluate_every=1)
    last = start(stream)
    last.restore(checkpoint)
    assert last.step == 2
    assert all(np.isfinite(array).all() for _, array in last.learned.named())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    words = ["cat", "dog", "sun", "ran", "sat", "saw", "the", "big", "red", "a"]
    rng = np.random.default_rng(0)
    stories = [" ".join(rng.choice(words, 40)) + "." for _ in range(40)]
    path = tmp_path_factory.mktemp("corpus") / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(stories))
    return path


def test_the_command_trains_logs_and_writes_a_model(corpus, tmp_path, capsys, request):
    options = (
        f"train --corpus {corpus} --out {tmp_path / 'model'} --vocab-size 320 --dim 16 --layers 2 "
        "--heads 4 --kv-heads 2 --context 64 --row 32 --final-row 64 --steps 6 "
        "--tokens-per-step 128 --warm-up 2 --evaluate-every 3"
    ).split()
    assert main(options) == 0
    told = capsys.readouterr().err
    assert "held out bits per byte" in told and "s a step" in told and "left" in told
    model = load_model(tmp_path / "model")
    assert model.config.ffn_width == 56 and model.tokenizer.vocab_size == 320
    with (tmp_path / "model/training/log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "6"]
    assert (tmp_path / "model/training/loss_curve.png").read_bytes().startswith(b"\x89PNG")

    assert main(options) == 0  # once more: there is nothing left to do, and nothing is lost
    assert "going on from step 6" in capsys.readouterr().err

    request.getfixturevalue("progress_ends")
    assert main(["evaluate", "--corpus", str(corpus), "--model", str(tmp_path / "model")]) == 0
    assert "bits per byte on 2 held-out documents" in capsys.readouterr().out


def test_the_start_is_as_wide_as_asked_for(corpus, tmp_path):
    sizes = []
    for std in (0.02, 0.2):
        out = tmp_path / str(std)
        options = (
            f"train --corpus {corpus} --out {out} --vocab-size 300 --dim 16 --layers 1 --heads 2 "
            "--kv-heads 1 --context 64 --row 16 --final-row 32 --tokens-per-step 32 --steps 1 "
            f"--peak-rate 1e-9 --drills 4 --init-std {std}"
        ).split()
        assert main(options) == 0
        sizes.append(float(load_model(out).weights.layers[0].wq.std()))
    np.testing.assert_allclose(sizes, [0.02, 0.2], rtol=0.2)


def test_a_context_shorter_than_the_first_prompt(corpus, tmp_path, capsys):
    """Rows become as long as it is, and the sample begins with what fits."""
    options = (
        f"train --corpus {corpus} --out {tmp_path} --context 32 --vocab-size 300 --dim 16 "
        "--layers 1 --heads 2 --kv-heads 1 --tokens-per-step 64 --steps 2 --evaluate-every 1 "
        "--drills 4"
    ).split()
    assert main(options) == 0
    assert "    Once" in capsys.readouterr().err
    assert load_model(tmp_path).config.context_length == 32


def test_rows_fit_the_context():
    def of(*options):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        args = parser.parse_args(["--corpus", "x", "--out", "y", *options])
        return given(Rows, args), given(Copying, args)

    assert of() == (Rows(), Copying())
    rows, copying = of("--context", "48")
    assert (rows.row, rows.final_row, copying.copy_row) == (32, 32, 48)  # 2048 tokens in a step
    assert of("--context", "300")[0] == Rows(final_row=256)
    for name in ("row", "final-row", "copy-row"):
        with pytest.raises(ValueError, match=f"--{name} 64 is longer than --context 32; choose a"):
            of("--context", "32", f"--{name}", "64")


def test_errors_are_one_line(tmp_path, capsys):
    absent = str(tmp_path / "absent.txt")
    assert main(["train", "--corpus", absent, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: no such file: {absent}") and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_token_that_is_carried_along_predicts_itself_from_the_start():
    weights = beginning(tiny_config(tied_output=False), np.random.default_rng(0), std=0.08)
    np.testing.assert_array_equal(weights.output, weights.embedding.T)
    assert not np.shares_memory(weights.output, weights.embedding)


# --- bad luck ---


def go(training, out, evaluate_every=3):
    """A run as the commands do it, without a model to write."""
    figures = {"held_out": 1.0}
    run_training(
        training, out, evaluate_every, lambda _: figures, lambda _: None, lambda _: "it says"
    )


@pytest.mark.parametrize("name", ["train --corpus absent", "finetune", "dpo", "grpo"])
def test_two_trainings_into_one_folder(tmp_path, capsys, name):
    """The second is told so before it has read or computed anything."""
    command, *options = [*name.split(), "--out", str(tmp_path / "out")]
    if command != "train":
        options += ["--model", "absent"]
    with alone_in(tmp_path / "out"):
        assert main([command, *options]) == 1
        assert "out: another process is writing here; let it end" in capsys.readouterr().err
    assert main([command, *options]) == 1
    assert "absent" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "spoil", ["a folder", "other columns", "no numbers", "no writing", "queue"]
)
def test_a_log_does_not_end_a_run(stream, tmp_path, monkeypatch, capsys, spoil):
    """Not even where it can be neither read nor put aside; nor does the picture of it."""
    log = tmp_path / "training/log.csv"
    log.parent.mkdir()
    if spoil == "a folder":
        log.mkdir()
    elif spoil == "queue":
        os.mkfifo(log)
    else:
        log.write_text(
            "step,train_loss,mine\n1,2,3\n"
            if spoil == "other columns"
            else "step,train_loss\n1,x\n"
        )
    if spoil == "no writing":
        monkeypatch.setattr(training_log, "replacing", lambda path: replacing(path / "absent"))
    monkeypatch.setattr(run_module, "draw_curve", lambda _: [][0])
    go(start(stream), tmp_path)
    restored = start(stream)
    restored.restore(log.parent / "checkpoint.npz")
    assert restored.step == 6
    told = capsys.readouterr().err
    assert "log (old 0).csv" in told and "the run goes on" in told
    if spoil != "no writing":
        assert [row["step"] for row in read_log(log)] == ["3", "6"]


def spoiled(path, **changes):
    """A checkpoint with other arrays than ``save`` has written."""
    with np.load(path) as saved:
        arrays = {key: saved[key] for key in saved.files}
    about = json.loads(str(arrays["about"])) | changes.pop("about", {})
    arrays |= {"about": np.array(json.dumps(about))} | changes
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"weights/norm": np.ones(1)}, r"weights/norm should be float\d+ of \(18,\), got float64"),
        ({"mean/norm": np.ones(18, np.int8)}, "mean/norm should be .* got int8"),
        ({"average/norm": None}, "average/norm should be .* got nothing"),
        ({"weights/norm": np.array([{}])}, "allow_pickle"),
        ({"about": {"step": 7}}, "its step should be one of 6, got 7"),
        ({"about": {"step": "1"}}, "its step should be one of 6, got '1'"),
        ({"about": {"seconds": []}}, "seconds and loss should be numbers"),
    ],
)
def test_a_damaged_checkpoint_is_refused_before_anything_is_changed(
    stream, tmp_path, changes, words
):
    path, training, other = tmp_path / "checkpoint.npz", start(stream), start(stream)
    run(training, 1)
    training.save(path)
    spoiled(path, **changes)
    with pytest.raises(ValueError, match=f"{path}: no checkpoint .*{words}.*remove it") as caught:
        other.restore(path)
    assert "\n" not in str(caught.value) and same(other, start(stream)) and other.step == 0


def test_a_checkpoint_takes_no_more_memory_than_its_file(stream, tmp_path):
    path = tmp_path / "checkpoint.npz"
    np.savez_compressed(path, about=np.array("{}"), bomb=np.zeros(10**5))
    with pytest.raises(ValueError, match="no checkpoint .it is packed"):
        start(stream).restore(path)
    with pytest.raises(ValueError, match="no checkpoint .this is no file"):
        start(stream).restore(tmp_path)
