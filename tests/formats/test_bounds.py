"""What is just refused, and beside it what is just taken."""

import base64
import dataclasses
import hashlib
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from llama_np.config import LARGEST
from llama_np.rope import RopeScaling
from llama_np.training.lora import Lora, Pair, initialize_lora
from llama_np.weights import check
from tests.folders import as_stored, command, refusal, write_config, write_folder
from tests.formats.test_llama2c import SMALL, legacy, tokenizer_bin
from tests.tiny import random_weights, tiny_config
from weights_tools import memory
from weights_tools.commands import convert as convert_module
from weights_tools.commands.convert import KINDS, check_room
from weights_tools.formats.adapter import CONFIG, MATRICES_FILE, save_lora
from weights_tools.formats.gguf_config import with_scaling
from weights_tools.formats.meta_params import check_numbers
from weights_tools.formats.safetensors_file import write_stream
from weights_tools.load import DOLL_HOUSE, load_model, open_model, read_weights
from weights_tools.memory import LARGE, SPARE, choose_memory, in_bytes
from weights_tools.tokenizers import load_tokenizer
from weights_tools.tokenizers.ranks import read_ranks
from weights_tools.training.corpus import hold_out
from weights_tools.writing import new_folder


@pytest.fixture
def folder(tmp_path, house):
    (tmp_path / "model").mkdir()
    return write_folder(tmp_path / "model", *house)


# --- checksums ---


def test_a_checksum_of_an_existing_file_outside_is_refused(folder, tmp_path):
    """Even one that fits: nothing outside the folder is read."""
    (tmp_path / "outside").write_text("secret")
    (folder / "inside").mkdir()
    (folder / "inside/file").write_text("secret")
    sum_ = hashlib.sha256(b"secret").hexdigest()
    for name in ("../outside", str(tmp_path / "outside"), "inside/file", "./config.json", "..", ""):
        (folder / "SHA256SUMS").write_text(f"{sum_}  {name}\n")
        _, out, _ = command("verify", folder)
        assert "SHA256SUMS, line 1: expected a checksum and a file" in out, name
        assert "differs" not in out and "missing" not in out


# --- adapters ---


@pytest.fixture
def adapter(folder, tmp_path, house):
    """A folder with an adapter, and the means to write others there."""
    config, _ = house

    def write(lora, **changes):
        save_lora(tmp_path / "tuned", lora, config, "../model")
        path = tmp_path / "tuned" / CONFIG
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return tmp_path / "tuned"

    return config, write


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["a", "b"])
def test_an_adapter_with_a_number_that_is_none(adapter, number, side):
    config, write = adapter
    lora = initialize_lora(config, 2, np.random.default_rng(0))
    load_model(write(lora))
    getattr(lora.pairs["layers.1.wo"], side)[-1, -1] = number
    with pytest.raises(ValueError, match="o_proj.lora_.*weight is no matrix of finite numbers"):
        load_model(write(lora))


@pytest.mark.parametrize(
    "change, says",
    [
        ({"use_dora": True}, "use_dora = True is not supported, only a plain LoRA"),
        ({"bias": "some"}, "bias = 'some'; expected 'none'"),
        ({"lora_alpha": 0}, "expected lora_alpha and r, two numbers above 0"),
        ({"r": -2}, "expected lora_alpha and r, two numbers above 0"),
    ],
)
def test_an_adapter_that_is_no_plain_lora(adapter, change, says):
    config, write = adapter
    lora = initialize_lora(config, 2, np.random.default_rng(0))
    load_model(write(lora, use_rslora=False, use_dora=False, bias="none"))
    with pytest.raises(ValueError, match=says):
        load_model(write(lora, **change))


def test_the_largest_rank():
    config, rng = tiny_config(), np.random.default_rng(0)
    smaller_side = min(config.dim, config.ffn_width, config.n_kv_heads * config.head_dim)
    lora = initialize_lora(config, smaller_side - 1, rng)
    assert next(iter(lora.pairs.values())).a.shape[1] == smaller_side - 1
    with pytest.raises(ValueError, match=f"does not fit .*; choose 1 to {smaller_side - 1}$"):
        initialize_lora(config, smaller_side, rng)
    assert initialize_lora(config, 1, rng).scale == 2.0


def test_an_adapter_without_matrices_or_with_two_ranks(adapter):
    config, write = adapter
    tuned = write(initialize_lora(config, 1, np.random.default_rng(0)))
    write_stream(tuned / MATRICES_FILE, {}, iter(()))
    with pytest.raises(ValueError, match="no LoRA matrix found"):
        load_model(tuned)
    odd = Lora({"layers.0.wo": Pair(np.ones((60, 2)), np.ones((3, 18)))}, 1.0)
    with pytest.raises(ValueError, match="was another model tuned"):
        load_model(write(odd))


