"""Two conditions at once: an adapter on another source, mixed types, parts that differ."""

import json

import numpy as np
import pytest

from llama_np.model import forward
from llama_np.rope import RopeScaling
from llama_np.tokenizer import BPETokenizer
from llama_np.tokenizer.bpe import GPT2_PATTERN, LLAMA3_PATTERN
from llama_np.training.lora import initialize_lora, merge
from llama_np.weights import shapes
from tests.checks import agree
from tests.folders import as_stored, command, write_config, write_float32, write_folder
from tests.formats.test_llama2c import write as write_llama2c
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools.commands import convert as convert_module
from weights_tools.commands.convert import convert, write_model
from weights_tools.formats.adapter import save_lora
from weights_tools.formats.safetensors_file import write_stream
from weights_tools.layout import hugging_face_name
from weights_tools.lazy_matrix import narrow_bf16, widen_bf16
from weights_tools.load import load_model, open_model, read_weights
from weights_tools.save import save_model
from weights_tools.tokenizers import load_tokenizer, save_tokenizer

BYTES = {bytes([byte]): byte for byte in range(256)}


# --- sources in which neighbours are pairs, and one in which halves are ---


def meta_source(folder):
    pytest.importorskip("torch")
    from tests.formats.test_meta import meta_config, write_meta

    config = meta_config()
    weights = random_weights(config, np.float32)
    write_meta(folder, config, weights, n=2)
    return folder, config, weights


def gguf_source(folder):
    pytest.importorskip("gguf")
    from tests import llama_cpp

    config = tiny_config(rope_scaling=RopeScaling(8.0, 1.0, 4.0, 8192))
    weights = random_weights(config, np.float32)
    path = llama_cpp.write(folder / "m.gguf", config, llama_cpp.tensors_of(config, weights))
    return path, config, weights


def llama2c_source(folder):
    return write_llama2c(folder, seed=1)


def folder_source(folder):
    config = tiny_config()
    weights = random_weights(config, np.float32)
    return write_folder(folder, config, weights), config, weights


@pytest.mark.parametrize("source", [meta_source, gguf_source, llama2c_source, folder_source])
def test_an_adapter_beside_any_source(tmp_path, source):
    """peft keeps the rows of wq and wk in halves, whatever order the base has them in."""
    (tmp_path / "base").mkdir()
    path, config, weights = source(tmp_path / "base")
    rng = np.random.default_rng(0)
    lora = initialize_lora(config, 2, rng).map(
        lambda a: widen_bf16(narrow_bf16(rng.standard_normal(a.shape).astype(np.float32) / 10))
    )
    save_lora(tmp_path / "tuned", lora, config, f"../base/{path.name if path.is_file() else ''}")
    ids, expected = random_ids(config, 9), merge(weights, lora)
    opened = open_model(tmp_path / "tuned")._replace(read_tokenizer=lambda: None)
    assert opened.config == config
    for mode in ("float32", "mapped"):
        found = forward(read_weights(opened, mode), config, ids)
        agree(found, forward(expected, config, ids), 1e-4, mode)
    convert(opened, tmp_path / "merged")
    for name, array in load_model(tmp_path / "merged", "float32").weights.named():
        agree(array, dict(expected.named())[name], 1e-5, name)


