"""Folders that peft writes, in every spelling: the same logits, or refused by name."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llama_np.model import forward
from llama_np.tokenizer import BPETokenizer
from llama_np.training.lora import Lora, Pair, initialize_lora
from tests.checks import agree
from tests.tiny import random_ids, random_weights, tiny_config
from weights_tools import load_model
from weights_tools.commands.convert import convert
from weights_tools.formats.adapter import read_lora, save_lora
from weights_tools.load import open_model
from weights_tools.save import save_model

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

CONFIG = tiny_config(rope_scaling=None)
IDS = random_ids(CONFIG, 12)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    save_model(folder, CONFIG, random_weights(CONFIG), None, bf16=False)
    return folder


def logits(path):
    model = load_model(path)
    return forward(model.weights, model.config, IDS)


def changed(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def theirs(base, tmp_path, torch, transformers):
    """Makes a folder of peft's, and gives it with the logits that peft computes from it."""
    peft = pytest.importorskip("peft")

    def load():
        return transformers.LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)

    def make(**options):
        torch.manual_seed(0)
        options = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear"} | options
        twin = peft.get_peft_model(load(), peft.LoraConfig(**options))
        for name, parameter in twin.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        twin.save_pretrained(tmp_path / "tuned")
        changed(tmp_path / "tuned", base_model_name_or_path=str(base))
        again = peft.PeftModel.from_pretrained(load(), tmp_path / "tuned")
        with torch.inference_mode():
            return tmp_path / "tuned", again(torch.as_tensor(IDS)[None]).logits[0].numpy()

    return make


PATTERNS = {"rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 7, "^model.*0.*v_proj": 3}}
PATTERNS["alpha_pattern"] = {"k_proj": 30, r"layers\.[1-9].*down_proj": 0.5, "1.mlp.up_proj": 9}


@pytest.mark.parametrize(
    "options",
    [
        {"alpha_pattern": PATTERNS["alpha_pattern"]},
        {"rank_pattern": PATTERNS["rank_pattern"]},
        PATTERNS | {"use_rslora": True},
        # of two that match, the first; a pattern begins at a dot, and ends with the name
        {"alpha_pattern": {"self_attn.q_proj": 40, "q_proj": 1, "proj": 100, "mlp": 100}},
        {"init_lora_weights": "eva"},
        {"init_lora_weights": "mica"},
        {"init_lora_weights": "orthogonal", "target_modules": ["q_proj"], "fan_in_fan_out": True},
        {"target_modules": ["q_proj"], "layers_to_transform": [1], "lora_dropout": 0.5},
    ],
    ids=["alpha", "rank", "rslora", "first", "eva", "mica", "orthogonal", "one layer"],
)
def test_the_logits_are_those_of_peft(theirs, options):
    folder, wanted = theirs(**options)
    agree(logits(folder), wanted, 1e-4)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("copies", ["auto", True, False])
def test_a_tuned_output(tied, copies, torch, transformers, tmp_path):
    """peft saves the output's own matrix beside the thin ones, and unties a tied one."""
    peft, config = pytest.importorskip("peft"), tiny_config(rope_scaling=None, tied_output=tied)
    save_model(tmp_path / "base", config, random_weights(config), None, bf16=False)

    def load():
        of = transformers.LlamaForCausalLM.from_pretrained
        return of(tmp_path / "base", dtype=torch.float32)

    options = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "lm_head"])
    twin = peft.get_peft_model(load(), options)
    for name, parameter in twin.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    twin.save_pretrained(tmp_path / "tuned", save_embedding_layers=copies)
    changed(tmp_path / "tuned", base_model_name_or_path="../base")
    again = peft.PeftModel.from_pretrained(load(), tmp_path / "tuned")
    with torch.inference_mode():
        wanted = again(torch.as_tensor(IDS)[None]).logits[0].numpy()
    agree(logits(tmp_path / "tuned"), wanted, 1e-4)
    convert(open_model(tmp_path / "tuned"), tmp_path / "one")
    with torch.inference_mode():
        merged = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "one")
        agree(merged(torch.as_tensor(IDS)[None]).logits[0].float().numpy(), wanted, 3e-2)


