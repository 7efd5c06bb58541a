"""python -m tests.benchmarks: the comparison, on a tiny shape; its numbers mean nothing here."""

import json
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import numpy as np
import pytest

from llama_np.functional import log_softmax
from llama_np.model import forward
from llama_np.weights import shapes
from tests.benchmarks import __main__ as command
from tests.benchmarks import (
    context,
    limits,
    machine,
    ours,
    run,
    speed,
    start,
    text,
    theirs,
    training,
    turns,
)
from tests.benchmarks.alone import alone
from tests.benchmarks.random_weights import random_weights
from tests.benchmarks.rows import Row, at_least, at_most
from tests.benchmarks.shapes import SHAPES
from tests.benchmarks.side_by_side import side_by_side
from tests.tiny import tiny_config
from weights_tools.load import DOLL_HOUSE
from weights_tools.training.stages import Rows
from weights_tools.training.trainer import Hyperparameters

pytestmark = pytest.mark.slow

TINY = tiny_config(dim=24, n_heads=6, n_kv_heads=2)  # transformers wants a multiple of the heads
EFFORT = speed.Effort(2, prefill=20, decode=3)
ABOUT = {
    "date": "today", "cpu": "a CPU", "cores": 2, "system": "here", "load_average_before": None,
    "versions": {"numpy": "2", "torch": None}, "blas": "a BLAS", "blas_threads": 2,
    "torch_threads": None, "seconds": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A machine that is measured in milliseconds."""
    for name, value in {"SIDE": 256, "SMALL_SIDE": 64, "BLOCK": 2**14}.items():
        monkeypatch.setattr(machine, name, value)
    for module in (limits, ours, speed, text):
        monkeypatch.setattr(module, "LEAST", 0.001)
    monkeypatch.setattr(turns, "PAUSE", 0)


def positive(rows):
    for row in rows:
        for column, values in row.samples.items():
            assert values and all(0 < value < 1e15 for value in values), (row.what, column)
    return rows


# --- rows and tables ---


def test_ratios_are_taken_within_a_repetition_against_the_better_of_theirs():
    samples = {"ours": [4.0, 9.0], "eager": [1.0, 1.0], "sdpa": [2.0, 3.0], "limit": [8.0, 9.0]}
    rates = Row("r", "tokens/s", samples, targets=(at_least(2, "theirs"), at_least(0.9, "limit")))
    assert rates.best_of_theirs() == "sdpa"
    assert rates.ratios()["theirs"] == (2.5, 2.0, 3.0)
    assert rates.ratios()["limit"] == (0.75, 0.5, 1.0)
    assert [met for _, met in rates.verdicts()] == [True, False]
    seconds = Row("s", "s", samples, targets=(at_most(5, "theirs"), at_most(1, "bare")))
    assert seconds.best_of_theirs() == "eager"
    assert [met for _, met in seconds.verdicts()] == [False, None]


def test_the_table_is_plain_and_aligned_and_says_what_is_missing():
    found = {
        "about": ABOUT,
        "rows": [
            Row("fast", "tokens/s", {"ours": [1e4, 2e4], "bare": [1.0, 2.0], "limit": [2e4, 2e4]},
                "a limit", (at_least(0.7, "limit"), at_least(0.8, "limit"), at_least(1, "theirs"))),
            Row("memory", "MiB", {}, "allowed"),
        ],
        "not measured": {"training": "it broke"},
    }  # fmt: skip
    lines = side_by_side(found)
    assert all("`" not in line and line == line.rstrip() for line in lines)
    head, fast, memory = (
        next(x for x in lines if x.startswith(n)) for n in ("what", "fast", "mem")
    )
    assert head.index("the limit is") == fast.index("a limit") == memory.index("allowed")
    assert "15,000 ±33%" in fast and fast.count("n/a") == 2 and "0.75" in fast
    assert memory.count("n/a") == len(("ours", "bare", "limit"))
    verdicts = [line.split()[-1] for line in lines[lines.index(memory) + 3 :][:3]]
    assert verdicts == ["met", "MISSED", "n/a"]
    assert lines[-1] == "not measured: training: it broke"


# --- what is measured ---


def test_random_weights_have_the_shapes_of_a_model_and_lie_as_in_a_file():
    weights = random_weights(TINY)
    assert {name: w.shape for name, w in weights.named()} == shapes(TINY)
    assert all(w.dtype == np.float32 for _, w in weights.named())
    assert weights.layers[0].w_up.T.flags.c_contiguous and weights.embedding.flags.c_contiguous
    assert np.isfinite(forward(weights, TINY, [1, 2, 3])).all()


def test_operations_are_those_of_the_products():
    """Counted once more, product by product."""
    T, c = 5, TINY
    per_token = sum(
        w.size for name, w in random_weights(c).named() if name.startswith("layers") and w.ndim > 1
    )
    norms = (2 * c.n_layers + 1) * c.dim  # counted as products too: so few
    attention = sum(2 * 2 * c.n_heads * c.head_dim * (t + 1) for t in range(T)) * c.n_layers
    expected = 2 * T * (per_token + norms) + attention + 2 * c.dim * c.vocab_size
    assert limits.operations(c, T) == expected
    assert limits.weights_read(c) == c.count_parameters() - c.vocab_size * c.dim
    tied = tiny_config(tied_output=True)
    assert limits.weights_read(tied) == tied.count_parameters()


def test_ours_is_what_a_user_gets():
    party = ours.Ours(TINY, random_weights(TINY))
    ids = ours.prompt_of(TINY, 20)
    expected = forward(party.weights, TINY, ids)[-1]
    np.testing.assert_allclose(party.prefill(20), expected, rtol=1e-4, atol=1e-5)


def test_speed_compares_all_that_are_there(torch, transformers):
    decode, prefill = positive(speed.rows("tiny", TINY, random_weights(TINY), EFFORT))
    for row in (decode, prefill):
        assert list(row.samples) == ["ours", "eager", "sdpa", "bare", "limit"]
        assert {len(values) for values in row.samples.values()} == {2}
    assert decode.what == "decode tiny" and "20 tokens" in prefill.what


def test_without_pytorch_the_rest_runs(monkeypatch):
    for module in (speed, training, run):
        monkeypatch.setattr(module, "installed", lambda: False)
    for row in positive(speed.rows("tiny", TINY, random_weights(TINY), EFFORT)):
        assert list(row.samples) == ["ours", "bare", "limit"]
    recipe, rows = Hyperparameters(), Rows(tokens_per_step=64, row=32, final_row=32)
    (row,) = positive(training.training("tiny", TINY, recipe, rows, 1))
    assert list(row.samples) == ["ours"]
    assert run.describe()["torch_threads"] is None


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("tied", [False, True])
def test_theirs_computes_the_same_on_the_same_memory(attention, tied, torch, transformers):
    config = tiny_config(dim=24, n_heads=6, n_kv_heads=2, tied_output=tied)
    weights = random_weights(config)
    twin = theirs.make_twin(config, weights)
    got = theirs.Theirs(twin, config, attention).prefill(20)
    np.testing.assert_allclose(got, ours.Ours(config, weights).prefill(20), atol=1e-4)
    down = twin.model.layers[1].mlp.down_proj.weight.detach().numpy()
    assert np.shares_memory(down, weights.layers[1].w_down)
    assert twin.config._attn_implementation == attention


def test_other_numbers_are_not_compared():
    theirs.check_same(np.ones(3), np.ones(3) + 1e-6)
    for wrong in (np.array([1, 2, 1]), np.full(3, np.nan)):
        with pytest.raises(ValueError, match="differ"):
            theirs.check_same(np.ones(3), wrong)


def test_the_training_step_of_pytorch_is_ours(torch):
    """Without dropout: the same loss, and the same weights after two steps."""
    from tests.benchmarks.torch_step import TorchStep

    config = tiny_config(rope_scaling=None)
    recipe = Hyperparameters(dropout=0.0, warm_up=0, steps=10**9)
    rows = Rows(tokens_per_step=64, row=32, final_row=32)
    rates = training.Rates(config, recipe, rows)
    step = TorchStep(config, rates.training.learned, recipe)
    for i in range(2):
        ids, targets = rates.stream.batch(i, 64, 32)
        assert step.take_step(ids, targets) == pytest.approx(rates.training.take_step(), rel=1e-5)
    for name, w in rates.training.learned.named():
        other = step.w[name].detach().numpy()
        np.testing.assert_allclose(
            other if name == "embedding" else other.T, w, atol=2e-4, err_msg=name
        )


def test_training_in_turns(torch):
    recipe, rows = Hyperparameters(), Rows(tokens_per_step=64, row=32, final_row=32)
    (row,) = positive(training.training("tiny", tiny_config(rope_scaling=None), recipe, rows, 2))
    assert list(row.samples) == ["ours", "sdpa"]


def test_batch_and_long_context_run():
    (row,) = positive(context.batch("tiny", TINY, 2, n=2))
    assert list(row.samples) == ["ours", "limit"]
    (row,) = positive(context.long_context("tiny", TINY, 300, 2, n=2))  # its context is 256
    assert "300 tokens" in row.what


def test_a_writer_goes_on_where_the_prompt_ended():
    weights = random_weights(TINY)
    writer = context.Writer(TINY, weights, np.array([[1, 2, 3], [4, 5, 6]]), 2)
    writer.write(2)
    for row, ids in zip(writer.logits, ([1, 2, 3], [4, 5, 6]), strict=True):
        for _ in range(2):
            ids = [*ids, int(forward(weights, TINY, ids)[-1].argmax())]
        expected = log_softmax(forward(weights, TINY, ids)[-1])
        np.testing.assert_allclose(log_softmax(row), expected, atol=1e-4)


def test_memory_of_a_prompt_is_beside_weights_and_cache():
    (row,) = alone(context.prefill_memory, "stories15m", SHAPES["stories15m"], 64)
    if not row.samples:
        pytest.skip("this system has no /proc/self/status")
    assert 10 < row.samples["ours"][0] < 300  # Python and NumPy, no weights: those are 30 MiB here


def test_start_up_waits_for_the_first_output():
    code = "import time; print('Once', end='', flush=True); time.sleep(0.2); print('x')"
    assert start.seconds_to_output(["-c", code]) < start.seconds_to_output(["-c", code], 4)
    assert start.seconds_to_output(["-c", code], 4) > 0.2
    with pytest.raises(ValueError, match="without output"):
        start.seconds_to_output(["-c", "print(end='four')"], 4)


def test_start_up_and_load_measure_the_model_that_ships(monkeypatch):
    monkeypatch.setattr(start, "installed", lambda: False)
    monkeypatch.setattr(start, "alone", lambda work, *arguments: work(*arguments))
    (row,) = positive(start.start_up(1))
    assert list(row.samples) == ["ours", "limit"]
    seconds, memory = start.load("doll-house", SHAPES["doll-house"], 1)
    positive([seconds])
    assert list(memory.samples) == ["ours", "limit"]
    assert start.load_ours(DOLL_HOUSE)[0] > 0


@pytest.mark.parametrize("kind", ["stories", "the lessons"])
def test_the_tokenizers_agree_on_a_long_text(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(text, "LONG", 30_000)
    stories = tmp_path / "stories.txt"
    monkeypatch.setattr(text, "STORIES", stories)
    if kind == "stories":
        stories.write_text("Once upon a time. " * 2000, encoding="utf-8")
    assert text.long_text()[0] == kind and len(text.long_text()[1]) == 30_000
    (row,) = positive(text.tokenizer(1))
    assert list(row.samples) == ["ours", "limit"]


# --- the whole run ---


def test_both_lists_of_jobs_have_the_same_names_but_for_the_large_shapes():
    full, quick = run.full_jobs(), run.quick_jobs()
    assert full.keys() - quick.keys() == {"stories15m", "stories110m", "llama-3.2-1b"}
    assert not quick.keys() - full.keys()
    assert list(run.choose(full, ["training", "machine"])) == ["machine", "training"]
    with pytest.raises(ValueError, match="unknown name 'nobody'; expected some of machine"):
        run.choose(full, ["nobody"])


@pytest.mark.parametrize(
    "error, words",
    [
        (ValueError("no luck"), "ValueError: no luck"),
        (MemoryError(), "MemoryError"),
        (BrokenProcessPool(), "the process ended early, as it does when memory runs out"),
    ],
)
def test_a_job_that_fails_is_named_and_the_rest_runs(error, words, capsys):
    def fail():
        raise error

    good = Row("good", "s", {"ours": [1.0]})
    jobs = {"bad": [fail], "good": [lambda: [good]]}
    found = run.run_jobs(jobs, in_process=lambda work, *arguments: work(*arguments))
    assert found["rows"] == [good] and found["not measured"] == {"bad": words}
    assert f"not measured: bad: {words}" in side_by_side(found)
    assert "good" in capsys.readouterr().err


def test_the_command_prints_and_writes_the_same(tmp_path, monkeypatch, capsys):
    rows = partial(speed.rows, "tiny", TINY, random_weights(TINY), EFFORT)
    monkeypatch.setattr(command, "quick_jobs", lambda: {"tiny": [rows], "machine": []})
    monkeypatch.setattr(
        command, "run_jobs", partial(run.run_jobs, in_process=lambda work, *rest: work(*rest))
    )
    file = tmp_path / "found.json"
    assert command.main(["--quick", "--only", "tiny", "--json", str(file)]) == 0
    printed, found = capsys.readouterr().out, json.loads(file.read_text(encoding="utf-8"))
    assert found["about"]["blas_threads"] >= 1 and found["about"]["cpu"] in printed
    assert [row["what"] in printed for row in found["rows"]] == [True, True]
    assert found["rows"][0]["medians"]["ours"]["median"] > 0
    assert command.main(["--only", "nobody"]) == 1
    assert "unknown name" in capsys.readouterr().err


def test_machine_rows_name_every_limit():
    rows = positive(run.machine_rows(1))
    assert len(rows) == 5 and {tuple(row.samples) for row in rows} == {("limit",)}


def test_a_lesson_is_timed(tmp_path, monkeypatch):
    for needed in ("jupytext", "nbclient", "ipykernel"):
        pytest.importorskip(needed)
    lesson = tmp_path / "notebooks/source/00_tiny.py"
    lesson.parent.mkdir(parents=True)
    lesson.write_text('# %% key="one"\nprint(1)\n', encoding="utf-8")
    monkeypatch.setattr(text, "SOURCES", lesson.parent)
    (row,) = positive(text.lessons(slice(None)))
    assert row.what == "lesson 00_tiny" and text.lessons(slice(0)) == []