# --- tokenizers ---


def ranks_file(path, line=b""):
    lines = [base64.b64encode(bytes([i])) + b" %d" % i for i in range(256)]
    lines[7] = line or lines[7]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


@pytest.mark.parametrize("token", [b"B-w==", b"B\xffw==", b"Bw==!", b"Bw=", b"B_w=="])
def test_base64_with_a_stray_character(tmp_path, token):
    assert len(read_ranks(ranks_file(tmp_path / "tokenizer.model"))) == 256
    with pytest.raises(ValueError, match="line 8: expected a base64 token not seen before"):
        read_ranks(ranks_file(tmp_path / "tokenizer.model", token + b" 7"))


@pytest.mark.parametrize("n_tokens", [299, 300, 301])
def test_a_tokenizer_beside_llama2c_must_have_as_many_tokens(tmp_path, n_tokens):
    """Where the name says for which model it is; one in ``tokenizer.bin`` may be smaller."""
    pytest.importorskip("sentencepiece")
    config = dataclasses.replace(SMALL, vocab_size=300)
    file = tmp_path / "stories.bin"
    file.write_bytes(legacy(config, random_weights(config, np.float32)))
    (tmp_path / "tok300.bin").write_bytes(tokenizer_bin(n_tokens))
    if n_tokens == 300:
        assert load_model(file).tokenizer.vocab_size == 300
    else:
        with pytest.raises(ValueError, match=f"tok300.bin: expected 300 tokens, got {n_tokens}"):
            open_model(file).read_tokenizer()


def test_a_tokenizer_may_have_as_many_tokens_as_the_model():
    n = load_tokenizer(DOLL_HOUSE).vocab_size
    assert load_tokenizer(DOLL_HOUSE, n).vocab_size == n
    assert load_tokenizer(DOLL_HOUSE, n + 1).vocab_size == n
    special = 5  # at the end
    assert load_tokenizer(DOLL_HOUSE, n - special).vocab_size == n
    with pytest.raises(ValueError, match=f"has {n} tokens, the model only {n - special - 1}"):
        load_tokenizer(DOLL_HOUSE, n - special - 1)


# --- GGUF ---


@pytest.mark.parametrize("number", [1, 2])
def test_a_first_part_that_says_it_is_another(tmp_path, number):
    pytest.importorskip("gguf")
    from tests import llama_cpp

    config = tiny_config(rope_scaling=None)
    tensors = llama_cpp.tensors_of(config, random_weights(config, np.float32))

    def change(writer):
        writer.add_uint16("split.count", 2)
        writer.add_uint16("split.no", number)

    path = llama_cpp.write(tmp_path / "m-00001-of-00002.gguf", config, tensors, change=change)
    shutil.copy(path, tmp_path / "m-00002-of-00002.gguf")
    with pytest.raises(ValueError, match="one of 2 parts; give the first"):
        open_model(path)


@pytest.mark.parametrize("change", [0.95, 1.05, 1.001])
def test_one_rope_factor_that_is_wrong(change):
    pytest.importorskip("gguf")
    from tests.llama_cpp import rope_factors

    scaled = tiny_config(head_dim=64, rope_theta=5e5, rope_scaling=RopeScaling(8.0, 1.0, 4.0, 8192))
    plain, factors = dataclasses.replace(scaled, rope_scaling=None), rope_factors(scaled)
    assert with_scaling(plain, factors) == scaled
    for i in range(len(factors)):
        wrong = factors.copy()
        wrong[i] *= change
        with pytest.raises(ValueError, match="rope_freqs.weight is not supported"):
            with_scaling(plain, wrong)


# --- room on the disk and in memory ---

WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


@pytest.mark.parametrize("kind", [*WIDTHS, "I8", None])
def test_exactly_enough_room_on_the_disk(folder, tmp_path, monkeypatch, kind):
    assert WIDTHS.keys() == KINDS.keys()
    source = open_model(folder)
    needed = 0
    for name, stored in source.stored.items():
        matrix = len(stored.rows.shape) == 2 and name != "embedding"
        width = 1 if kind == "I8" and matrix else WIDTHS.get(kind, 4)
        needed += int(np.prod(stored.rows.shape)) * width
    for free in (needed, needed - 1):
        monkeypatch.setattr(
            convert_module.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free)
        )
        if free == needed:
            check_room(source, tmp_path, kind)
        else:
            with pytest.raises(OSError, match="are needed, .* are free; make room"):
                check_room(source, tmp_path, kind)


