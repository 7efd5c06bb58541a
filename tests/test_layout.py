"""Folders: what transformers writes we read, what we write transformers reads, damage is named."""

import json

import numpy as np
import pytest

from llama_np.config import LlamaConfig
from llama_np.model import forward
from llama_np.tokenizer import Tokenizer
from llama_np.weights import shapes
from weights_tools.layout import from_hugging_face, hugging_face_name, to_hugging_face
from weights_tools.load import load_model, load_weights
from weights_tools.save import save_model
from weights_tools.tensors import narrow_bf16, read_tensors, widen_bf16, write_tensors

from .checks import agree, agree_by_name
from .tiny import random_ids, random_weights, tiny_config

TOKENIZER = Tokenizer(
    {bytes([byte]): byte for byte in range(256)}, ["<|begin_of_text|>", "<|end_of_text|>"]
)


def as_stored(config, weights):
    return {
        hugging_face_name(name): to_hugging_face(name, array, config)
        for name, array in weights.named()
    }


@pytest.fixture
def folder(tmp_path, house):
    """A complete folder in float32, without tokenizer, to be damaged."""
    config, weights = house
    (tmp_path / "config.json").write_text(json.dumps(config.to_hugging_face()))
    write_tensors(tmp_path / "model.safetensors", as_stored(config, weights), bf16=False)
    return tmp_path


def rewrite(folder, house, change):
    config, weights = house
    tensors = as_stored(config, weights)
    change(tensors)
    write_tensors(folder / "model.safetensors", tensors, bf16=False)


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# --- there and back ---


def test_what_is_stored_comes_back(config, weights):
    for name, array in weights.named():
        stored = to_hugging_face(name, array, config)
        assert np.array_equal(from_hugging_face(name, stored, config), array), name


def test_the_names_are_those_of_transformers(transformers, twin, config, weights):
    theirs = {name: tuple(each.shape) for name, each in
              twin.hugging_face_twin(config, weights).state_dict().items()}  # fmt: skip
    if config.tied_output:
        theirs.pop("lm_head.weight")
    assert {name: array.shape for name, array in as_stored(config, weights).items()} == theirs


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shards", [False, True], ids=["one file", "sharded"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_folder_of_transformers_gives_its_logits(
    transformers, twin, torch, tmp_path, kind, shards, tied
):
    config = tiny_config(tied_output=tied)
    model = twin.hugging_face_twin(config, random_weights(config, np.float32))
    model.to(getattr(torch, kind)).save_pretrained(
        tmp_path, max_shard_size="20KB" if shards else "1GB"
    )
    assert (tmp_path / "model.safetensors.index.json").exists() == shards
    loaded = load_model(tmp_path)
    assert loaded.config == config
    assert loaded.tokenizer is None
    assert {array.dtype for _, array in loaded.weights.named()} == {np.dtype(np.float32)}
    assert np.shares_memory(loaded.weights.output, loaded.weights.embedding) == tied
    ids = random_ids(config, 7)
    model = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        theirs = model(torch.tensor(ids)[None]).logits[0]
    agree(forward(loaded.weights, loaded.config, ids), theirs)


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_transformers_opens_what_we_write(transformers, torch, tmp_path, bf16, tied):
    config = tiny_config(tied_output=tied, vocab_size=300)
    weights = random_weights(config, np.float32)
    save_model(tmp_path, config, weights, TOKENIZER, bf16=bf16)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert model.dtype == (torch.bfloat16 if bf16 else torch.float32)
    ids = random_ids(config, 7)
    model = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.no_grad():
        theirs = model(torch.tensor(ids)[None]).logits[0]
    loaded = load_model(tmp_path)
    agree(forward(loaded.weights, loaded.config, ids), theirs)
    assert loaded.tokenizer.ranks == TOKENIZER.ranks


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
def test_we_read_what_we_write(tmp_path, bf16):
    config = tiny_config(vocab_size=300)
    weights = random_weights(config, np.float32)
    save_model(tmp_path, config, weights, TOKENIZER, bf16=bf16)
    loaded = load_model(tmp_path)
    expected = weights.map(lambda w: widen_bf16(narrow_bf16(w))) if bf16 else weights
    agree_by_name(dict(loaded.weights.named()), dict(expected.named()), 0)
    assert not [*tmp_path.glob("*.tmp")]


# --- numbers ---


