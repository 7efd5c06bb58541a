"""Folders that are damaged, or hold another model: one line that names the file, nothing else."""

import json
import os

import numpy as np
import pytest

from tests.folders import (
    INDEX,
    as_stored,
    command,
    one_line,
    refusal,
    write_config,
    write_float32,
    write_folder,
    write_index,
    write_raw,
    write_shards,
)
from weights_tools.load import load_model

UP = "model.layers.1.mlp.up_proj.weight"
BIAS = "model.layers.0.self_attn.q_proj.bias"


@pytest.fixture
def folder(tmp_path, house):
    return write_folder(tmp_path, *house)


@pytest.fixture
def sharded(tmp_path, house):
    return write_shards(tmp_path, *house)


# --- files ---


def test_a_missing_folder(tmp_path):
    assert "nowhere; expected a model" in refusal("verify", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=name) as error:
        load_model(folder)
    assert str(folder) in one_line(error)


@pytest.mark.parametrize("share", [0.0, 0.00005, 0.0002, 0.01, 0.1, 0.5, 0.9, 0.99999])
def test_a_file_that_was_cut_off(folder, share):
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match="damaged or cut off .*get the file again") as error:
        load_model(folder)
    assert str(file) in one_line(error)


def header_of(**tensors) -> bytes:
    """Each tensor by its type, shape and offsets."""
    keys = "dtype", "shape", "data_offsets"
    return json.dumps({n: dict(zip(keys, t, strict=True)) for n, t in tensors.items()}).encode()


