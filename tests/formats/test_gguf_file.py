"""GGUF as the package writes it: config, arrays and logits come back; damage is named."""

import math
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from llama_np.model import forward
from llama_np.rope import RopeScaling
from llama_np.weights import Weights, shapes
from tests.checks import agree
from tests.damage import damaged
from tests.llama_cpp import rope_factors, stored_as, tensors_of, write
from tests.tiny import random_config, random_ids, random_weights, tiny_config
from weights_tools.formats import gguf_file
from weights_tools.formats.gguf_blocks import kind_of
from weights_tools.formats.gguf_config import with_scaling
from weights_tools.formats.gguf_file import Dequantized, open_gguf
from weights_tools.formats.gguf_header import read_header
from weights_tools.load import open_model
from weights_tools.opened import as_weight, check_shapes

pytest.importorskip("hypothesis")
gguf = pytest.importorskip("gguf")
from gguf.quants import dequantize, quantize  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

Type = gguf.GGMLQuantizationType
LLAMA_3_1, LLAMA_3_2 = RopeScaling(8.0, 1.0, 4.0, 8192), RopeScaling(32.0, 1.0, 4.0, 8192)
WIDE = {"dim": 768, "n_layers": 1, "n_heads": 6, "n_kv_heads": 2, "head_dim": 128,
        "ffn_width": 256, "rope_scaling": None, "rope_theta": 500000.0}  # fmt: skip
# Types that the package can widen but not make, and where the float16 scales of a block lie
SCALES = {
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ4_NL": (0,), "IQ4_XS": (0,), "IQ3_S": (0,), "IQ2_XXS": (0,), "IQ1_S": (0,),
}  # fmt: skip
CAN_QUANTIZE = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def wide_model():
    """Rows of 256 and 768 numbers, which every block divides; weights as small as rows are long.

    With larger ones the pattern of attention would be 0 and 1, and magnify rounding.
    """
    config = tiny_config(**WIDE)
    weights = random_weights(config, np.float32)
    return config, weights.map(lambda w: w * np.float32(0.2) if w.ndim == 2 else w)


def weights_of(checkpoint, memory="float32"):
    check_shapes(checkpoint)
    return Weights.from_named(
        {name: as_weight(checkpoint, name, memory) for name in checkpoint.stored}
    )


def logits_of_transformers(torch, twin, config, weights, ids):
    with torch.no_grad():
        return twin.hugging_face_twin(config, weights)(torch.tensor(ids)[None]).logits[0]


def refused(path, match, error=ValueError):
    with pytest.raises(error, match=match) as caught:
        open_gguf(path)
    text = str(caught.value)
    assert "\n" not in text and path.name in text


@pytest.fixture
def tiny(tmp_path):
    """A config, its tensors, and where to write them."""
    config = tiny_config(rope_scaling=LLAMA_3_1, n_layers=1)
    return tmp_path / "m.gguf", config, tensors_of(config, random_weights(config, np.float32))


# --- config, arrays and logits come back ---