# --- mixed types ---


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_norms_and_matrices_of_different_types(tmp_path, kind):
    config = tiny_config()
    folder = tmp_path / "from"
    folder.mkdir()
    write_config(folder, config)
    narrow = narrow_bf16 if kind == "BF16" else lambda array: array.astype(np.float16)
    specs, arrays, kinds = {}, [], {}
    for name, array in as_stored(config, random_weights(config, np.float32)).items():
        array = np.ascontiguousarray(array)
        kinds[name] = "F32" if array.ndim == 1 else kind
        specs[name] = kinds[name], array.shape
        arrays.append(array if array.ndim == 1 else narrow(array))
    write_stream(folder / "model.safetensors", specs, iter(arrays))
    widen = widen_bf16 if kind == "BF16" else lambda array: array.astype(np.float32)
    expected = {
        name: array if array.ndim == 1 else widen(array)
        for name, array in zip(specs, arrays, strict=True)
    }
    convert(open_model(folder), tmp_path / "to")
    for path in (folder, tmp_path / "to"):
        opened = open_model(path)
        assert {s.name: s.kind for s in opened.stored.values()} == kinds
        for mode in ("float32", "mapped"):
            weights = read_weights(opened, mode).map(np.asarray)
            for name, array in as_stored(config, weights).items():
                np.testing.assert_array_equal(array, expected[name], err_msg=f"{name} {mode}")
    described = json.loads((tmp_path / "to/config.json").read_text())
    assert described["dtype"] == {"F16": "float16", "BF16": "bfloat16"}[kind]


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_int8_to_int8_in_several_blocks(tmp_path, monkeypatch, tied):
    """Every scale is with its row, however many blocks a matrix takes."""
    config = tiny_config(tied_output=tied)
    (tmp_path / "wide").mkdir()
    write_folder(tmp_path / "wide", config, random_weights(config, np.float32))
    convert(open_model(tmp_path / "wide"), tmp_path / "whole", "I8")
    monkeypatch.setattr(convert_module, "BLOCK", 5 * config.dim)
    convert(open_model(tmp_path / "wide"), tmp_path / "small", "I8")
    convert(open_model(tmp_path / "small"), tmp_path / "again")
    convert(open_model(tmp_path / "small"), tmp_path / "once more", "I8")
    whole = (tmp_path / "whole/model.safetensors").read_bytes()
    for name in ("small", "again", "once more"):
        assert (tmp_path / name / "model.safetensors").read_bytes() == whole, name


def test_int8_becomes_float_in_several_blocks(tmp_path, monkeypatch):
    config = tiny_config()
    (tmp_path / "wide").mkdir()
    write_folder(tmp_path / "wide", config, random_weights(config, np.float32))
    convert(open_model(tmp_path / "wide"), tmp_path / "small", "I8")
    monkeypatch.setattr(convert_module, "BLOCK", 4 * config.dim)
    convert(open_model(tmp_path / "small"), tmp_path / "float", "F32")
    before, after = (load_model(tmp_path / name, "float32") for name in ("small", "float"))
    for name, array in before.weights.named():
        agree(dict(after.weights.named())[name], array, 1e-6, name)


# --- stop ids and files that come along ---


def test_two_stop_ids_come_back(tmp_path):
    names = ["<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>"]
    tokenizer = BPETokenizer(BYTES, names)
    config = tiny_config(vocab_size=259)
    save_model(tmp_path / "from", config, random_weights(config), tokenizer)
    assert command("convert", tmp_path / "from", tmp_path / "to")[0] == 0
    for folder in ("from", "to"):
        described = json.loads((tmp_path / folder / "config.json").read_text())
        assert (described["bos_token_id"], described["eos_token_id"]) == (256, [257, 258])
        again = load_model(tmp_path / folder).tokenizer
        assert (again.stop_ids, again.bos_id, again.eos_id) == ({257, 258}, 256, 258)


@pytest.mark.parametrize(
    "pattern, in_front, has_ranks",
    [
        (LLAMA3_PATTERN, False, True),
        (GPT2_PATTERN, False, False),  # its special tokens follow, but it cuts text otherwise
        (LLAMA3_PATTERN, True, False),
    ],
    ids=["as in Llama 3", "another pattern", "special tokens in front"],
)
def test_ranks_are_written_only_where_all_is_as_in_llama_3(tmp_path, pattern, in_front, has_ranks):
    names = ["<|begin_of_text|>", "<|end_of_text|>"]
    ids = {token: rank + 2 * in_front for token, rank in BYTES.items()}
    special = {name: i + 256 * (not in_front) for i, name in enumerate(names)}
    tokenizer = BPETokenizer(BYTES, special, ids=ids, pattern=pattern)
    save_tokenizer(tokenizer, tmp_path)
    assert (tmp_path / "tokenizer.model").exists() == has_ranks
    again = load_tokenizer(tmp_path)
    text = "They're 1234  tokens."
    assert again.encode(text, bos=True) == tokenizer.encode(text, bos=True)
    assert again.special_tokens == special and again.pattern == pattern


