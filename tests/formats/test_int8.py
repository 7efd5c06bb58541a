"""int8: half a step of error at most, opened by transformers too, and what it costs is told."""

import json
import re

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llama_np.model import forward
from llama_np.tokenizer import BPETokenizer
from tests.checks import agree
from tests.folders import (
    as_stored,
    command,
    logits_of_transformers,
    refusal,
    write_config,
    write_folder,
)
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools.commands.convert import convert
from weights_tools.commands.quantize import TEXT
from weights_tools.int8 import is_int8, scheme, to_int8
from weights_tools.lazy_matrix import Int8Matrix
from weights_tools.load import load_model, open_model
from weights_tools.save import save_model

UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(params=[False, True], ids=["untied", "tied"])
def quantized(request, tmp_path):
    """A folder in float32, and beside it the same in int8, with what the command has printed."""
    config = tiny_config(tied_output=request.param)
    (tmp_path / "wide").mkdir()
    weights = random_weights(config, np.float32)
    weights.layers[0].w_up[:, 3] = 0  # a row of zeros where it is stored
    write_folder(tmp_path / "wide", config, weights)
    status, out, err = command("quantize", tmp_path / "wide", tmp_path / "small", "--int8")
    assert (status, err) == (
        0, f"wrote {tmp_path / 'small'}; now both are run on a text\n"
    )  # fmt: skip
    return config, weights, tmp_path / "small", out


# --- numbers ---

ROWS = {
    "normal": np.random.default_rng(0).standard_normal((40, 33)),
    "uneven": np.random.default_rng(1).standard_normal((40, 33)) ** 7,
    "one of them large": np.eye(20, 33) * 1e6 + 1e-3,
    "zeros": np.zeros((3, 5)),
    "as large as can be": np.linspace(-3.4e38, 3.4e38, 60).reshape(3, 20),
    "next to nothing": np.linspace(-1, 1, 60).reshape(3, 20) * 1e-38,
    "not even that": np.arange(-30, 30).reshape(3, 20) * 1.4e-45 * 6,
}


@pytest.mark.parametrize("kind", ROWS)
def test_half_a_step_of_error_at_most(kind):
    rows = ROWS[kind].astype(np.float32)
    small, scale = to_int8(rows)
    assert (small.dtype, scale.dtype) == (np.int8, np.float32)
    assert small.shape == rows.shape and scale.shape == rows.shape[:1]
    assert small.min() >= -127 and (scale > 0).all()
    error = np.abs(small * scale[:, None].astype(np.float64) - rows)
    assert (error <= scale[:, None] / 2 * (1 + 1e-5)).all()
    ordinary = np.abs(rows).max(axis=1) > 1e-35
    assert (np.abs(small).max(axis=1)[ordinary] == 127).all()  # no step is wasted


def test_pytorch_rounds_the_same(torch):
    rows = ROWS["normal"].astype(np.float32)
    small, scale = to_int8(rows)
    zeros = torch.zeros(len(rows), dtype=torch.int32)
    theirs = torch.fake_quantize_per_channel_affine(
        torch.tensor(rows), torch.tensor(scale), zeros, 0, -127, 127
    )
    steps = np.abs(theirs.numpy() - small * scale[:, None]) / scale[:, None]
    assert steps.max() < 1.001 and (steps > 0.5).mean() < 1e-3  # a tie may go the other way


# --- the folder ---


def test_it_loads_by_itself(quantized):
    config, weights, folder, _ = quantized
    described = json.loads((folder / "config.json").read_text())
    assert described["quantization_config"] == scheme(config.tied_output)
    small = load_model(folder)
    assert (small.memory, small.config) == ("mapped", config)
    wide = dict(load_model(folder, memory="float32").weights.named())
    for name, array in small.weights.named():
        before = dict(weights.named())[name]
        if name == "embedding" or before.ndim == 1:
            np.testing.assert_array_equal(np.asarray(array), before, err_msg=name)
            continue
        assert type(array) is Int8Matrix
        np.testing.assert_array_equal(np.asarray(array), wide[name], err_msg=name)
        step = np.abs(before).max(axis=0) / 127
        assert (np.abs(np.asarray(array) - before) <= step / 2 * 1.0001).all(), name