@pytest.mark.parametrize("seed", range(12))
def test_config_and_logits(twin, torch, tmp_path, seed):
    scaling = (None, LLAMA_3_1, LLAMA_3_2)[seed // 2 % 3]
    config = random_config(seed)
    config = type(config)(**vars(config) | {"rope_scaling": scaling})
    weights = random_weights(config, np.float32, seed)
    tensors = tensors_of(config, weights)
    checkpoint = open_gguf(write(tmp_path / "m.gguf", config, tensors))
    assert checkpoint.config == config
    assert checkpoint.stored.keys() == shapes(config).keys()
    ours = weights_of(checkpoint)
    for name, array in weights.named():
        assert np.array_equal(dict(ours.named())[name], array), name
    ids = random_ids(config, 9)
    theirs = logits_of_transformers(torch, twin, config, weights, ids)
    agree(forward(ours, config, ids), theirs, 1e-4)


@pytest.mark.parametrize("kind, dtype", [("F32", "f4"), ("F16", "f2"), ("BF16", "u2")])
def test_unquantised_arrays_are_mapped_as_they_are(tiny, kind, dtype):
    path, config, tensors = tiny
    checkpoint = open_gguf(write(path, config, tensors, stored_as(kind)))
    for stored in checkpoint.stored.values():
        expected, its_kind = stored_as(kind)(tensors[stored.name])
        assert stored.kind == its_kind.name and stored.file == path
        assert isinstance(stored.rows, np.memmap)
        assert stored.rows.shape == tensors[stored.name].shape
        assert stored.rows.dtype == (dtype if stored.rows.ndim == 2 else "f4")
        assert stored.rows.tobytes() == expected.tobytes()
        assert stored.n_bytes == expected.nbytes


def random_blocks(rng, shape, kind):
    """Valid blocks of a type: any bytes, but scales of a size as trained weights have."""
    numbers, n_bytes = gguf.GGML_QUANT_SIZES[Type[kind]]
    blocks = rng.integers(0, 256, (shape[0], shape[1] // numbers, n_bytes), np.uint8)
    largest = np.abs(dequantize(with_scales(blocks, kind, 1.0), Type[kind])).max()
    return with_scales(blocks, kind, 0.2 / largest).reshape(shape[0], -1)


def with_scales(blocks, kind, scale):
    for at in SCALES[kind]:
        blocks[..., at : at + 2] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
    return blocks


@pytest.mark.parametrize("kind", [*CAN_QUANTIZE, *SCALES])
def test_logits_of_quantised_weights(twin, torch, tmp_path, kind):
    config, weights = wide_model()
    tensors = tensors_of(config, weights)
    rng = np.random.default_rng(0)

    def store(array):
        if kind in CAN_QUANTIZE or array.ndim == 1:
            return stored_as(kind)(array)
        return random_blocks(rng, array.shape, kind), Type[kind]

    checkpoint = open_gguf(write(tmp_path / "m.gguf", config, tensors, store))
    assert checkpoint.config == config
    kinds = {stored.kind for stored in checkpoint.stored.values()}
    assert kinds == {kind, "F32"}
    weights = weights_of(checkpoint)
    ids = random_ids(config, 5)
    theirs = logits_of_transformers(torch, twin, config, weights, ids)
    agree(forward(weights, config, ids), theirs, 1e-4)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "TQ2_0"])
def test_matrices_stream_from_the_file(tmp_path, kind):
    config, weights = wide_model()
    path = write(tmp_path / "m.gguf", config, tensors_of(config, weights), stored_as(kind))
    checkpoint = open_gguf(path)
    rng = np.random.default_rng(0)
    for name in checkpoint.stored:
        mapped, whole = (as_weight(checkpoint, name, memory) for memory in ("mapped", "float32"))
        if whole.ndim == 2 and name != "embedding":
            assert not isinstance(mapped, np.ndarray), name
            x = rng.standard_normal((3, len(whole)), np.float32)
            agree(x @ mapped, x @ whole, 1e-4, name)
    ids = np.array([[3, 52], [0, 3]])
    agree(as_weight(checkpoint, "embedding", "mapped")[ids], weights_of(checkpoint).embedding[ids])


def test_q8_0_is_close_to_what_was_quantised(tmp_path):
    """Each number is off by half a step at most: the largest of its block / 127 / 2.

    The step itself is rounded to float16, which moves a number by 2**-11 of itself at most. For
    normal numbers, whose largest of 32 is about 2.2 deviations, that is an error of
    2.2 / 127 / sqrt(12) = 0.5% of their own size; behind a handful of products it adds up to
    1 to 2% of the logits, so 3% is the limit.
    """
    config, weights = wide_model()
    tensors = tensors_of(config, weights)
    checkpoint = open_gguf(write(tmp_path / "m.gguf", config, tensors, stored_as("Q8_0")))
    for stored in checkpoint.stored.values():
        if stored.kind == "Q8_0":
            blocks = tensors[stored.name].reshape(-1, 32)
            largest = np.abs(blocks).max(axis=1, keepdims=True)
            error = np.abs(stored.rows[:].reshape(-1, 32) - blocks)
            assert (error <= largest * (1 / 254 + 2**-11) * (1 + 1e-6)).all(), stored.name
            assert stored.n_bytes == blocks.size // 32 * 34
    ids = random_ids(config, 5)
    exact = forward(weights, config, ids)
    error = forward(weights_of(checkpoint), config, ids) - exact
    assert 0.001 < np.sqrt((error**2).mean() / (exact**2).mean()) < 0.03


@pytest.mark.parametrize("kind", [*CAN_QUANTIZE, *SCALES, "IQ1_M", "TQ1_0", "TQ2_0", "MXFP4"])
def test_rows_are_widened_when_asked_for(kind):
    numbers, n_bytes = gguf.GGML_QUANT_SIZES[Type[kind]]
    blocks = np.random.default_rng(0).integers(0, 256, (37, 3 * n_bytes), np.uint8)  # NaN too
    rows = Dequantized(blocks, kind_of(Type[kind]), (37, 3 * numbers))
    with np.errstate(all="ignore"):
        whole = dequantize(blocks, Type[kind])
    assert whole.shape == rows.shape
    for asked in (
        slice(None), slice(5, 22), slice(36, 99), slice(4, 4), slice(None, None, 7), 3,
        np.array([8, 0, 8]), np.array([[1, 2], [30, 1]]), np.array([], np.int64),
    ):  # fmt: skip
        got = rows[asked]
        assert got.dtype == np.float32 and got.shape == whole[asked].shape
        assert np.array_equal(got, whole[asked], equal_nan=True), asked


def test_the_header_is_what_the_package_reads(tiny):
    path, config, tensors = tiny
    values = {"uint8": 255, "int8": -3, "uint16": 65535, "int16": -300, "uint32": 2**32 - 1,
              "int32": -70000, "uint64": 2**64 - 1, "int64": -(2**63), "float32": 0.25,
              "float64": 1e-300, "bool": True, "string": "né"}  # fmt: skip

    def change(writer):
        for kind, value in values.items():
            getattr(writer, f"add_{kind}")(f"x.{kind}", value)
        writer.add_array("x.bools", [True, False])
        writer.add_array("x.words", ["a", "bc", "é"])

    theirs = gguf.GGUFReader(write(path, config, tensors, change=change))
    ours = read_header(memoryview(np.memmap(path, np.uint8, "r")))
    assert {f"x.{kind}": value for kind, value in values.items()}.items() <= ours.metadata.items()
    fields = {k: f.contents() for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    eps = "llama.attention.layer_norm_rms_epsilon"  # in the package 9.999999747378752e-06
    assert ours.metadata[eps] == 1e-05 != fields[eps] == np.float32(1e-05)
    assert ours.metadata | {eps: fields[eps]} == fields
    for our, their in zip(ours.tensors, theirs.tensors, strict=True):
        assert our.name == their.name and our.shape == tuple(their.shape[::-1])
        assert our.type == their.tensor_type and our.offset == their.data_offset


def test_what_old_files_leave_out(tiny):
    """The width of heads and the size of the vocabulary follow from the rest."""
    path, _, _ = tiny
    config = tiny_config(dim=60, rope_scaling=None)
    tensors = tensors_of(config, random_weights(config, np.float32))

    def change(writer):
        for key in ("vocab_size", "attention.key_length", "attention.value_length",
                    "rope.dimension_count", "rope.freq_base"):  # fmt: skip
            del writer.kv_data[0][f"llama.{key}"]

    assert open_gguf(write(path, config, tensors, change=change)).config == config


def test_a_value_for_every_block(tiny):
    path, config, tensors = tiny
    repeat = write(path, config, tensors, change=lambda w: w.add_head_count_kv([2, 2, 2]))
    assert open_gguf(repeat).config == config
    differ = write(path, config, tensors, change=lambda w: w.add_head_count_kv([2, 1]))
    refused(differ, "llama.attention.head_count_kv differs from block to block")


# --- rope scaling, which GGUF keeps as a tensor of divisors ---


@pytest.mark.parametrize("width", [4, 6, 8, 64, 80, 128])
@pytest.mark.parametrize("theta", [10000.0, 500000.0, 1e6])
@pytest.mark.parametrize("factor", [2.0, 8.0, 16.0, 32.0])
def test_rope_scaling_is_found_again(width, theta, factor):
    """In narrow heads no pair may be slow enough for the whole factor: then of known ones only."""
    scaled = tiny_config(
        head_dim=width, rope_theta=theta, rope_scaling=RopeScaling(factor, 1.0, 4.0, 8192)
    )
    plain = tiny_config(head_dim=width, rope_theta=theta, rope_scaling=None)
    divisors = rope_factors(scaled)
    if divisors.max() == factor or factor in (8.0, 32.0) and divisors.max() > 1:
        assert with_scaling(plain, divisors) == scaled
    elif divisors.max() == 1:
        assert with_scaling(plain, divisors) == plain
    else:
        with pytest.raises(ValueError, match="expected the divisors of Llama 3.1's rope scaling"):
            with_scaling(plain, divisors)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f * 1.001,
        lambda f: f[::-1],
        lambda f: f[:-1],
        lambda f: f[None],
        lambda f: np.full_like(f, 8),
        lambda f: np.where(f == 8, np.inf, f),
        lambda f: np.where(f == 8, np.nan, f),
        lambda f: np.where(f == 8, 0, f),
        lambda f: 1 / f,
    ],
)
def test_other_divisors_are_refused(tiny, change):
    path, config, tensors = tiny
    changed = np.ascontiguousarray(change(tensors["rope_freqs.weight"]), np.float32)
    refused(
        write(path, config, tensors | {"rope_freqs.weight": changed}),
        "rope_freqs.weight is not supported: expected the divisors of Llama 3.1's",
    )