def test_bf16_is_rounded_as_pytorch_does(torch):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    special = [0.0, -0.0, 1e-45, -1e-45, 1.1754942e-38, 3.3895314e38, -3.3895314e38]
    ties = (np.arange(0x3F80, 0x4000, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    x = np.concatenate([x[np.isfinite(x)], np.array(special, np.float32), ties, ties * (1 + 1e-7)])
    x = x.astype(np.float32)
    theirs = torch.tensor(x).to(torch.bfloat16)
    assert np.array_equal(narrow_bf16(x), theirs.view(torch.int16).numpy().view(np.uint16))
    assert np.array_equal(widen_bf16(narrow_bf16(x)), theirs.float().numpy())


def test_every_finite_bf16_comes_back():
    bits = np.arange(2**16, dtype=np.uint32).astype(np.uint16)
    bits = bits[np.isfinite(widen_bf16(bits))]
    assert np.array_equal(narrow_bf16(widen_bf16(bits)), bits)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
def test_tensors_are_those_that_were_saved(torch, tmp_path, kind):
    from safetensors.torch import save_file

    dtype = getattr(torch, kind)
    saved = {
        "odd": torch.randn(3, 5, dtype=dtype),
        "a.vector": torch.randn(7, dtype=dtype),
        "empty": torch.zeros(0, 4, dtype=dtype),
    }
    save_file(saved, tmp_path / "x.safetensors")
    read = dict(read_tensors(tmp_path / "x.safetensors"))
    assert read.keys() == saved.keys()
    for name, tensor in saved.items():
        wide = tensor if kind in ("float64", "float32") else tensor.float()
        agree(np.asarray(read[name]), wide, 0, name)


# --- damage, each in one line that names the file ---


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        load_model(tmp_path / "nowhere")
    assert "nowhere; expected a Hugging Face model folder" in one_line(error)


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


def test_a_file_that_is_something_else(folder):
    (folder / "model.safetensors").write_bytes(b"<html>404 not found</html>" * 100)
    with pytest.raises(ValueError, match="damaged or cut off") as error:
        load_model(folder)
    one_line(error)


def test_a_header_that_lies_about_a_size(folder):
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"shape":[53,18]', b'"shape":[53,19]'))
    with pytest.raises(ValueError, match="damaged or cut off") as error:
        load_model(folder)
    one_line(error)


def test_a_wrong_shape(folder, house):
    rewrite(folder, house, lambda t: t.update({"model.norm.weight": np.ones(19)}))
    with pytest.raises(
        ValueError, match=r"model.norm.weight should have shape \(18,\).*\(19,\)"
    ) as e:
        load_model(folder)
    assert "model.safetensors" in one_line(e)


def test_a_matrix_that_lies_the_other_way(folder, house):
    name = "model.layers.1.mlp.up_proj.weight"
    rewrite(folder, house, lambda t: t.update({name: t[name].T}))
    with pytest.raises(
        ValueError, match=r"up_proj.weight should have shape \(33, 18\).*\(18, 33\)"
    ):
        load_model(folder)


def test_a_tensor_too_many(folder, house):
    name = "model.layers.0.self_attn.q_proj.bias"
    rewrite(folder, house, lambda t: t.update({name: np.ones(60)}))
    with pytest.raises(ValueError, match=f"{name} is no part of a Llama with this config") as error:
        load_model(folder)
    one_line(error)


def test_a_tensor_too_few(folder, house):
    name = "model.layers.1.mlp.up_proj.weight"
    rewrite(folder, house, lambda t: t.pop(name))
    with pytest.raises(ValueError, match=f"1 tensors are missing, the first is {name}") as error:
        load_model(folder)
    one_line(error)


@pytest.mark.parametrize("damage", [np.nan, np.inf])
def test_numbers_that_are_none(folder, house, damage):
    def change(tensors):
        tensors["model.norm.weight"] = np.append(np.ones(17), damage)

    rewrite(folder, house, change)
    with pytest.raises(ValueError, match="norm holds NaN or infinity") as error:
        load_model(folder)
    assert str(folder) in one_line(error)


@pytest.mark.parametrize("kind, bytes_each", [("I8", 1), ("I64", 8), ("F8_E4M3", 1)])
def test_a_type_of_number_that_no_llama_is_stored_in(folder, kind, bytes_each):
    size = 18 * bytes_each
    entry = {"dtype": kind, "shape": [18], "data_offsets": [0, size]}
    header = json.dumps({"model.norm.weight": entry}).encode()
    file = folder / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    message = f"model.norm.weight is stored as {kind}; expected one of F64, F32, F16, BF16"
    with pytest.raises(ValueError, match=message) as error:
        load_model(folder)
    assert str(file) in one_line(error)


def test_a_tied_folder_may_hold_the_output_too(folder, house):
    config, _ = house
    path = folder / "config.json"
    path.write_text(json.dumps(config.to_hugging_face() | {"tie_word_embeddings": True}))
    weights = load_model(folder).weights
    assert np.shares_memory(weights.output, weights.embedding)


# --- shards ---


@pytest.fixture
def sharded(folder, house):
    """The same folder, its tensors in two files."""
    config, weights = house
    tensors = as_stored(config, weights)
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in parts.items():
        write_tensors(folder / file, {name: tensors[name] for name in own}, bf16=False)
    (folder / "model.safetensors").unlink()
    write_index(folder, {name: file for file, own in parts.items() for name in own})
    return folder


def write_index(folder, weight_map):
    text = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text)


def test_shards_are_one_model(sharded, house):
    config, weights = house
    loaded = load_weights(sharded, config)
    agree_by_name(dict(loaded.named()), dict(weights.map(np.float32).named()), 0)


def test_a_missing_shard(sharded):
    (sharded / "b.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="b.safetensors is missing") as error:
        load_model(sharded)
    one_line(error)


@pytest.mark.parametrize("shard", ["../a.safetensors", "/a.safetensors", "sub/a.safetensors"])
def test_a_shard_outside_the_folder(sharded, shard):
    write_index(sharded, {"model.norm.weight": shard})
    with pytest.raises(ValueError, match="lies outside the folder; refused") as error:
        load_model(sharded)
    assert "index.json" in one_line(error)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}']
)
def test_an_index_that_is_none(sharded, text):
    (sharded / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match="index.json: not an index of shards") as error:
        load_model(sharded)
    one_line(error)


# --- which folder ---


def test_the_environment_names_a_folder(folder, monkeypatch):
    monkeypatch.setenv("LLAMA_MODEL", str(folder))
    assert load_model().path == folder


def test_a_tokenizer_too_large_for_the_model(tmp_path):
    config = tiny_config(vocab_size=257)
    save_model(tmp_path, config, random_weights(config, np.float32), TOKENIZER)
    with pytest.raises(ValueError, match="tokenizer has 258 tokens, the model only 257") as error:
        load_model(tmp_path)
    one_line(error)


def test_every_name_has_a_place(config):
    names = [hugging_face_name(name) for name in shapes(config)]
    assert len(set(names)) == len(names)
    assert LlamaConfig.from_hugging_face(config.to_hugging_face()) == config