def test_transformers_opens_it(transformers, torch, quantized):
    pytest.importorskip("compressed_tensors")
    config, _, folder, _ = quantized
    ids = random_ids(config, 9)
    theirs = logits_of_transformers(transformers, torch, folder, ids)
    for mode in ("float32", "mapped"):
        agree(forward(load_model(folder, mode).weights, config, ids), theirs, 1e-4, mode)


def test_int8_stays_as_it_is(quantized, tmp_path):
    _, _, folder, _ = quantized
    convert(open_model(folder), tmp_path / "again")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_once_is_enough(quantized, tmp_path):
    _, _, folder, _ = quantized
    told = refusal("quantize", folder, tmp_path / "again", "--int8")
    assert f"{folder}: is in int8 already" in told


def test_int8_becomes_float_again(quantized, tmp_path):
    config, _, folder, _ = quantized
    convert(open_model(folder), tmp_path / "wide again", "F32")
    ids = random_ids(config, 5)
    old, new = (load_model(f, "float32") for f in (folder, tmp_path / "wide again"))
    assert open_model(new.path).format == "Hugging Face"
    np.testing.assert_array_equal(
        forward(old.weights, config, ids), forward(new.weights, config, ids)
    )


# --- what it costs ---


def test_the_error_of_each_matrix_is_told(quantized):
    _, weights, folder, out = quantized
    after = dict(load_model(folder, "float32").weights.named())
    expected = {}
    for name, before in weights.named():
        if before.ndim == 2 and name != "embedding":
            before = before.astype(np.float64)
            expected[name] = np.linalg.norm(after[name] - before) / np.linalg.norm(before)
    told = dict(re.findall(r"^(\S+) +relative error (\d+\.\d+)%$", out, re.MULTILINE))
    assert list(told) == list(expected)
    for name, error in expected.items():
        assert 0.001 < error < 0.02
        assert abs(float(told[name]) / 100 - error) < 1e-5, name


def test_the_change_of_the_logits_is_told(quantized, twin, torch):
    config, weights, folder, out = quantized
    ids = np.random.default_rng(0).integers(0, config.vocab_size, 32)  # without a tokenizer
    old, new = (
        twin.forward(twin.tensors(w.map(np.float64)), config, ids)["logits"]
        for w in (weights, load_model(folder, "float32").weights)
    )
    moved = (new - old).abs()
    p, q = old.log_softmax(-1), new.log_softmax(-1)
    divergence = torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    same = (old.argmax(-1) == new.argmax(-1)).double().mean()
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", out.split("logits")[1])]
    expected = [32, moved.mean(), moved.max(), old.std(correction=0), 100 * same, divergence.mean()]
    digits = np.array([1, 1e-4, 1e-4, 1e-4, 1, 1e-5])  # to which each is rounded
    assert (np.abs(numbers - np.array(expected, float)) < 0.6 * digits).all()
    assert 0 < moved.mean() < 0.1 * old.std()


def test_a_tokenizer_gives_a_text_to_compare_on(tmp_path):
    config = tiny_config(vocab_size=257)
    tokenizer = BPETokenizer({bytes([byte]): byte for byte in range(256)}, ["<|begin_of_text|>"])
    save_model(tmp_path / "wide", config, random_weights(config, np.float32), tokenizer)
    status, out, _ = command("quantize", tmp_path / "wide", tmp_path / "small", "--int8")
    assert status == 0 and f"logits over {1 + len(TEXT)} positions" in out


def test_a_short_context_is_enough(tmp_path):
    config = tiny_config(context_length=5)
    (tmp_path / "wide").mkdir()
    write_folder(tmp_path / "wide", config, random_weights(config, np.float32))
    status, out, _ = command("quantize", tmp_path / "wide", tmp_path / "small", "--int8")
    assert status == 0 and "logits over 5 positions" in out


# --- what is refused ---


def changed(**changes):
    quantization = scheme(tied_output=False)
    group = quantization["config_groups"]["group_0"]
    weights = group["weights"]
    for where in (quantization, group, weights):
        where.update({key: changes.pop(key) for key in [*changes] if key in where})
    return quantization | changes