def test_divisors_that_divide_nothing(tiny):
    path, config, tensors = tiny
    plain = type(config)(**vars(config) | {"rope_scaling": None})
    ones = {"rope_freqs.weight": np.ones(5, np.float32)}
    assert open_gguf(write(path, config, tensors | ones)).config == plain


# --- what is no Llama, or asks for more ---


@pytest.mark.parametrize("arch", ["qwen2", "mistral3", "gemma", "llama4"])
def test_another_architecture(tiny, arch):
    refused(write(*tiny, arch=arch), f"expected the architecture 'llama', got '{arch}'")


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda w: w.add_expert_count(8), "llama.expert_count = 8: a mixture of experts is not"),
        (lambda w: w.add_sliding_window(4096), "sliding_window = 4096: a sliding window is not"),
        (lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.YARN), "type = 'yarn': this kind"),
        (lambda w: w.add_rope_scaling_factor(4.0), "factor = 4.0: linear rope scaling"),
        (lambda w: w.add_float32("llama.rope.scale_linear", 2.0), "linear rope scaling"),
        (lambda w: w.add_rope_scaling_attn_factors(1.5), "attn_factor = 1.5: scaled rotation"),
        (lambda w: w.add_logit_scale(0.5), "scaled logits"),
        (lambda w: w.add_causal_attention(False), "attention to later tokens"),
        (lambda w: w.add_type("adapter"), "expected a model, got general.type 'adapter'"),
        (lambda w: w.add_value_length(8), "llama.attention.value_length = 8 is not supported"),
        (lambda w: w.add_rope_dimension_count(4), "llama.rope.dimension_count = 4 is not"),
        (lambda w: w.add_head_count(5), "5 query heads cannot share 2"),
        (lambda w: w.add_head_count(0), "n_heads must be a positive int, got 0"),
        (lambda w: w.add_block_count(2), "block_count = 2, but there are tensors of 1 blocks"),
        (lambda w: w.add_block_count(10**4), "but there are tensors of 1 blocks"),
        (lambda w: w.add_block_count(2**32 - 1), "n_layers must be at most 10000"),
        (lambda w: w.add_string("llama.context_length", "x"), "context_length must be a positive"),
        (lambda w: w.add_layer_norm_rms_eps(math.nan), "norm_eps must be a positive float"),
        (lambda w: w.kv_data[0].pop("llama.feed_forward_length"), "no 'llama.feed_forward_length'"),
        (lambda w: w.kv_data[0].pop("general.architecture"), "no 'general.architecture'"),
        (
            lambda w: w.add_uint32("general.alignment", 24),
            "alignment must be a power of two, got 24",
        ),
        (lambda w: w.add_float32("general.alignment", 32.0), "a power of two, got 32.0"),
    ],
)
def test_metadata_that_is_refused(tiny, change, match):
    refused(write(*tiny, change=change), match)