@pytest.mark.parametrize("spare, expected", [(0, "float32"), (-1, "mapped")])
def test_exactly_enough_memory(folder, monkeypatch, spare, expected):
    source = open_model(folder)
    monkeypatch.setattr(memory, "as_float32", lambda _: LARGE)
    monkeypatch.setattr(memory, "free_memory", lambda: int(SPARE * LARGE) + spare)
    kind, why = choose_memory(source)
    assert kind == expected and ("mapped" in why) == (expected == "mapped")
    monkeypatch.setattr(memory, "as_float32", lambda _: LARGE - 1)
    assert choose_memory(source) == ("float32", "")


def test_sizes_for_people():
    told = [in_bytes(n) for n in (0, 999, 1000, 999_999, 1_000_000, 10**9 - 1, 10**9)]
    assert told == ["0 B", "999 B", "1.0 kB", "1000.0 kB", "1.0 MB", "1000.0 MB", "1.0 GB"]


# --- numbers of a model ---


@pytest.mark.parametrize("name", ["dim", "context_length", "norm_eps", "rope_theta"])
def test_the_largest_number_a_config_may_have(name):
    most = int(LARGEST) if name in ("dim", "context_length") else LARGEST
    assert getattr(tiny_config(**{name: most}), name) == LARGEST
    with pytest.raises(ValueError, match=f"{name} must be at most 1e\\+15"):
        tiny_config(**{name: most * 2})
    for bad in (0, -1, True, None, "7", float("nan")):
        with pytest.raises(ValueError, match=f"{name} must be a positive"):
            tiny_config(**{name: bad})


@pytest.mark.parametrize("low, high", [(4.0, 4.0), (4.1, 4.0)])
def test_a_scaling_whose_ends_meet(low, high):

    tiny_config(rope_scaling=RopeScaling(8.0, 3.9, 4.0, 64))
    with pytest.raises(ValueError, match="low_freq_factor must be below high_freq_factor"):
        tiny_config(rope_scaling=RopeScaling(8.0, low, high, 64))


def test_the_largest_numbers_of_a_params_file():
    params = {"dim": 8, "n_layers": 1, "n_heads": 1, "norm_eps": 1e-5}
    for key, most in (("dim", 2**31 - 1), ("norm_eps", 9e11)):
        check_numbers(params | {key: most})
        with pytest.raises(ValueError, match=f"{key} should be a positive"):
            check_numbers(params | {key: most * 2})
    check_numbers(params | {"vocab_size": -1, "n_kv_heads": None})
    with pytest.raises(ValueError, match="vocab_size should be"):
        check_numbers(params | {"vocab_size": -2})


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["norm", "layers.0.attn_norm", "embedding", "output"])
def test_weights_with_a_number_that_is_none(number, name):
    config = tiny_config()
    weights = random_weights(config, np.float32)
    check(weights, config)
    dict(weights.named())[name].flat[-1] = number
    with pytest.raises(ValueError, match=f"{name} holds NaN or infinity"):
        check(weights, config)


def test_float64_too_large_for_float32_is_refused(tmp_path, house):
    config, weights = house
    write_config(tmp_path, config)
    for number, fits in ((3.4e38, True), (3.5e38, False)):
        tensors = {
            n: np.array(a, np.float64, order="C") for n, a in as_stored(config, weights).items()
        }
        tensors["model.norm.weight"][0] = number
        save_file(tensors, tmp_path / "model.safetensors")
        if fits:
            read_weights(open_model(tmp_path), "float32")
        else:
            with pytest.raises(ValueError, match="norm holds NaN or infinity"):
                read_weights(open_model(tmp_path), "float32")


# --- commands and folders ---


def test_at_least_one_document_on_each_side():
    assert [len(part) for part in hold_out(["a", "b"], 0.5)] == [1, 1]
    for documents, share in ((["a"], 0.5), (["a", "b"], 0.0), (["a", "b"], 1.0), ([], 0.5)):
        with pytest.raises(ValueError, match="too few to train on some and hold"):
            hold_out(documents, share)


def test_a_new_folder_may_be_an_empty_one(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new", "deep/er"):
        with new_folder(tmp_path / name) as beside:
            (beside / "file").write_text("x")
        assert [file.name for file in (tmp_path / name).iterdir()] == ["file"]
    (tmp_path / "taken").write_text("a file")
    for name in ("new", "taken"):
        with pytest.raises(ValueError, match="is there already"), new_folder(tmp_path / name):
            pass


def test_int8_of_int8_is_refused(folder, tmp_path):
    assert command("quantize", folder, tmp_path / "small", "--int8")[0] == 0
    told = refusal("quantize", tmp_path / "small", tmp_path / "smaller", "--int8")
    assert "is in int8 already" in told and not (tmp_path / "smaller").exists()
