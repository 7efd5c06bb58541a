"""Models of llama2.c, written in its layout: the numbers and logits are those that were meant."""

import dataclasses
import struct

import numpy as np
import pytest

from llama_np.model import forward
from llama_np.rope import rope_frequencies
from llama_np.weights import Weights
from tests.tiny import random_config, random_ids, random_weights
from weights_tools.formats.llama2c import open_llama2c
from weights_tools.layout import names_elsewhere
from weights_tools.load import load_model, open_model
from weights_tools.opened import as_weight, check_shapes

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.damage import damaged  # noqa: E402


def llama2c_config(seed: int):
    """Groups of 1, 3 and 4; what the format takes for granted is as it takes it."""
    config = random_config(seed)
    head_dim = int(np.random.default_rng(seed).choice([4, 6, 10]))
    return dataclasses.replace(
        config, head_dim=head_dim, dim=head_dim * config.n_heads, norm_eps=1e-5,
        rope_theta=10000.0, rope_scaling=None, context_length=12 + seed,
    )  # fmt: skip


def numbers_of(config, vocab_size: int) -> tuple[int, ...]:
    return (
        config.dim, config.ffn_width, config.n_layers, config.n_heads, config.n_kv_heads,
        vocab_size, config.context_length,
    )  # fmt: skip


def of_all_layers(weights: Weights, *roles: str):
    """Role by role, block by block; matrices (out, in)."""
    for role in roles:
        for layer in weights.layers:
            yield getattr(layer, role).T


def legacy(config, weights: Weights) -> bytes:
    """As ``legacy_export`` in export.py writes it, line by line."""
    vocab_size = config.vocab_size if config.tied_output else -config.vocab_size
    angles = np.outer(
        np.arange(config.context_length), rope_frequencies(config.head_dim, config.rope_theta)
    )
    arrays = [
        weights.embedding,
        *of_all_layers(weights, "attn_norm", "wq", "wk", "wv", "wo", "ffn_norm"),
        *of_all_layers(weights, "w_gate", "w_down", "w_up"),  # w1, w2, w3
        weights.norm,
        np.cos(angles),
        np.sin(angles),
    ]
    if not config.tied_output:
        arrays.append(weights.output.T)
    return struct.pack("<7i", *numbers_of(config, vocab_size)) + flat(arrays)


def version_1(config, weights: Weights) -> bytes:
    """As ``version1_export`` writes it."""
    header = struct.pack("<Ii", 0x616B3432, 1)
    header += struct.pack("<7iB", *numbers_of(config, config.vocab_size), config.tied_output)
    arrays = [
        *of_all_layers(weights, "attn_norm", "ffn_norm"),
        weights.norm,
        weights.embedding,
        *of_all_layers(weights, "wq", "wk", "wv", "wo", "w_gate", "w_down", "w_up"),
    ]
    if not config.tied_output:
        arrays.append(weights.output.T)
    return header.ljust(256, b"\0") + flat(arrays)


def flat(arrays) -> bytes:
    return b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)


SMALL = dataclasses.replace(llama2c_config(0), n_layers=1, vocab_size=9, ffn_width=7)
FILES = [layout(SMALL, random_weights(SMALL, np.float32)) for layout in (legacy, version_1)]


def write(tmp_path, seed: int, layout=legacy):
    config = llama2c_config(seed)
    weights = random_weights(config, np.float32, seed)
    file = tmp_path / "stories.bin"
    file.write_bytes(layout(config, weights))
    return file, config, weights


@pytest.mark.parametrize("layout", [legacy, version_1])
@pytest.mark.parametrize("seed", range(6))
def test_every_array_is_the_one_written(tmp_path, seed, layout):
    file, config, weights = write(tmp_path, seed, layout)
    checkpoint = open_llama2c(file)
    assert checkpoint.config == config and not checkpoint.rotate_half
    check_shapes(checkpoint)
    assert list(checkpoint.stored) and checkpoint.stored.keys() == dict(weights.named()).keys()
    for name, array in weights.named():
        found = checkpoint.stored[name]
        expected = array if name == "embedding" else array.T
        assert (found.kind, found.name) == ("F32", names_elsewhere(name).meta)
        assert found.rows.tobytes() == np.ascontiguousarray(expected).tobytes(), name
        assert found.n_bytes == array.nbytes