HEADERS = {
    "something else": b"<html>404 not found</html>",
    "no object": b"[1, 2]",
    "no JSON": b'{"a": ',
    "too deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "no offsets": b'{"a": {"dtype": "F32", "shape": [2]}}',
    "overlapping": header_of(a=("F32", [2], [0, 8]), b=("F32", [2], [4, 12])),
    "a gap": header_of(a=("F32", [2], [0, 8]), b=("F32", [1], [60, 64])),
    "beyond the file": header_of(a=("F32", [20], [0, 80])),
    "backwards": header_of(a=("F32", [16], [64, 0])),
    "another size": header_of(a=("F32", [15], [0, 64])),
    "negative": header_of(a=("F32", [-16], [-64, 0])),
    "an overflow": header_of(a=("F32", [2**62, 2**62], [0, 64])),
    "a type with a line break": header_of(a=("F\n32", [16], [0, 64])),
    "a type that is no text": header_of(a=("\x7f\x1b[31m", [16], [0, 64])),
    "a name with a line break": header_of(**{"a\nb": ("F32", [16], [0, 64])}),
    "a name twice": b'{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},'
    b'"a":{"dtype":"F32","shape":[8],"data_offsets":[32,64]}}',
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_is_none(folder, kind):
    write_raw(folder / "model.safetensors", HEADERS[kind], 64)
    assert str(folder / "model.safetensors") in refusal("inspect", folder)
    told = refusal("verify", folder)
    assert "get the file again" in told and told[:-1].isprintable()


@pytest.mark.parametrize("length", [0, 1, 7, 2**27, 2**31, 2**62, 2**64 - 1])
def test_a_header_of_absurd_length(folder, length):
    file = folder / "model.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])
    assert f"{file}: damaged or cut off" in refusal("inspect", folder)


@pytest.mark.parametrize("kind, size", [("I8", 1), ("I64", 8), ("F8_E4M3", 1)])
def test_a_type_of_number_that_no_llama_is_stored_in(folder, kind, size):
    shapes = {"model.norm.weight": [18], "lm_head.weight": [53, 18]}
    tensors, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + size * int(np.prod(shape))
        tensors[name] = kind, shape, [start, end]
    write_raw(folder / "model.safetensors", header_of(**tensors), end)
    told = refusal("inspect", folder)
    assert f"is stored as {kind}; expected one of F64, F32, F16, BF16" in told
    assert str(folder / "model.safetensors") in told


# --- tensors at odds with the config ---


def change_tensors(folder, house, change):
    tensors = as_stored(*house)
    change(tensors)
    write_float32(folder / "model.safetensors", tensors)


TENSORS = {
    "a wrong shape": (lambda t: t.update({"model.norm.weight": np.ones(19)}),
                      "model.norm.weight should have shape (18,) by the config, got (19,)"),
    "no axes": (lambda t: t.update({"model.norm.weight": np.ones(())}),
                "model.norm.weight should have shape (18,) by the config, got ()"),
    "no numbers": (lambda t: t.update({"lm_head.weight": np.ones((0, 18))}),
                   "lm_head.weight should have shape (53, 18) by the config, got (0, 18)"),
    "three axes": (lambda t: t.update({UP: t[UP][None]}), "should have shape (33, 18)"),
    "the other way": (lambda t: t.update({UP: t[UP].T}),
                      f"{UP} should have shape (33, 18) by the config, got (18, 33)"),
    "one too many": (lambda t: t.update({BIAS: np.ones(60)}),
                     f"{BIAS} is no part of a Llama with this config"),
    "one too few": (lambda t: t.pop(UP), f"1 tensors are missing, the first is {UP}"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_do_not_fit_the_config(folder, house, kind):
    change, message = TENSORS[kind]
    change_tensors(folder, house, change)
    for mode in ("float32", "mapped"):
        with pytest.raises(ValueError) as error:
            load_model(folder, mode)
        assert message in one_line(error) and str(folder) in one_line(error)
    status, out, err = command("verify", folder)
    assert status == 1 and message in out + err and err.count("\n") == 1


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_numbers_that_are_none(folder, house, damage):
    norm = {"model.norm.weight": np.append(np.ones(17), damage)}
    change_tensors(folder, house, lambda tensors: tensors.update(norm))
    with pytest.raises(ValueError, match="norm holds NaN or infinity") as error:
        load_model(folder)
    assert str(folder) in one_line(error)


def test_more_layers_than_there_are_tensors(folder, house):
    write_config(folder, house[0], num_hidden_layers=10**4)
    assert "tensors are too few for the 10000 layers" in refusal("inspect", folder)


def test_a_tied_folder_may_hold_the_output_too(folder, house):
    write_config(folder, house[0], tie_word_embeddings=True)
    with pytest.raises(ValueError, match="lm_head.weight is not the embedding, though config.json"):
        load_model(folder)
    tensors = as_stored(*house)
    write_float32(
        folder / "model.safetensors",
        tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]},
    )
    weights = load_model(folder).weights
    assert np.shares_memory(weights.output, weights.embedding)
    # ... or alone: of two names of one matrix safetensors.torch.save_model keeps the first
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    write_float32(folder / "model.safetensors", tensors)
    alone = load_model(folder).weights
    assert np.array_equal(alone.embedding, weights.embedding)
    assert np.shares_memory(alone.output, alone.embedding)


# --- shards ---


def test_a_missing_shard(sharded):
    (sharded / "b.safetensors").unlink()
    assert "'b.safetensors' is missing; is the download complete?" in refusal("inspect", sharded)


OUTSIDE = ["../a.safetensors", "/etc/passwd", "sub/a.safetensors", ".", "./../a.safetensors"]


@pytest.mark.parametrize("shard", OUTSIDE)
def test_a_shard_outside_the_folder(sharded, shard):
    write_index(sharded, {"model.norm.weight": shard})
    told = refusal("inspect", sharded)
    assert f"{INDEX}: the shard {shard!r} lies outside the folder; refused" in told


@pytest.mark.parametrize("shard", ["", "..", "a\nb", "a\0b", "x" * 5000, "config"])
def test_a_shard_that_no_file_can_be(sharded, shard):
    write_index(sharded, {"model.norm.weight": shard})
    assert "is missing; is the download complete?" in refusal("inspect", sharded)


def test_a_link_that_leaves_the_folder(sharded, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "b.safetensors"
    os.rename(sharded / "b.safetensors", elsewhere)
    (sharded / "b.safetensors").symlink_to(elsewhere)
    assert "the shard 'b.safetensors' links out of the folder; refused" in refusal(
        "verify", sharded
    )


def test_links_of_the_hubs_cache(tmp_path, house):
    snapshot, blobs = tmp_path / "snapshots" / "0f1e2d", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    write_shards(snapshot, *house)
    blobs.mkdir()
    for file in [*snapshot.iterdir()]:
        os.rename(file, blobs / f"sum of {file.name}")
        file.symlink_to(f"../../blobs/sum of {file.name}")
    assert load_model(snapshot).config == house[0]


def test_a_tensor_that_is_in_two_shards(sharded, house):
    write_float32(sharded / "b.safetensors", as_stored(*house))
    assert "is in a.safetensors too; which is right?" in refusal("inspect", sharded)


NO_INDEX = ["{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "[" * 100000, "\xff"]


@pytest.mark.parametrize("text", NO_INDEX, ids=range(len(NO_INDEX)))
def test_an_index_that_is_none(sharded, text):
    (sharded / INDEX).write_text(text, encoding="latin-1")
    assert f"{INDEX}: " in refusal("inspect", sharded)
