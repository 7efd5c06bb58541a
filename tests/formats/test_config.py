"""The numbers of the published models, from both kinds of config; what is no Llama is refused."""

import dataclasses
import json

import numpy as np
import pytest

from llama_np.config import LLAMA_3_1_SCALING
from llama_np.rope import RopeScaling, rope_frequencies
from tests.checks import agree
from tests.tiny import tiny_config
from weights_tools.formats.config_json import (
    config_from_hugging_face,
    config_from_meta,
    config_to_hugging_face,
    read_config,
)

LLAMA_2_7B = {
    "dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-05,
    "vocab_size": -1,
}  # fmt: skip
LLAMA_3_8B = {
    "dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256,
    "multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05, "rope_theta": 500000.0,
}  # fmt: skip
LLAMA_3_1_8B = LLAMA_3_8B | {"use_scaled_rope": True}
ROPE_3_2 = {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
LLAMA_3_2_1B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
    "intermediate_size": 8192, "vocab_size": 128256, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "rope_scaling": ROPE_3_2,
    "tie_word_embeddings": True, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
}  # fmt: skip
NEWER_SPELLING = {k: v for k, v in LLAMA_3_2_1B.items() if k not in ("rope_theta", "rope_scaling")}
NEWER_SPELLING["rope_parameters"] = ROPE_3_2 | {"rope_theta": 500000.0}


# --- Meta's params.json ---


def test_llama_2_7b():
    config = config_from_meta(LLAMA_2_7B, vocab_size=32000)
    assert config.count_parameters() == 6_738_415_616
    assert (config.n_kv_heads, config.ffn_width, config.context_length) == (32, 11008, 4096)
    assert (config.rope_theta, config.rope_scaling) == (10000.0, None)


def test_llama_3_8b():
    config = config_from_meta(LLAMA_3_8B)
    assert config.count_parameters() == 8_030_261_248
    assert (config.n_kv_heads, config.group, config.head_dim) == (8, 4, 128)
    assert (config.ffn_width, config.context_length, config.norm_eps) == (14336, 8192, 1e-5)
    assert (config.rope_theta, config.rope_scaling, config.tied_output) == (500000.0, None, False)


def test_code_llama():
    """Meta's file does not tell the context; the converter of transformers goes by rope_theta."""
    config = config_from_meta(LLAMA_2_7B | {"rope_theta": 1e6}, vocab_size=32016)
    assert (config.rope_theta, config.context_length) == (1e6, 16384)


def test_the_parts_of_llama_3_8b():
    config = config_from_meta(LLAMA_3_8B)

    def count(**changes):
        return dataclasses.replace(config, **changes).count_parameters()

    assert count() - count(n_layers=31) == 218_112_000
    assert count() - count(tied_output=True) == 525_336_576
    attention_of_all_heads = (count(n_kv_heads=32) - count()) // 32 + 41_943_040
    assert attention_of_all_heads == 67_108_864


def test_llama_3_1_8b_scales_its_rotation():
    config = config_from_meta(LLAMA_3_1_8B)
    assert config.rope_scaling == LLAMA_3_1_SCALING == RopeScaling(8.0, 1.0, 4.0, 8192)
    assert config.context_length == 131072
    assert config.count_parameters() == 8_030_261_248


def test_what_the_file_leaves_out_can_be_given():
    scaling = RopeScaling(32.0, 1.0, 4.0, 8192)
    config = config_from_meta(
        LLAMA_3_1_8B, rope_scaling=scaling, tied_output=True, context_length=99
    )
    assert (config.rope_scaling, config.tied_output, config.context_length) == (scaling, True, 99)


def test_an_unknown_vocabulary_is_asked_for():
    with pytest.raises(ValueError, match="vocab_size is -1 in this file; give the tokenizer's"):
        config_from_meta(LLAMA_2_7B)


@pytest.mark.parametrize("key", ["dim", "n_layers", "n_heads", "multiple_of", "norm_eps"])
def test_a_key_missing_from_params_is_named(key):
    params = {k: v for k, v in LLAMA_3_8B.items() if k != key}
    with pytest.raises(ValueError, match=f"no '{key}'"):
        config_from_meta(params)


# --- Hugging Face's config.json ---