def test_rope_scaling_that_scales_nothing(tiny):
    path, config, tensors = tiny

    def change(writer):
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(1.0)

    assert open_gguf(write(path, config, tensors, change=change)).config == config


@pytest.mark.parametrize(
    "name, shape, match",
    [
        ("blk.0.attn_q.bias", (60,), "'blk.0.attn_q.bias' is no part of a Llama"),
        ("blk.0.ffn_gate_inp.weight", (4, 18), "'blk.0.ffn_gate_inp.weight' is no part of"),
        ("rope_factors_long.weight", (5,), "'rope_factors_long.weight' is no part of"),
        ("blk.x", (5,), "there are tensors of 2 blocks"),
        ("blk.0.ffn_gate_exps.weight", (4, 33, 18), "has shape .4, 33, 18.; no Llama has such a"),
    ],
)
def test_a_tensor_too_many(tiny, name, shape, match):
    path, config, tensors = tiny
    refused(write(path, config, tensors | {name: np.ones(shape, np.float32)}), match)


def test_a_file_without_weights(tiny):
    path, config, _ = tiny
    refused(write(path, config, {}), "token_embd.weight is missing; expected a whole model")


def test_types_that_cannot_be_widened(tiny):
    path, config, tensors = tiny
    integers = np.ones(tensors["token_embd.weight"].shape, np.int8)
    refused(
        write(path, config, tensors | {"token_embd.weight": integers}, lambda a: (a, None)),
        "token_embd.weight: the package gguf cannot widen I8",
    )
    norm = np.ones(32, np.float32)
    refused(
        write(path, config, tensors | {"output_norm.weight": norm},
              lambda a: (quantize(a, Type.Q8_0), Type.Q8_0) if a is norm else (a, None)),
        "output_norm.weight is stored as Q8_0; expected F32",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["F32", "BF16", "F16", "Q4_0", "Q4_1", "Q8_0"])