TWO_GROUPS = dict.fromkeys("ab", scheme(tied_output=False)["config_groups"]["group_0"])
OTHERS = {
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "gptq": {"quant_method": "gptq", "bits": 4},
    "awq": {"quant_method": "awq", "bits": 4},
    "fp8": {"quant_method": "fp8", "activation_scheme": "dynamic"},
    "fbgemm_fp8": {"quant_method": "fbgemm_fp8"},
    "pack-quantized": changed(format="pack-quantized", num_bits=4),
    "float-quantized": changed(format="float-quantized", type="float"),
    "int-quantized": changed(input_activations={"num_bits": 8, "dynamic": True}),
    "not supported": changed(strategy="group"),
    "only int8": changed(symmetric=False),
    "with one scale": changed(kv_cache_scheme={"num_bits": 8}),
    "nothing else": changed(transform_config={"config_groups": {"a": 1}}),
    "compressed-tensors": changed(config_groups={}),
    "names no method": {"bits": 4},
    "quantization_config = 'int8'": "int8",
    "unquantised": changed(config_groups=[3]),
    "int8 with one scale": changed(config_groups=TWO_GROUPS),
    "quantize it here": changed(weights=None),
}


@pytest.mark.parametrize("named", OTHERS)
def test_other_schemes_are_refused_by_name(tmp_path, house, named):
    write_folder(tmp_path, *house)
    write_config(tmp_path, house[0], quantization_config=OTHERS[named])
    told = refusal("inspect", tmp_path)
    assert named in told and str(tmp_path / "config.json") in told


def test_what_compressed_tensors_says_of_itself():
    """The package fills in defaults; they change nothing."""
    compressed_tensors = pytest.importorskip("compressed_tensors")
    theirs = compressed_tensors.QuantizationConfig(**scheme(tied_output=True))
    described = json.loads(theirs.model_dump_json())
    assert described["config_groups"]["group_0"]["weights"]["strategy"] == "channel"
    assert is_int8(described)


SCALES = {
    "missing": (lambda t: t.pop(f"{UP}_scale"), f"{UP}_scale is missing"),
    "too many": (lambda t: t.update({f"{UP}_scale": np.ones((34, 1), np.float32)}),
                 "should be a float for each row of (33, 18), got (34, 1) of F32"),
    "one for all": (lambda t: t.update({f"{UP}_scale": np.ones((), np.float32)}), "got () of F32"),
    "of whole numbers": (lambda t: t.update({f"{UP}_scale": np.ones((33, 1), np.int8)}),
                         "got (33, 1) of I8"),
    "of no matrix": (lambda t: t.update({"model.norm.weight": np.ones(18, np.int8),
                                         "model.norm.weight_scale": np.ones(18, np.float32)}),
                     "should be a float for each row of (18,)"),
    "of no number": (lambda t: t.update({UP: np.ones((), np.int8)}), "for each row of ()"),
    "of another": (lambda t: t.update({"x.weight_scale": np.ones(3, np.float32)}), "no part of"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SCALES)
def test_scales_that_do_not_fit(tmp_path, house, kind):
    change, message = SCALES[kind]
    write_int8(tmp_path, house, change)
    told = refusal("verify", tmp_path)
    assert message in told and str(tmp_path / "model.safetensors") in told


def test_scales_of_other_kinds_of_float(tmp_path, house):
    config, _ = house
    write_int8(tmp_path, house, lambda t: None)
    ids = random_ids(config, 5)
    exact = forward(load_model(tmp_path).weights, config, ids)
    name = f"{UP}_scale"
    write_int8(tmp_path, house, lambda t: t.update({name: t[name].astype(np.float64).ravel()}))
    np.testing.assert_array_equal(forward(load_model(tmp_path).weights, config, ids), exact)


def write_int8(folder, house, change):
    """An int8 folder by other means than ours."""
    config, weights = house
    tensors = {}
    for name, array in as_stored(config, weights).items():
        tensors[name] = np.array(array, np.float32)
        if array.ndim == 2 and "embed" not in name:
            scale = np.abs(array).max(1, keepdims=True) / 127
            tensors[name] = np.round(array / scale).astype(np.int8)
            tensors[f"{name}_scale"] = scale.astype(np.float32)
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    write_config(folder, config, quantization_config=scheme(config.tied_output))
    assert load_file(folder / "model.safetensors").keys() == tensors.keys()
