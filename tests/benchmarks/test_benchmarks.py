"""python -m tests.benchmarks: the folders it writes are real ones, and its numbers are numbers."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from safetensors import safe_open

from llama_np.model import forward
from llama_np.weights import shapes
from tests.benchmarks import checkpoint, decode, machine, measure
from tests.benchmarks.__main__ import main
from tests.benchmarks.checkpoint import make_checkpoint, stored_shapes
from tests.benchmarks.resident import numbers_in, resident
from tests.benchmarks.shapes import SHAPES, shape_named
from tests.checks import interruptible
from tests.tiny import tiny_config
from weights_tools.formats.config_json import read_config
from weights_tools.load import load_model

pytestmark = pytest.mark.slow

SHARD = 200_000  # bytes: stories260k then has three
IDS = [1, 5, 300, 511]


@pytest.fixture(scope="module")
def stories(tmp_path_factory):
    """stories260k, as the command writes it."""
    folder = tmp_path_factory.mktemp("benchmarks") / "stories260k"
    assert main(["make-checkpoint", "stories260k", str(folder)]) == 0
    return folder


def tensors_of(folder):
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            yield from ((name, file.get_slice(name)) for name in file.keys())  # noqa: SIM118


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- the shapes ---


@pytest.mark.parametrize(
    "name, millions",  # as their makers state them
    [("llama-3-8b", 8030), ("llama-3.2-1b", 1236), ("stories260k", 0.26), ("stories15m", 15.2)],
)
def test_a_shape_has_as_many_parameters_as_its_model(name, millions):
    assert shape_named(name).count_parameters() / 1e6 == pytest.approx(millions, rel=0.005)


# --- the folders ---


def test_a_checkpoint_opens_in_safetensors_and_has_the_right_tensors(stories):
    config = read_config(stories / "config.json")
    assert config == SHAPES["stories260k"]
    found = {name: tuple(tensor.get_shape()) for name, tensor in tensors_of(stories)}
    assert found == stored_shapes(config)
    assert {tensor.get_dtype() for _, tensor in tensors_of(stories)} == {"BF16"}
    assert not list(stories.parent.glob("*.tmp")) and not list(stories.glob("*.tmp"))


def test_a_tied_shape_stores_no_output(tmp_path):
    for tied in (True, False):
        make_checkpoint(tiny_config(tied_output=tied), tmp_path / str(tied))
        names = [name for name, _ in tensors_of(tmp_path / str(tied))]
        assert ("lm_head.weight" in names) != tied


@pytest.mark.parametrize("dtype, kind", checkpoint.CODES.items())
def test_each_dtype_is_written_as_such(dtype, kind, tmp_path):
    make_checkpoint(tiny_config(), tmp_path / dtype, dtype)
    assert {tensor.get_dtype() for _, tensor in tensors_of(tmp_path / dtype)} == {kind}
    assert json.loads((tmp_path / dtype / "config.json").read_text())["dtype"] == dtype


@pytest.mark.parametrize("dtype", ["q4_0", "q4_1", "q8_0", "q4_k", "q6_k"])
def test_a_quantised_checkpoint_has_numbers_as_large_as_a_product_wants_them(dtype, tmp_path):
    pytest.importorskip("gguf")
    config = dataclasses.replace(SHAPES["stories110m"], n_layers=2, vocab_size=640)
    for folder in ("a", "b"):
        make_checkpoint(config, tmp_path / folder, dtype)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    model = load_model(tmp_path / "a", memory="mapped")
    assert model.config == config
    assert type(model.weights.layers[0].wq).__name__ == f"{dtype.upper()}Matrix"
    for w in (model.weights.layers[0].wq, model.weights.layers[1].w_down):
        assert np.std(np.asarray(w)) == pytest.approx(w.shape[0] ** -0.5, rel=0.05)
    n_weights, n_bytes = measure.read_per_token(model)
    assert 0.99 * n_bytes < (tmp_path / "a/model.gguf").stat().st_size < 1.01 * n_bytes
    assert n_weights == config.count_parameters()


def test_a_shape_that_blocks_do_not_divide(tmp_path):
    pytest.importorskip("gguf")
    with pytest.raises(ValueError, match="Q4_K comes in blocks of 256, embedding has rows of 288"):
        make_checkpoint(SHAPES["stories15m"], tmp_path / "a", "q4_k")
    assert [*tmp_path.iterdir()] == []


def test_shards_hold_the_same_numbers_and_their_index_says_where(stories, tmp_path):
    folder = tmp_path / "shards"
    make_checkpoint(SHAPES["stories260k"], folder, shard_bytes=SHARD)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    assert files == [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    assert sorted(set(index["weight_map"].values())) == files
    assert index["metadata"]["total_size"] == 2 * SHAPES["stories260k"].count_parameters()
    whole, parts = load_model(stories).weights, load_model(folder).weights
    for (name, one), (_, other) in zip(whole.named(), parts.named(), strict=True):
        assert np.array_equal(one, other), name


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(stories, tmp_path):
    for seed in ("0", "1"):
        assert main(["make-checkpoint", "stories260k", str(tmp_path / seed), "--seed", seed]) == 0
    assert contents(tmp_path / "0") == contents(stories)
    assert contents(tmp_path / "1") != contents(stories)


def test_rows_differ_where_the_ring_goes_round_often(monkeypatch):
    monkeypatch.setattr(checkpoint, "RING_LENGTH", 61)
    ring = checkpoint.Ring("float32", 0)
    w = np.concatenate(list(ring.chunks((40, 16)))).reshape(40, 16)
    assert len(np.unique(w, axis=0)) == 40
    nearest, following = next(ring.chunks((1, 16))), w.ravel()[-1]  # goes on, does not start anew
    at = int(np.flatnonzero(ring.stored[0.25] == following)[0])
    assert nearest[0] == ring.stored[0.25][(at + 1) % 61]


def test_numbers_are_as_large_as_a_product_wants_them(stories):
    layers = load_model(stories).weights.layers
    for w in (layers[0].wq, layers[3].w_down):
        assert np.std(w) == pytest.approx(w.shape[0] ** -0.5, rel=0.05)
    assert np.mean(layers[2].ffn_norm) == pytest.approx(1, abs=0.05)


def test_it_loads_and_transformers_computes_the_same(stories, torch, transformers):
    model = load_model(stories)
    logits = forward(model.weights, model.config, IDS)
    twin = transformers.LlamaForCausalLM.from_pretrained(stories, dtype=torch.float32)
    with torch.no_grad():
        expected = twin(torch.tensor([IDS])).logits[0].numpy()
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_shards_open_in_transformers(transformers, tmp_path):
    config = tiny_config(dim=24)  # transformers wants a multiple of the heads
    make_checkpoint(config, tmp_path / "it", shard_bytes=5000)
    twin, told = transformers.LlamaForCausalLM.from_pretrained(
        tmp_path / "it", output_loading_info=True
    )
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert sum(p.numel() for p in twin.parameters()) == config.count_parameters()


# --- bad input ---


def told_in_one_line(capsys) -> str:
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1, told
    return told


def test_an_unknown_shape_is_answered_with_the_known_ones(tmp_path, capsys):
    assert main(["make-checkpoint", "llama-9", str(tmp_path / "x")]) == 1
    told = told_in_one_line(capsys)
    assert "llama-9" in told and all(name in told for name in SHAPES)


def test_a_folder_that_is_there_stays_as_it_is(stories, capsys):
    before = contents(stories)
    assert main(["make-checkpoint", "stories15m", str(stories)]) == 1
    assert "exists already" in told_in_one_line(capsys)
    assert contents(stories) == before


def test_a_folder_needs_a_place(tmp_path, capsys):
    assert main(["make-checkpoint", "stories260k", str(tmp_path / "no" / "x")]) == 1
    assert "make it first" in told_in_one_line(capsys)


def test_too_small_a_disk_is_noticed_before_anything_is_written(tmp_path, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 0, 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert main(["make-checkpoint", "llama-3-8b", str(tmp_path / "x")]) == 1
    assert "needs 16.06 GB of disk space, only 1.00 GB" in told_in_one_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error, code, words",
    [(OSError(28, "No space left on device"), 1, "No space left"), (KeyboardInterrupt, 130, "sto")],
)
def test_no_half_folder_stays(error, code, words, tmp_path, capsys, monkeypatch):
    def write_a_little(path, specs, chunks):
        path.write_bytes(next(iter(chunks)))
        raise error

    monkeypatch.setattr(checkpoint, "write_stream", write_a_little)
    assert main(["make-checkpoint", "stories260k", str(tmp_path / "x")]) == code
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupted_process_cleans_up(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.benchmarks",
            "make-checkpoint",
            "llama-3.2-1b",
            tmp_path / "x",
        ],
        stderr=subprocess.PIPE,
        preexec_fn=interruptible,
    )
    process.stderr.readline()  # the first line of progress
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in told
    assert not list(tmp_path.iterdir())


# --- the machine, and decoding beside it ---


@pytest.fixture
def quick(monkeypatch):
    """A machine that is measured in milliseconds; the numbers then mean nothing."""
    monkeypatch.setattr(machine, "SIDE", 256)
    monkeypatch.setattr(machine, "SMALL_SIDE", 64)
    monkeypatch.setattr(machine, "BLOCK", 2**14)


def test_every_rate_of_the_machine_is_positive(quick):
    rates = machine.sample_rates(machine.make_data())
    assert rates.keys() == machine.RATES.keys()
    assert all(0 < rate < 1e15 for rate in rates.values())
    assert machine.blas_threads() >= 1


def test_blocks_cover_everything_once(quick):
    for whole in (np.arange(10_000.0), np.arange(10_001.0), np.arange(10_000.0).reshape(2, -1)):
        parts = machine.blocks(whole)
        assert np.array_equal(np.concatenate(parts, axis=-1), whole)
        assert all(part.nbytes <= machine.BLOCK for part in parts)


def test_a_copy_copies(quick):
    data = machine.make_data()
    data[: len(data) // 2] = 7
    machine.memory_copy(data)
    assert (data == 7).all()


def test_medians_show_the_spread():
    found = machine.medians({"a": [4.0, 1.0, 2.0], "b": [1.0, 2.0]})
    assert found == {"a": (2.0, 1.0, 4.0), "b": (1.5, 1.0, 2.0)}


def test_memory_is_counted_where_the_system_says_it():
    assert numbers_in("no/such/file") == {}
    before = resident()
    if not before:
        pytest.skip("this system has no /proc/self/status")
    held = np.ones(4 * 2**20)
    assert 0.9 * held.nbytes < resident()["RssAnon"] - before["RssAnon"] < 1.2 * held.nbytes


@pytest.mark.slow
def test_decode_measures_a_model_from_end_to_end(stories, tmp_path, capsys):
    file = tmp_path / "found.json"
    options = ["--tokens", "3", "--prompt-length", "5", "--memory", "float32", "--json", str(file)]
    assert main(["decode", str(stories), *options]) == 0
    table, found = capsys.readouterr().out, json.loads(file.read_text())
    config = SHAPES["stories260k"]
    assert found["parameters"] == found["weights_per_token"] == config.count_parameters()
    assert found["bytes_per_token"] == 4 * config.count_parameters()
    assert found["file_bytes"] == sum(len(data) for data in contents(stories).values())
    positions = 5 + 3 + 3
    assert found["cache_bytes"] == 2 * 4 * config.n_layers * config.n_kv_heads * positions * 8
    for group in ("decode", "machine", "ratios"):
        for name, rate in found[group].items():
            assert 0 < rate["low"] <= rate["median"] <= rate["high"], name
            assert name.replace("_", " ") in table or group == "decode"
    assert "of processor time" in table and "processor_seconds" in found["decode"]
    for held in found["resident"].values():
        assert 0 < held["empty"] <= held["peak"] and held["decoding"] <= held["peak"]


def test_mapped_weights_count_the_bytes_of_their_file(stories):
    config = SHAPES["stories260k"]
    norms = sum(shape[0] for shape in shapes(config).values() if len(shape) == 1)  # always widened
    n_weights, n_bytes = measure.read_per_token(load_model(stories, memory="mapped"))
    assert n_weights == config.count_parameters()
    assert n_bytes == 2 * n_weights + 2 * norms


def test_of_an_embedding_that_is_not_the_output_only_a_row_is_read(tmp_path):
    config = tiny_config(tied_output=False)
    make_checkpoint(config, tmp_path / "untied")
    model = load_model(tmp_path / "untied", memory="float32")
    embedding = config.vocab_size * config.dim
    needed = config.count_parameters() - embedding
    assert measure.read_per_token(model) == (needed, 4 * needed)


def be_killed(options):
    os.kill(os.getpid(), signal.SIGTERM)


def run_out_of_memory(options):
    raise MemoryError


@pytest.mark.parametrize("end", [be_killed, run_out_of_memory])
def test_a_measurement_that_dies_is_explained(end, stories, capsys, monkeypatch):
    monkeypatch.setattr(decode, "measure", end)
    assert main(["decode", str(stories)]) == 1
    assert "try --memory mapped" in told_in_one_line(capsys)


@pytest.mark.parametrize(
    "options, words",
    [
        (["no/such/folder"], "no such file or folder"),
        (["{stories}", "--tokens", "0"], "tokens must be at least 1"),
        (["{stories}", "--prompt-length", "500"], "context of 512"),
    ],
)
def test_bad_input_to_decode_is_one_line(options, words, stories, capsys):
    assert main(["decode", *(option.format(stories=stories) for option in options)]) == 1
    assert words in told_in_one_line(capsys)


def test_the_commands_need_no_pytorch():
    code = "import sys, tests.benchmarks.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "numpy" in loaded.split() and not {"torch", "transformers"} & set(loaded.split())