@pytest.mark.parametrize("values", [LLAMA_3_2_1B, NEWER_SPELLING], ids=["older", "newer"])
def test_llama_3_2_1b_in_both_spellings(values):
    config = config_from_hugging_face(values)
    assert config.count_parameters() == 1_235_814_400
    assert config.tied_output
    assert config.rope_theta == 500000.0
    assert config.rope_scaling == RopeScaling(32.0, 1.0, 4.0, 8192)
    assert (config.group, config.head_dim, config.context_length) == (4, 64, 131072)


def test_what_old_files_leave_out():
    gone = ("num_key_value_heads", "head_dim", "rope_theta", "rope_scaling", "tie_word_embeddings")
    config = config_from_hugging_face({k: v for k, v in LLAMA_3_2_1B.items() if k not in gone})
    assert (config.n_kv_heads, config.head_dim) == (32, 64)
    assert (config.rope_theta, config.rope_scaling, config.tied_output) == (10000.0, None, False)


def test_null_means_left_out():
    nulls = dict.fromkeys(["num_key_value_heads", "head_dim", "rope_scaling"])
    config = config_from_hugging_face(LLAMA_3_2_1B | nulls)
    assert (config.n_kv_heads, config.head_dim, config.rope_scaling) == (32, 64, None)


def test_the_older_word_for_the_kind_of_scaling():
    rope = {k: v for k, v in ROPE_3_2.items() if k != "rope_type"} | {"type": "llama3"}
    config = config_from_hugging_face(LLAMA_3_2_1B | {"rope_scaling": rope})
    assert config.rope_scaling == RopeScaling(32.0, 1.0, 4.0, 8192)


def test_there_and_back(config):
    assert config_from_hugging_face(config_to_hugging_face(config)) == config


def test_transformers_reads_what_we_write(transformers, config, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_to_hugging_face(config)))
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(theirs) is transformers.LlamaConfig
    for key, value in config_to_hugging_face(config).items():
        if key not in ("rope_theta", "rope_scaling"):  # the older spelling, for older readers
            assert getattr(theirs, key) == value, key
    assert read_config(path) == config


def test_we_read_what_transformers_writes(transformers, config, tmp_path):
    transformers.LlamaConfig(**config_to_hugging_face(config)).save_pretrained(tmp_path)
    assert read_config(tmp_path / "config.json") == config


# --- what is refused ---


@pytest.mark.parametrize(
    "key, value",
    [
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("mlp_bias", True),
        ("quantization_config", {"bits": 4}),
        ("partial_rotary_factor", 0.5),
        ("model_type", "mistral"),
    ],
)
def test_what_a_llama_does_not_compute_is_refused_by_name(key, value):
    with pytest.raises(ValueError, match=f"{key}.*{value if isinstance(value, str) else ''}"):
        config_from_hugging_face(LLAMA_3_2_1B | {key: value})


@pytest.mark.parametrize("kind", ["default", "llama3"])
def test_a_part_of_each_head_is_refused(kind):
    rope = ROPE_3_2 | {"rope_type": kind, "partial_rotary_factor": 0.5}
    with pytest.raises(ValueError, match="partial_rotary_factor = 0.5 is not supported"):
        config_from_hugging_face(LLAMA_3_2_1B | {"rope_scaling": rope})


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "longrope"])
def test_other_kinds_of_rope_scaling_are_refused(kind):
    with pytest.raises(ValueError, match=f"rope scaling of type '{kind}' is not supported"):
        config_from_hugging_face(LLAMA_3_2_1B | {"rope_scaling": {"rope_type": kind}})


@pytest.mark.parametrize("key", ["factor", "low_freq_factor", "high_freq_factor"])
def test_a_key_missing_from_the_scaling_is_named(key):
    rope = {k: v for k, v in ROPE_3_2.items() if k != key}
    with pytest.raises(ValueError, match=f"no '{key}'"):
        config_from_hugging_face(LLAMA_3_2_1B | {"rope_scaling": rope})


SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("vocab_size", "max_position_embeddings", "rms_norm_eps"),
)


@pytest.mark.parametrize("key", SIZES)
def test_a_key_missing_from_a_config_is_as_in_transformers_or_named(transformers, key):
    values = {k: v for k, v in LLAMA_3_2_1B.items() if k not in (key, "head_dim")}
    ours = config_to_hugging_face(config_from_hugging_face(values))
    assert ours[key] == getattr(transformers.LlamaConfig(), key)
    says_nothing = {k: v for k, v in values.items() if k not in ("model_type", "architectures")}
    with pytest.raises(ValueError, match=f"no '{key}'"):
        config_from_hugging_face(says_nothing)