@pytest.mark.parametrize("seed", range(6))
def test_logits_are_those_of_transformers(tmp_path, twin, torch, seed):
    file, config, weights = write(tmp_path, seed)
    checkpoint, ids = open_llama2c(file), random_ids(config, 9)
    read = {name: as_weight(checkpoint, name, "float32") for name in checkpoint.stored}
    with torch.no_grad():
        expected = twin.hugging_face_twin(config, weights)(torch.tensor(ids)[None]).logits[0]
    ours = forward(Weights.from_named(read), checkpoint.config, ids)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def test_load_model_reads_the_file(tmp_path):
    file, config, weights = write(tmp_path, 1)
    model = load_model(file)
    assert (model.config, model.tokenizer) == (config, None)
    for name, array in model.weights.named():
        np.testing.assert_array_equal(array, dict(weights.named())[name], err_msg=name)


def test_nothing_is_copied(tmp_path):
    file, *_ = write(tmp_path, 0)
    for stored in open_llama2c(file).stored.values():
        array = stored.rows
        while not isinstance(array, np.memmap):
            array = array.base


def tokenizer_bin(n_tokens: int) -> bytes:
    """The format of llama2.c: three marks, every byte, a space, then letters."""
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256)), b" "]
    pieces += [chr(0x4E00 + i).encode() for i in range(n_tokens - len(pieces))]
    data = struct.pack("<i", max(map(len, pieces)))
    return data + b"".join(struct.pack("<fi", 0, len(piece)) + piece for piece in pieces)


@pytest.mark.parametrize("name", ["tokenizer.bin", "tok300.bin"])
def test_the_tokenizer_beside_it(tmp_path, name):
    pytest.importorskip("sentencepiece")
    config = dataclasses.replace(SMALL, vocab_size=300)
    file = tmp_path / "stories.bin"
    file.write_bytes(legacy(config, random_weights(config, np.float32)))
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bin(301))
    (tmp_path / name).write_bytes(tokenizer_bin(300))
    tokenizer = load_model(file).tokenizer
    assert tokenizer.vocab_size == 300
    assert tokenizer.decode(tokenizer.encode("a b\u4e00")) == " a b\u4e00"
    (tmp_path / name).write_bytes(tokenizer_bin(301))
    with pytest.raises(ValueError, match="301"):
        open_model(file).read_tokenizer()


# Bad input


def refusal(file, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        open_llama2c(file)
    message = str(caught.value)
    assert message.startswith(str(file)) and "\n" not in message
    return message


@pytest.mark.parametrize("whole", FILES, ids=["legacy", "version 1"])
def test_cut_off_or_too_long(tmp_path, whole):
    for length in {*range(30), *range(0, len(whole), 53), len(whole) - 1}:
        refusal(tmp_path / "x.bin", whole[:length])
    assert "asks for" in refusal(tmp_path / "x.bin", whole + b"\0")


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("value", [0, -1, -(2**31), 2**31 - 1, 7919])
def test_absurd_headers(tmp_path, place, value):
    file, *_ = write(tmp_path, 2)
    whole = bytearray(file.read_bytes())
    struct.pack_into("<i", whole, 4 * place, value)
    refusal(file, bytes(whole))


def test_other_files_and_versions_are_named(tmp_path):
    file, config, weights = write(tmp_path, 2, version_1)
    whole = bytearray(file.read_bytes())
    for version in (0, 2, 3, -1):
        struct.pack_into("<i", whole, 4, version)
        assert f"version {version};" in refusal(file, bytes(whole))
    struct.pack_into("<i", whole, 4, 2)
    assert "quantised" in refusal(file, bytes(whole))
    assert "no model of llama2.c" in refusal(file, b"PK\3\4" * 100)
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_llama2c(tmp_path / "absent.bin")


@pytest.mark.parametrize("whole", FILES, ids=["legacy", "version 1"])
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_anywhere(tmp_path, whole, data):
    file = tmp_path / "x.bin"
    file.write_bytes(data.draw(damaged(whole)))
    try:
        checkpoint = open_llama2c(file)
    except ValueError as error:
        assert str(file) in str(error) and "\n" not in str(error)
        return
    check_shapes(checkpoint)
    assert all(len(each.rows.tobytes()) == each.n_bytes for each in checkpoint.stored.values())