def test_most_files_need_no_package(tmp_path, monkeypatch, kind):
    config, weights = wide_model()
    path = write(tmp_path / "m.gguf", config, tensors_of(config, weights), stored_as(kind))
    expected = dict(weights_of(open_gguf(path)).named())
    for name in ("gguf", "gguf.quants"):
        monkeypatch.setitem(sys.modules, name, None)
    for name, array in weights_of(open_gguf(path)).named():
        assert np.array_equal(array, expected[name]), name


def test_rare_types_need_the_package(tmp_path, monkeypatch):
    config, weights = wide_model()
    path = write(tmp_path / "m.gguf", config, tensors_of(config, weights), stored_as("Q5_1"))
    for name in ("gguf", "gguf.quants"):
        monkeypatch.setitem(sys.modules, name, None)
    refused(path, r"token_embd.weight is of a type that needs a package .*: pip install gguf")


def test_a_missing_file(tmp_path):
    refused(tmp_path / "no.gguf", "no such file", FileNotFoundError)
    refused(tmp_path, "no such file", FileNotFoundError)


# --- the tokenizer ---


def test_the_tokenizer_is_made_of_the_metadata(tiny, monkeypatch):
    path, config, tensors = tiny
    given_metadata, tokenizer = [], SimpleNamespace(special_tokens={}, vocab_size=9)
    monkeypatch.setattr(
        gguf_file, "tokenizer_from_gguf", lambda m: given_metadata.append(m) or tokenizer
    )
    checkpoint = open_gguf(write(path, config, tensors))
    assert not given_metadata
    assert checkpoint.read_tokenizer() is tokenizer
    assert tokenizer.padded_size == config.vocab_size
    (metadata,) = given_metadata
    assert metadata["tokenizer.ggml.model"] == "gpt2"
    assert metadata["tokenizer.ggml.tokens"] == [f"t{i}é" for i in range(config.vocab_size)]
    assert metadata["tokenizer.ggml.scores"][3] == -1.0
    assert metadata["tokenizer.ggml.bos_token_id"] == 1
    assert metadata["tokenizer.ggml.add_bos_token"] is True


def test_what_the_tokenizer_complains_of_names_the_file(tiny, monkeypatch):
    def complain(metadata):
        raise ValueError("no such tokenizer")

    monkeypatch.setattr(gguf_file, "tokenizer_from_gguf", complain)
    with pytest.raises(ValueError, match="m.gguf: no such tokenizer"):
        open_gguf(write(*tiny)).read_tokenizer()