@pytest.mark.parametrize("name", ["lm_head", "lm_head.base_layer", "model.embed_tokens"])
def test_another_matrix_beside_the_thin_ones_is_refused(theirs, name):
    folder, _ = theirs(target_modules=["q_proj", "lm_head"], layers_to_transform=None)
    file, name = folder / "adapter_model.safetensors", f"base_model.model.{name}.weight"
    tensors = load_file(file)
    other = np.zeros((CONFIG.vocab_size, CONFIG.dim), np.float32)
    save_file(tensors | {name: other}, file)
    with pytest.raises(ValueError, match=f"{name} is not the matrix of the model") as error:
        load_model(folder)
    assert "merge_and_unload" in str(error.value)


def test_what_is_tuned_beside_the_matrices_is_named(theirs):
    folder, _ = theirs(target_modules=["q_proj", "embed_tokens"])
    with pytest.raises(ValueError, match="embed_tokens.lora_embedding_A' is no LoRA .*; merge it"):
        load_model(folder)


def test_peft_finds_a_base_from_where_one_stands_and_has_defaults(theirs, base, monkeypatch):
    folder, wanted = theirs(r=8, lora_alpha=8, bias="lora_only")
    path = folder / "adapter_config.json"
    values = json.loads(path.read_text())
    del values["r"], values["lora_alpha"]
    path.write_text(json.dumps(values | {"base_model_name_or_path": base.name}))
    with pytest.raises(FileNotFoundError, match="put it there"):
        load_model(folder)
    monkeypatch.chdir(base.parent)
    agree(logits(folder), wanted, 1e-4)


def test_a_pattern_changes_the_logits(theirs):
    folder, wanted = theirs(alpha_pattern={"q_proj": 60, "down_proj": 60})
    changed(folder, alpha_pattern={})
    assert np.abs(logits(folder) - wanted).max() > 0.1


def test_how_the_matrices_began_may_be_spelled_as_one_likes(theirs):
    folder, _ = theirs(target_modules=["q_proj"])
    wanted = logits(folder)
    for beginning in ("gaussian", "Gaussian", "EVA"):
        changed(folder, init_lora_weights=beginning)
        assert np.array_equal(logits(folder), wanted)


@pytest.mark.parametrize("beginning", ["pissa", "pissa_niter_4", "olora", "loftq"])
def test_a_beginning_that_changes_the_model_is_refused(theirs, beginning):
    folder, _ = theirs(target_modules=["q_proj"])
    changed(folder, init_lora_weights=beginning)
    with pytest.raises(ValueError, match=f"init_lora_weights = '{beginning}' changes the weights"):
        load_model(folder)


@pytest.fixture
def tuned(base, tmp_path):
    """A folder of ours."""
    rng = np.random.default_rng(0)
    lora = initialize_lora(CONFIG, 2, rng).map(lambda x: rng.standard_normal(x.shape) / 10)
    save_lora(tmp_path / "tuned", lora, CONFIG, str(base))
    return tmp_path / "tuned"