@pytest.mark.parametrize(
    "changes",
    [
        {"architectures": ["LLaMAForCausalLM"]},
        {"hidden_act": "swish"},
        {"partial_rotary_factor": 1.0},
        {"sliding_window": 4096},
        {"num_local_experts": 8},
        {"pretraining_tp": 2, "use_cache": False, "_flash_attn_2_enabled": True, "unsloth": "x"},
        {"rope_scaling": {"type": "linear", "factor": 1.0}},
        {"rope_scaling": {"rope_type": "dynamic", "factor": 1}},
        {"rope_scaling": {"rope_type": "default", "factor": 4.0, "original_max": 7}},
        {"rope_scaling": None, "rope_parameters": {
            "rope_type": "default", "rope_theta": 500000.0, "partial_rotary_factor": 1.0}},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_spellings_and_keys_that_change_nothing(transformers, torch, tmp_path, changes):
    """transformers computes the same with them: its frequencies are those of our config."""
    plain = tiny_config(rope_scaling=None, rope_theta=500000.0)
    values = config_to_hugging_face(plain)
    del values["rope_parameters"]
    values |= changes
    (tmp_path / "config.json").write_text(json.dumps(values))
    ours = read_config(tmp_path / "config.json")
    assert ours == plain
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(theirs)
    frequencies = rope_frequencies(ours.head_dim, ours.rope_theta, ours.rope_scaling)
    agree(rotary.inv_freq.numpy(), frequencies.astype(np.float32), 1e-6)


def test_a_whole_head_is_turned_with_scaling_too():
    rope = ROPE_3_2 | {"partial_rotary_factor": 1.0}
    config = config_from_hugging_face(LLAMA_3_2_1B | {"rope_scaling": rope})
    assert config == config_from_hugging_face(LLAMA_3_2_1B)


def test_an_older_word_for_the_context():
    values = {k: v for k, v in LLAMA_3_2_1B.items() if k != "max_position_embeddings"}
    older = config_from_hugging_face(values | {"max_sequence_length": 1024})
    assert older.context_length == 1024
    both = config_from_hugging_face(LLAMA_3_2_1B | {"max_sequence_length": 1024})
    assert both.context_length == 131072


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_kv_heads": 4}, "6 query heads cannot share 4 key-value heads.*n_kv_heads"),
        ({"head_dim": 5}, "head_dim must be even.*got 5"),
        ({"dim": 0}, "dim must be a positive int, got 0"),
        ({"n_layers": -1}, "n_layers must be a positive int, got -1"),
        ({"vocab_size": 50.5}, "vocab_size must be a positive int, got 50.5"),
        ({"n_heads": "6"}, "n_heads must be a positive int, got '6'"),
        ({"ffn_width": True}, "ffn_width must be a positive int, got True"),
        ({"context_length": None}, "context_length must be a positive int, got None"),
        ({"norm_eps": 0.0}, "norm_eps must be a positive float, got 0.0"),
        ({"norm_eps": float("nan")}, "norm_eps must be a positive float, got nan"),
        ({"rope_theta": -1.0}, "rope_theta must be a positive float, got -1.0"),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(**changes)


def test_a_width_that_its_heads_cannot_share_is_refused():
    values = LLAMA_3_2_1B | {"head_dim": None, "num_attention_heads": 30}
    with pytest.raises(ValueError, match="2048 cannot be split evenly over 30 heads"):
        config_from_hugging_face(values)


def test_a_config_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_config().dim = 3


@pytest.mark.parametrize("values", [LLAMA_3_8B, LLAMA_3_2_1B], ids=["Meta", "Hugging Face"])
def test_a_file_is_told_apart_by_its_keys(tmp_path, values):
    path = tmp_path / "any.json"
    path.write_text(json.dumps(values))
    count = read_config(path).count_parameters()
    assert count in (8_030_261_248, 1_235_814_400)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "not a JSON file"),
        ("[]", "expected a JSON object, got list"),
        ("{}", "the config has no"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, text, message):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"config.json: {message}"):
        read_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file: .*nowhere.json"):
        read_config(tmp_path / "nowhere.json")