# --- models in several files ---


@pytest.fixture
def split(tiny):
    path, config, tensors = tiny
    write(path, config, tensors, split_max_tensors=5)
    return [path.with_name(f"m-0000{i}-of-00003.gguf") for i in (1, 2, 3)], config, tensors


def test_parts_are_one_model(split):
    files, config, tensors = split
    checkpoint = open_gguf(files[0])
    assert checkpoint.config == config
    assert checkpoint.stored.keys() == shapes(config).keys()
    assert {stored.file for stored in checkpoint.stored.values()} == set(files)
    for stored in checkpoint.stored.values():
        assert np.array_equal(stored.rows, tensors[stored.name])


def test_parts_that_cannot_be_found(split):
    files, _, _ = split
    match = "one of 3 parts; give the first, .* llama-gguf-split --merge"
    refused(files[1], match)
    refused(files[0].rename(files[0].with_name("renamed.gguf")), match)
    files[0].with_name("renamed.gguf").rename(files[0])
    data = files[2].read_bytes()
    files[2].unlink()
    with pytest.raises(FileNotFoundError, match="no such file: .*m-00003-of-00003.gguf"):
        open_gguf(files[0])
    files[2].write_bytes(data[:-100])
    with pytest.raises(ValueError, match="m-00003-of-00003.gguf: cut off or damaged"):
        open_gguf(files[0])
    files[2].write_bytes(files[1].read_bytes())
    refused(files[0], "stands there twice")


def test_a_file_that_nobody_named_must_not_link_away(split, tmp_path_factory):
    """The first part was named; a part beside it, and the one file of a folder, were not."""
    files, config, _ = split
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    named = elsewhere / "named.gguf"
    (elsewhere / "a").mkdir()
    for file in files:
        (elsewhere / "a" / file.name).symlink_to(file)
    with pytest.raises(ValueError, match="m-00002-of-00003.gguf: links out of the folder"):
        open_gguf(elsewhere / "a" / files[0].name)
    named.symlink_to(write(files[0].with_name("whole.gguf"), config, split[2]))
    assert open_model(named).config == config  # named by its user
    (elsewhere / "b").mkdir()
    named.rename(elsewhere / "b/model.gguf")
    with pytest.raises(ValueError, match="model.gguf: links out of the folder"):
        open_model(elsewhere / "b")


@pytest.mark.parametrize("count", ["3", 3.0, [3], 2**40, -1])
def test_a_damaged_count_of_parts(tiny, count):
    def change(writer):
        kinds = {str: "string", float: "float32", list: "array", int: "int64"}
        getattr(writer, f"add_{kinds[type(count)]}")("split.count", count)
        writer.add_uint16("split.no", 0)

    refused(write(*tiny, change=change), "parts; give the first")


# --- damage ---


def field_of(data, name, which):
    """Where the type or the offset of a tensor stands in a file, or one of its sizes."""
    start = data.index(len(name).to_bytes(8, "little") + name.encode()) + 8 + len(name)
    n_axes = int.from_bytes(data[start : start + 4], "little")
    return start + {"axes": 0, "size": 4, "type": 4 + 8 * n_axes, "offset": 8 + 8 * n_axes}[which]


@pytest.mark.parametrize(
    "name, which, value, match",
    [
        ("blk.0.ffn_up.weight", "type", b"\x63\0\0\0", "is of the unknown type 99; a newer gguf"),
        ("blk.0.ffn_up.weight", "type", b"\x08\0\0\0", "Q8_0 comes in blocks of 32, got rows of 1"),
        ("blk.0.ffn_up.weight", "axes", b"\x09\0\0\0", "has 9 axes"),
        ("blk.0.ffn_up.weight", "size", b"\xff" * 8, "cut off or damaged: blk.0.ffn_up.weight"),
        ("blk.0.ffn_up.weight", "size", bytes(8), "no Llama has such a tensor"),
        ("blk.0.ffn_up.weight", "offset", b"\xff" * 8, "cut off or damaged: blk.0.ffn_up.weight"),
        ("blk.0.ffn_up.weight", "offset", b"\x08" + bytes(7), "what is before it ends at"),
        ("blk.0.ffn_up.weight", "offset", bytes(8), "what is before it ends at"),
        ("llama.vocab_size", "axes", b"\x0d\0\0\0", "metadata of type 13"),
        ("tokenizer.ggml.tokens", "size", b"\x09\0\0\0", "metadata of type 9"),
        ("general.architecture", "size", b"\xff" * 8, "speaks of 18446744073709551615 bytes"),
        ("general.architecture", "size", b"\xff\xff\x3f" + bytes(5), "cut off or damaged"),
    ],
)
def test_a_damaged_field(tiny, name, which, value, match):
    path = write(*tiny)
    data = bytearray(path.read_bytes())
    at = field_of(data, name, which)
    data[at : at + len(value)] = value
    path.write_bytes(data)
    refused(path, match)