@pytest.mark.parametrize(
    "change",
    [
        {"use_dora": True},
        {"use_qalora": True},
        {"lora_bias": True},
        {"bias": "some"},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [1, 2]},
        {"layer_replication": [[0, 2], [1, 2]]},
        {"alora_invocation_tokens": [5]},
        {"target_parameters": ["x"]},
        {"kasa_config": {"beta": 1}},
        {"init_lora_weights": "corda"},
        {"init_lora_weights": "lora_ga"},
        {"init_lora_weights": 7},
        {"peft_type": "IA3"},
        {"peft_type": "LOHA"},
        {"a_key_of_tomorrow": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_no_plain_lora_is_refused_by_name(tuned, change):
    changed(tuned, **change)
    (key, value), *_ = change.items()
    with pytest.raises(ValueError) as refusal:
        load_model(tuned)
    assert f"adapter_config.json: {key} = {value!r}" in str(refusal.value)


def test_dora_is_named_though_its_tensors_come_first(theirs):
    folder, _ = theirs(use_dora=True, target_modules=["q_proj"])
    with pytest.raises(ValueError, match="use_dora = True is not supported"):
        load_model(folder)


@pytest.mark.parametrize(
    "change",
    [{"a_key_of_tomorrow": None}, {"modules_to_save": []}, {"use_dora": False}, {"revision": "x"}],
)
def test_what_is_switched_off_changes_nothing(tuned, change):
    before = logits(tuned)
    changed(tuned, **change)
    assert np.array_equal(logits(tuned), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha_pattern": {"(": 3}}, "alpha_pattern: .* is no regular expression"),
        ({"alpha_pattern": [1]}, "alpha_pattern: expected names and numbers"),
        ({"alpha_pattern": {"q_proj": 0}}, "two numbers above 0, in the patterns too; got 0"),
        ({"alpha_pattern": {"q_proj": float("nan")}}, "in the patterns too; got nan"),
        ({"rank_pattern": {"q_proj": True}}, "in the patterns too; got True"),
        ({"rank_pattern": {"q_proj": 3}}, r"q_proj.lora_A.weight of shape \(2, 18\) has not the r"),
        ({"r": 3}, "has not the rank 3 of adapter_config.json"),
    ],
)
def test_numbers_that_cannot_be(tuned, change, message):
    changed(tuned, **change)
    with pytest.raises(ValueError, match=message):
        load_model(tuned)


def test_pairs_of_several_ranks_come_back(tuned, tmp_path, base):
    """As when preferences are learned from a folder with patterns."""
    lora = read_lora(tuned, CONFIG)
    wide = lora.pairs["layers.1.wv"]
    pairs = dict(lora.pairs)
    pairs["layers.1.wv"] = Pair(np.tile(wide.a, 2), np.tile(wide.b, (2, 1)))
    save_lora(tmp_path / "again", Lora(pairs, lora.scale), CONFIG, str(base))
    again = read_lora(tmp_path / "again", CONFIG)
    assert again.scale == lora.scale and again.pairs["layers.1.wv"].a.shape[1] == 4
    for name, pair in again.pairs.items():
        assert np.array_equal(pair.a @ pair.b, pairs[name].a @ pairs[name].b)


def test_matrices_in_the_folder_of_a_model(tuned, base, torch, transformers):
    """As transformers reads the two: beside the model that lies there, not the one named."""
    pytest.importorskip("peft")
    wanted = logits(tuned)
    for file in base.iterdir():
        (tuned / file.name).write_bytes(file.read_bytes())
    changed(tuned, base_model_name_or_path="somewhere/else")
    assert np.array_equal(logits(tuned), wanted)
    twin = transformers.AutoModelForCausalLM.from_pretrained(tuned, dtype=torch.float32)
    with torch.inference_mode():
        agree(wanted, twin(torch.as_tensor(IDS)[None]).logits[0].numpy(), 1e-4)


def test_adapters_in_a_ring(tuned):
    changed(tuned, base_model_name_or_path=".")
    with pytest.raises(ValueError, match="the adapters stand in a ring"):
        load_model(tuned)


def test_matrices_that_are_a_link_out_of_the_folder(tuned, tmp_path):
    file = tuned / "adapter_model.safetensors"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="links out of the folder; refused"):
        open_model(tuned)


def test_matrices_in_a_pickle(tuned):
    (tuned / "adapter_model.safetensors").rename(tuned / "adapter_model.bin")
    with pytest.raises(FileNotFoundError, match="adapter_model.bin is a pickle, which is not read"):
        load_model(tuned)


def test_a_tokenizer_of_its_own_goes_along(tmp_path):
    """Not that of the model beside it."""
    config = tiny_config(vocab_size=260)
    bytes_ = {bytes([byte]): byte for byte in range(256)}
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|new|>"]
    weights = random_weights(config, np.float32)
    save_model(tmp_path / "base", config, weights, BPETokenizer(bytes_, names[:3]))
    rng = np.random.default_rng(0)
    save_lora(tmp_path / "tuned", initialize_lora(config, 2, rng), config, "../base")
    from weights_tools.tokenizers import save_tokenizer

    save_tokenizer(BPETokenizer(bytes_, names), tmp_path / "tuned")
    convert(open_model(tmp_path / "tuned"), tmp_path / "merged")
    assert load_model(tmp_path / "merged").tokenizer.special_tokens["<|new|>"] == 259


WORDS = ["LORA", "pissa", "gaussian", "none", ".", "q_proj", "(", "(?P<a>", "a{9999999999}"]
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = ["peft_type", "base_model_name_or_path", "r", "lora_alpha", "rank_pattern", "alpha_pattern"]
KEYS += ["use_rslora", "init_lora_weights", "bias", "use_dora", "modules_to_save", "new"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.dictionaries(st.sampled_from(KEYS), ANY, min_size=1, max_size=3))
def test_any_values_are_followed_or_refused(tuned, changes):
    path = tuned / "adapter_config.json"
    before = path.read_text()
    try:
        changed(tuned, **changes)
        open_model(tuned)
    except (ValueError, OSError) as error:
        assert "\n" not in str(error) and len(str(error)) < 600
    finally:
        path.write_text(before)
