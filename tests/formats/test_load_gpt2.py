"""GPT-2 folders as transformers writes them, and as they lie on the hub."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llama_np.gpt2.model import gpt2_forward
from tests.checks import agree
from tests.folders import one_line
from tests.oracle.test_gpt2 import odd_config, random_weights, twin_of
from weights_tools.formats.gpt2 import load_gpt2
from weights_tools.load import load_model
from weights_tools.tokenizers.gpt2_files import read_vocab_and_merges

DATA = Path(__file__).parents[3] / "shared" / "data"
TEXTS = ("Hello world, it's 2024!", " naïve  café\n\n\tdef f(x): 🙂<|endoftext|>", "a", "   ")


@pytest.fixture
def folder(torch, transformers, tmp_path):
    config = odd_config()
    twin_of(config, random_weights(config, np.float32), torch, transformers).save_pretrained(
        tmp_path
    )
    return tmp_path


def rewrite(folder, change) -> None:
    path = folder / "model.safetensors"
    save_file({n: np.ascontiguousarray(a) for n, a in change(load_file(path)).items()}, path)


def reconfigure(folder, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def check_loaded(folder) -> None:
    config = odd_config()
    loaded, ids = load_gpt2(folder), np.arange(11)
    assert loaded.config == config
    expected = dict(random_weights(config, np.float32).named())
    assert expected.keys() == dict(loaded.weights.named()).keys()
    for name, array in loaded.weights.named():
        assert array.dtype == np.float32
        assert np.array_equal(array, expected[name]), name
    assert gpt2_forward(loaded.weights, config, ids).shape == (11, 53)


def test_a_folder_of_transformers(folder, torch, transformers):
    check_loaded(folder)
    assert load_gpt2(folder).tokenizer is None
    ids = np.arange(11)
    with torch.no_grad():
        model = transformers.GPT2LMHeadModel.from_pretrained(folder)
        theirs = model(torch.tensor(ids)[None]).logits[0]
    loaded = load_gpt2(folder)
    agree(gpt2_forward(loaded.weights, loaded.config, ids), theirs)


def test_names_without_prefix_and_with_masks(folder):
    """As on the hub: openai-community/gpt2."""
    mask = {"h.0.attn.bias": np.tril(np.ones((1, 1, 19, 19), np.float32))}
    rewrite(folder, lambda old: {n.removeprefix("transformer."): a for n, a in old.items()} | mask)
    check_loaded(folder)


def test_an_untied_output(torch, transformers, tmp_path):
    config = odd_config(tied_output=False)
    weights = random_weights(config, np.float32)
    twin_of(config, weights, torch, transformers).save_pretrained(tmp_path)
    loaded = load_gpt2(tmp_path)
    assert loaded.config == config
    assert np.array_equal(loaded.weights.output, weights.output)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"model_type": "llama"}, "expected a GPT-2 .* got 'llama'; load_model reads Llamas"),
        ({"activation_function": "relu"}, "activation_function = 'relu' is not supported"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
        ({"n_layer": 3}, "h.2.ln_1.weight is missing; is the download complete"),
        ({"n_positions": 20}, r"wpe.weight should be \(20, 15\) finite numbers .* got \(19, 15\)"),
        ({"n_head": 4}, "cannot be split evenly over 4 heads"),
        ({"n_head": None}, "n_head must be a positive int, got None"),
        ({"n_embd": None}, "n_embd must be a positive int, got None"),
        ({"layer_norm_epsilon": 0}, "norm_eps must be a positive float, got 0"),
        ({"n_layer": 10**12}, "tensors are too few for the 1000000000000 layers"),
        ({"vocab_size": "53"}, "vocab_size must be a positive int, got '53'"),
    ],
)
def test_what_is_refused(folder, changes, told):
    reconfigure(folder, **changes)
    with pytest.raises(ValueError, match=told) as error:
        load_gpt2(folder)
    assert str(folder) in one_line(error)


def test_a_config_without_a_width_is_refused(folder):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    del values["n_embd"]
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="the config has no 'n_embd'; is this the config of a GPT"):
        load_gpt2(folder)


def test_a_damaged_number_is_refused(folder):
    name = "transformer.wpe.weight"
    rewrite(folder, lambda old: old | {name: np.full_like(old[name], np.nan)})
    with pytest.raises(ValueError, match="finite numbers"):
        load_gpt2(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_gpt2(tmp_path / "nowhere")


def test_load_model_says_that_this_is_no_llama(folder):
    with pytest.raises(ValueError, match="expected a Llama .* got 'gpt2'"):
        load_model(folder)


def test_a_tokenizer_of_two_files(transformers, tmp_path):
    if not (DATA / "gpt2_encoder.json").is_file():
        pytest.skip(f"GPT-2's tokenizer is not at {DATA}")
    (tmp_path / "vocab.json").write_bytes((DATA / "gpt2_encoder.json").read_bytes())
    (tmp_path / "merges.txt").write_bytes((DATA / "gpt2_vocab.bpe").read_bytes())
    ours = read_vocab_and_merges(tmp_path / "vocab.json", tmp_path / "merges.txt")
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    assert ours.vocab_size == 50257
    for text in TEXTS:
        plain = text.replace("<|endoftext|>", "")
        assert ours.encode(plain) == theirs.encode(plain)
        assert ours.decode(ours.encode(plain)) == plain
    assert ours.special_tokens == {"<|endoftext|>": 50256}
    assert ours.encode("Hello world") == [15496, 995]


def test_two_files_that_do_not_fit(tmp_path):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    with pytest.raises(ValueError, match="vocab.json.* is not about tokens"):
        read_vocab_and_merges(tmp_path / "vocab.json", tmp_path / "merges.txt")


def test_a_folder_with_a_tokenizer_of_two_files(folder):
    letters = {letter: i for i, letter in enumerate("abcd")}
    (folder / "vocab.json").write_text(json.dumps(letters | {"ab": 4, "<|endoftext|>": 5}))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    tokenizer = load_gpt2(folder).tokenizer
    assert tokenizer.encode("abcab") == [4, 2, 4]