@pytest.mark.parametrize(
    "at, value, match",
    [
        (0, b"GGML", "not a GGUF file: it starts with b'GGML'"),
        (4, b"\x01\0\0\0", "version 1; expected little-endian GGUF of version 2 or 3"),
        (4, b"\0\0\0\x03", "big-endian; expected little-endian GGUF of version 2 or 3"),
        (8, b"\xff" * 8, "speaks of 18446744073709551615 tensors"),
        (16, b"\xff" * 8, "speaks of 18446744073709551615 metadata"),
        (16, b"\0\0\x30" + bytes(5), "damaged"),
        (32, b"\xff", "is no UTF-8"),
    ],
)
def test_a_damaged_start(tiny, at, value, match):
    path = write(*tiny)
    data = path.read_bytes()
    path.write_bytes(data[:at] + value + data[at + len(value) :])
    refused(path, match)


def test_names_that_stand_there_twice(tiny):
    path = write(*tiny)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"blk.0.ffn_gate.weight", b"blk.0.attn_out.weight").replace(
        b"blk.0.ffn_norm.weight", b"blk.0.attn_out.weight"))  # fmt: skip
    refused(path, "'blk.0.attn_out.weight' stands there twice")
    path.write_bytes(data.replace(b"tokenizer.ggml.scores", b"tokenizer.ggml.tokens"))
    refused(path, "'tokenizer.ggml.tokens' stands there twice")


def test_version_2_is_read(tiny):
    path, config, tensors = tiny
    data = bytearray(write(path, config, tensors).read_bytes())
    data[4] = 2
    path.write_bytes(data)
    assert open_gguf(path).config == config


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file as bytes, and where to put what is made of it."""
    config = tiny_config(n_layers=1, rope_scaling=LLAMA_3_1, vocab_size=11)
    tensors = tensors_of(config, random_weights(config, np.float32))
    path = write(tmp_path_factory.mktemp("gguf") / "m.gguf", config, tensors)
    return path.read_bytes(), path


def opens_or_is_refused(data, path: Path):
    """Only our errors, of one line; what does open can be read to the end."""
    path.write_bytes(data)
    try:
        checkpoint = open_gguf(path)
    except (ValueError, FileNotFoundError) as error:
        assert type(error) in (ValueError, FileNotFoundError), repr(error)
        assert str(path) in str(error) and "\n" not in str(error), str(error)
        return False
    for stored in checkpoint.stored.values():
        assert len(stored.rows[:].tobytes()) > 0
    return True


def test_files_cut_off_anywhere(good):
    data, path = good
    header = data.index(b"output_norm.weight")
    for length in (*range(0, header + 60, 7), *range(header, len(data) - 31, 997)):
        assert not opens_or_is_refused(data[:length], path), length
    assert opens_or_is_refused(data, path)


FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@FUZZ
@given(st.data())
def test_damaged_files(good, data):
    whole, path = good
    opens_or_is_refused(data.draw(damaged(whole)), path)


@FUZZ
@given(
    st.integers(0, 2000),
    st.sampled_from([b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\x7f" * 8, b"\0\0\x20\0"]),
)
def test_absurd_numbers(good, at, value):
    data, path = good
    opens_or_is_refused(data[:at] + value + data[at + len(value) :], path)


def test_every_byte_of_the_header_flipped(good):
    data, path = good
    for at, bit in product(range(0, data.index(b"output_norm.weight") + 60, 5), (0, 7)):
        changed = bytearray(data)
        changed[at] ^= 1 << bit
        opens_or_is_refused(bytes(changed), path)