def test_what_stands_at_the_destination_is_not_written_over(tmp_path, house):
    config, weights = house
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    write_folder(tmp_path / "from", config, weights)
    for name in ("LICENSE", "generation_config.json"):
        (tmp_path / "from" / name).write_text("{}")
    (tmp_path / "to/LICENSE").write_text("my own")
    write_model(open_model(tmp_path / "from"), tmp_path / "to", None, None)
    assert (tmp_path / "to/LICENSE").read_text() == "my own"
    assert (tmp_path / "to/generation_config.json").read_text() == "{}"


# --- files in several parts, and in another order ---


def test_two_parts_of_which_one_is_tied(tmp_path):
    """Tied is a model only if every part is; here the second has an output of its own."""
    torch = pytest.importorskip("torch")
    from tests.formats.test_meta import meta_config, write_meta

    config = meta_config()
    weights = random_weights(config, np.float32)
    write_meta(tmp_path, config, weights, n=2)
    shards = [tmp_path / f"consolidated.0{i}.pth" for i in range(2)]
    first, second = (torch.load(file) for file in shards)
    first["output.weight"] = first["tok_embeddings.weight"]
    torch.save(first, shards[0])
    opened = open_model(tmp_path)
    assert not opened.config.tied_output
    halves = [first["tok_embeddings.weight"], second["output.weight"]]
    assert np.array_equal(opened.stored["output"].rows[:], np.concatenate(halves))
    second["output.weight"] = second["tok_embeddings.weight"]
    torch.save(second, shards[1])
    assert open_model(tmp_path).config.tied_output


def test_a_gguf_file_whose_tensors_are_listed_in_another_order(tmp_path):
    """The header may list them in any order: the offsets say where each lies."""
    path, config, weights = gguf_source(tmp_path)
    data, entries = path.read_bytes(), []
    from weights_tools.formats.gguf_header import read_header

    for info in read_header(memoryview(data)).tensors:
        name = info.name.encode()
        start = data.index(len(name).to_bytes(8, "little") + name)
        entries.append((start, start + 8 + len(name) + 4 + 8 * len(info.shape) + 4 + 8))
    assert all(a[1] == b[0] for a, b in zip(entries, entries[1:], strict=False))
    backwards = b"".join(data[start:end] for start, end in reversed(entries))
    path.write_bytes(data[: entries[0][0]] + backwards + data[entries[-1][1] :])
    opened = open_model(path)
    assert opened.config == config and list(opened.stored) == list(shapes(config))
    for name, array in read_weights(opened, "float32").named():
        assert np.array_equal(array, dict(weights.named())[name]), name


def test_the_ending_of_a_file_in_capitals(tmp_path):
    path, config, _ = gguf_source(tmp_path)
    assert open_model(path.rename(tmp_path / "M.GGUF")).config == config
    path, config, _ = llama2c_source(tmp_path)
    assert open_model(path.rename(tmp_path / "STORIES.BIN")).config == config


def test_a_file_of_a_folder_opens_the_folder(tmp_path, house):
    config, weights = house
    write_folder(tmp_path, config, weights)
    for name in ("config.json", "model.safetensors"):
        assert open_model(tmp_path / name).path == tmp_path


def test_a_tied_folder_with_the_output_of_another_type(tmp_path):
    config = tiny_config(tied_output=True)
    write_config(tmp_path, config)
    tensors = as_stored(config, random_weights(config, np.float32))
    output = hugging_face_name("output")
    write_float32(tmp_path / "model.safetensors", tensors)
    assert "output" not in open_model(tmp_path).stored
    specs = {name: ("F32", array.shape) for name, array in tensors.items()}
    embedding = tensors[hugging_face_name("embedding")]
    specs[output] = "BF16", embedding.shape
    arrays = [np.ascontiguousarray(array) for array in tensors.values()]
    write_stream(tmp_path / "model.safetensors", specs, iter([*arrays, narrow_bf16(embedding)]))
    with pytest.raises(ValueError, match="lm_head.weight is not the embedding"):
        open_model(tmp_path)
    arrays[[*tensors].index(hugging_face_name("embedding"))] = widen_bf16(narrow_bf16(embedding))
    write_stream(tmp_path / "model.safetensors", specs, iter([*arrays, narrow_bf16(embedding)]))
    assert "output" not in open_model(tmp_path).stored  # the same numbers
