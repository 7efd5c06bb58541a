"""Models that are no Llama as computed here, configs at odds with themselves, odd spellings."""

import json

import numpy as np
import pytest

from llama_np.model import forward
from tests.folders import one_line, refusal, write_config, write_folder
from tests.tiny import random_weights, tiny_config
from weights_tools.formats.config_json import config_to_hugging_face
from weights_tools.load import load_model

SIZES = {
    "hidden_size": 18, "num_hidden_layers": 1, "num_attention_heads": 6, "vocab_size": 53,
    "num_key_value_heads": 2, "intermediate_size": 33, "head_dim": 10,
}  # fmt: skip
OTHERS = {
    "MistralConfig": ({"sliding_window": 4096}, "'mistral'"),
    "MixtralConfig": ({}, "'mixtral'"),
    "Qwen2Config": ({}, "'qwen2'"),
    "Qwen2MoeConfig": ({}, "'qwen2_moe'"),
    "Qwen3Config": ({}, "'qwen3'"),
    "GemmaConfig": ({}, "'gemma'"),
    "Gemma2Config": ({}, "'gemma2'"),
    "Phi3Config": ({}, "'phi3'"),
    "GraniteConfig": ({}, "'granite'"),
    "GPT2Config": ({}, "'gpt2'"),
    "MllamaConfig": ({}, "'mllama'"),
    "Llama4Config": ({}, "'llama4'"),
    "LlamaConfig": ({"attention_bias": True}, "attention_bias = True is not supported"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_architecture(transformers, tmp_path, kind):
    changes, named = OTHERS[kind]
    try:
        theirs = getattr(transformers, kind)(**SIZES | changes)
    except (TypeError, AttributeError):  # sizes that lie deeper
        theirs = getattr(transformers, kind)(**changes)
    theirs.save_pretrained(tmp_path)
    told = refusal("inspect", tmp_path)
    assert named in told and str(tmp_path / "config.json") in told


@pytest.mark.parametrize(
    "task", ["LlamaForSequenceClassification", "LlamaForTokenClassification", "LlamaModel"]
)
def test_a_llama_for_another_task(transformers, twin, tmp_path, task):
    described = transformers.LlamaConfig(**config_to_hugging_face(tiny_config()))
    getattr(transformers, task)(described).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"predicts tokens .*\['{task}'\]") as error:
        load_model(tmp_path)
    assert "config.json" in one_line(error)


def test_biases_that_the_config_does_not_tell(transformers, tmp_path):
    """Qwen's under the name of a Llama."""
    described = transformers.Qwen2Config(**SIZES | {"hidden_size": 24, "head_dim": 4})
    transformers.Qwen2ForCausalLM(described).save_pretrained(tmp_path)
    write_config(tmp_path, tiny_config(n_layers=1, dim=24, head_dim=4))
    told = refusal("verify", tmp_path)
    assert "self_attn.k_proj.bias is no part of a Llama with this config" in told


# --- configs at odds with themselves ---

LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}  # fmt: skip
CONTRADICTIONS = {
    "heads that cannot share": ({"num_key_value_heads": 4}, "6 query heads cannot share 4"),
    "no key-value heads": ({"num_key_value_heads": 0}, "n_kv_heads must be a positive int, got 0"),
    "no width": ({"head_dim": 0}, "head_dim must be a positive int, got 0"),
    "an odd width": ({"head_dim": 5}, "head_dim must be even"),
    "heads that are none": ({"num_attention_heads": [6]}, "n_heads must be a positive int"),
    "an endless number": ({"rms_norm_eps": float("inf")}, "norm_eps must be at most 1e+15"),
    "too large a number": ({"rope_theta": 10**400}, "rope_theta must be at most 1e+15"),
    "tied or not": ({"tie_word_embeddings": "false"}, "must be true or false, got 'false'"),
    "scaling that is none": ({"rope_scaling": "llama3"}, "rope scaling as an object"),
    "no scale": ({"rope_scaling": LLAMA3 | {"factor": None}}, "factor must be a positive float"),
    "a scale of 0": ({"rope_scaling": LLAMA3 | {"factor": 0}}, "factor must be a positive float"),
    "slow above fast": ({"rope_scaling": LLAMA3 | {"low_freq_factor": 4.0}},
                        "low_freq_factor must be below high_freq_factor, got 4.0 and 4.0"),
    "half a position": ({"rope_scaling": LLAMA3 | {"original_max_position_embeddings": 0.5}},
                        "original_context_length must be a positive int, got 0.5"),
    "yarn": ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope scaling of type 'yarn'"),
    "linear": ({"rope_scaling": {"type": "linear", "factor": 4.0}}, "of type 'linear'"),
    "no type": ({"rope_scaling": {"factor": 4.0}}, "type 'default' does not know 'factor'"),
    "one for each layer": ({"rope_scaling": {"full_attention": LLAMA3}},
                           "type 'default' does not know 'full_attention'"),
    "part of a head": ({"rope_scaling": LLAMA3 | {"partial_rotary_factor": 0.5}},
                       "partial_rotary_factor = 0.5 is not supported"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_config_at_odds_with_itself(tmp_path, house, case):
    changes, message = CONTRADICTIONS[case]
    write_folder(tmp_path, *house)
    write_config(tmp_path, house[0], **changes)
    told = refusal("inspect", tmp_path)
    assert message in told and str(tmp_path / "config.json") in told


def test_two_spellings_at_odds(transformers, torch, tmp_path):
    """transformers follows the older one; so do we."""
    config = tiny_config(rope_scaling=None)
    write_folder(tmp_path, config, random_weights(config, np.float32))
    write_config(tmp_path, config, rope_scaling=LLAMA3, rope_theta=77.0)
    theirs = transformers.AutoConfig.from_pretrained(tmp_path).rope_parameters
    ours = load_model(tmp_path).config
    assert (theirs["factor"], theirs["rope_theta"]) == (8.0, 77.0)
    assert (ours.rope_scaling.factor, ours.rope_theta) == (8.0, 77.0)


# --- configs that transformers opens ---

ORIGINAL = "original_max_position_embeddings"
WITHOUT_ORIGINAL = {key: value for key, value in LLAMA3.items() if key != ORIGINAL}
READ_ALIKE = {
    "the context before scaling outside": {"rope_scaling": LLAMA3, ORIGINAL: 32},
    "only outside": {"rope_scaling": WITHOUT_ORIGINAL, ORIGINAL: 32},
    "nowhere": {"rope_scaling": WITHOUT_ORIGINAL, "max_position_embeddings": 48},
    "with a point": {"rope_scaling": LLAMA3 | {ORIGINAL: 128.0}},
    "a key without use": {"rope_scaling": LLAMA3 | {"attention_factor": 2.0, "beta_fast": 3}},
    "no architecture": {"architectures": []},
    "yarn that scales nothing": {"rope_scaling": {"rope_type": "yarn", "factor": 1.0, ORIGINAL: 9}},
    "linear that scales nothing": {"rope_scaling": {"type": "linear", "factor": 1.0}},
}


@pytest.mark.parametrize("case", READ_ALIKE)
def test_a_config_as_transformers_reads_it(transformers, torch, tmp_path, case):
    config = tiny_config(rope_scaling=None, context_length=256)
    write_folder(tmp_path, config, random_weights(config, np.float32))
    write_config(tmp_path, config, **READ_ALIKE[case])
    values = json.loads((tmp_path / "config.json").read_text())
    if "rope_scaling" in READ_ALIKE[case]:
        del values["rope_parameters"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ours, ids = load_model(tmp_path, "float32"), np.arange(40) % config.vocab_size
    with torch.no_grad():
        expected = theirs(torch.tensor(ids[None])).logits[0].numpy()
    np.testing.assert_allclose(
        forward(ours.weights, ours.config, ids),
        expected,
        rtol=0,
        atol=2e-5 * np.abs(expected).max(),
    )
