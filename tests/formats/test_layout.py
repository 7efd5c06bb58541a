"""The name table, the order of rows, and numbers: what we write transformers reads."""

import numpy as np
import pytest

from llama_np.model import forward
from llama_np.tokenizer import BPETokenizer
from llama_np.weights import shapes
from tests.checks import agree, agree_by_name
from tests.folders import as_stored, from_hugging_face, to_hugging_face
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools.formats.safetensors_file import map_tensors
from weights_tools.layout import hugging_face_name
from weights_tools.lazy_matrix import narrow_bf16, widen_bf16
from weights_tools.load import load_model
from weights_tools.save import save_model

TOKENIZER = BPETokenizer(
    {bytes([byte]): byte for byte in range(256)}, ["<|begin_of_text|>", "<|end_of_text|>"]
)


# --- there and back ---


def test_every_name_has_a_place(config):
    names = [hugging_face_name(name) for name in shapes(config)]
    assert len(set(names)) == len(names)


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
    read = map_tensors(tmp_path / "x.safetensors")
    assert read.keys() == saved.keys()
    for name, tensor in saved.items():
        stored_as, array = read[name]
        assert stored_as == {"bfloat16": "BF16"}.get(kind, kind.replace("float", "F"))
        assert np.array_equal(array, tensor.view(torch.uint16) if kind == "bfloat16" else tensor)
