"""What a config file says, as a ``LlamaConfig``, and the other way: Meta's and Hugging Face's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_np.config import LLAMA_3_1_SCALING, LlamaConfig, brief
from llama_np.feed_forward import feed_forward_width
from llama_np.rope import RopeScaling

from ..reading import read_object

# What transformers' LlamaConfig takes for a key that is not there, and an older spelling of one:
# https://github.com/huggingface/transformers/blob/main/src/transformers/models/llama/configuration_llama.py
DEFAULTS = {
    "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "intermediate_size": 11008, "vocab_size": 32000, "rms_norm_eps": 1e-6,
    "max_position_embeddings": 2048,
}  # fmt: skip
LLAMA_3_THETA = 500_000.0
OLDER = {"max_sequence_length": "max_position_embeddings"}
ARCHITECTURES = (["LlamaForCausalLM"], ["LLaMAForCausalLM"], [])  # the second until March 2023


def read_config(path: str | Path, **overrides: Any) -> LlamaConfig:
    """Read Meta's ``params.json`` or a Hugging Face ``config.json``, told apart by their keys.

    ``overrides`` are passed on to ``config_from_meta``. Raises ``FileNotFoundError`` or
    ``ValueError`` with the file's name.
    """
    values = read_object(path)
    try:
        if "dim" in values:
            return config_from_meta(values, **overrides)
        return config_from_hugging_face(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def config_from_meta(
    params: Mapping[str, Any],
    *,
    context_length: int | None = None,
    vocab_size: int | None = None,
    rope_scaling: RopeScaling | None = None,
    tied_output: bool = False,
) -> LlamaConfig:
    """From the contents of Meta's ``params.json``.

    The file leaves out what Meta's code or tokenizer supplies. ``vocab_size``: Llama 2 writes
    -1 there, so give the tokenizer's. ``context_length``: by default 4096 without
    ``rope_theta`` (Llama 2), 8192 with it (Llama 3), 16384 where it is above Llama 3's (Code
    Llama), 131072 with ``use_scaled_rope`` (Llama 3.1 and later). ``rope_scaling``: Llama 3.1's
    numbers by default; Llama 3.2's small models use factor 32 and tie the output, which the file
    does not say.

    Source: ``ModelArgs`` in https://github.com/meta-llama/llama3/blob/main/llama/model.py
    """
    values = dict(params)
    heads = need(values, "n_heads")
    scaled = values.get("use_scaled_rope", False)
    if scaled and rope_scaling is None:
        rope_scaling = LLAMA_3_1_SCALING
    theta = values.get("rope_theta", 10000.0)
    if context_length is None:
        context_length = 131072 if scaled else 8192 if "rope_theta" in values else 4096
        if not scaled and isinstance(theta, int | float) and theta > LLAMA_3_THETA:
            context_length = 16384
    vocab_size = need(values, "vocab_size") if vocab_size is None else vocab_size
    if vocab_size == -1:
        raise ValueError("vocab_size is -1 in this file; give the tokenizer's as vocab_size=...")
    return LlamaConfig(
        dim=need(values, "dim"),
        n_layers=need(values, "n_layers"),
        n_heads=heads,
        n_kv_heads=value_or(values, "n_kv_heads", heads),
        head_dim=even_share(need(values, "dim"), heads),
        ffn_width=feed_forward_width(
            need(values, "dim"), need(values, "multiple_of"), values.get("ffn_dim_multiplier")
        ),
        vocab_size=vocab_size,
        context_length=context_length,
        norm_eps=need(values, "norm_eps"),
        rope_theta=theta,
        rope_scaling=rope_scaling,
        tied_output=tied_output,
    )


def config_from_hugging_face(values: Mapping[str, Any]) -> LlamaConfig:
    """From the contents of a ``config.json`` of a ``LlamaForCausalLM``.

    Older files write ``rope_theta`` and ``rope_scaling``, newer ones ``rope_parameters``. Keys
    that a file leaves out take the values that transformers documents for them, as long as it says
    that it is a Llama's; keys of which transformers' Llama takes no notice are ignored here too.
    What this project does not compute (biases, other activations, other kinds of rope scaling,
    other architectures, quantised weights) is refused by name.

    Source: https://huggingface.co/docs/transformers/model_doc/llama#transformers.LlamaConfig
    """
    refuse_other_architectures(values)
    values = with_defaults(values)
    heads = need(values, "num_attention_heads")
    # transformers, too, takes the older spelling where a file has both
    rope = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(rope, Mapping):
        raise ValueError(f"expected rope scaling as an object, got {brief.repr(rope)}")
    head_dim = values.get("head_dim")
    if head_dim is None:
        head_dim = even_share(need(values, "hidden_size"), heads)
    return LlamaConfig(
        dim=need(values, "hidden_size"),
        n_layers=need(values, "num_hidden_layers"),
        n_heads=heads,
        n_kv_heads=value_or(values, "num_key_value_heads", heads),
        head_dim=head_dim,
        ffn_width=need(values, "intermediate_size"),
        vocab_size=need(values, "vocab_size"),
        context_length=need(values, "max_position_embeddings"),
        norm_eps=need(values, "rms_norm_eps"),
        rope_theta=rope.get("rope_theta", values.get("rope_theta", 10000.0)),
        rope_scaling=rope_scaling_from(rope, original_context(values, rope)),
        tied_output=value_or(values, "tie_word_embeddings", False),
    )


def config_to_hugging_face(config: LlamaConfig) -> dict[str, Any]:
    """The contents of a ``config.json`` from which transformers builds the same model."""
    rope: dict[str, Any] = {"rope_theta": config.rope_theta, "rope_type": "default"}
    if config.rope_scaling is not None:
        rope |= {
            "rope_type": "llama3",
            "factor": config.rope_scaling.factor,
            "low_freq_factor": config.rope_scaling.low_freq_factor,
            "high_freq_factor": config.rope_scaling.high_freq_factor,
            "original_max_position_embeddings": config.rope_scaling.original_context_length,
        }
    older_spelling = {"rope_theta": config.rope_theta}
    if config.rope_scaling is not None:
        older_spelling["rope_scaling"] = {k: v for k, v in rope.items() if k != "rope_theta"}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.ffn_width,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": rope,
        **older_spelling,
        "tie_word_embeddings": config.tied_output,
        "attention_bias": False,
        "mlp_bias": False,
    }


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a ``config.json``, and what transformers puts where they say nothing.

    Only for a file that names a Llama: an empty one is none.
    """
    renamed = {OLDER.get(key, key): value for key, value in values.items()} | dict(values)
    says_llama = "model_type" in values or "architectures" in values
    return (DEFAULTS if says_llama else {}) | renamed


def need(values: Mapping[str, Any], key: str) -> Any:
    """The value of a key that must be there."""
    if key not in values:
        raise ValueError(f"the config has no {key!r}; is this the config of a Llama?")
    return values[key]


def value_or(values: Mapping[str, Any], key: str, otherwise: Any) -> Any:
    """The value of a key; null means left out."""
    return otherwise if values.get(key) is None else values[key]


def even_share(dim: Any, n_heads: Any) -> int:
    """The head width where a file does not state it."""
    if not (isinstance(dim, int) and isinstance(n_heads, int) and n_heads > 0) or dim % n_heads:
        raise ValueError(
            f"a width of {brief.repr(dim)} cannot be split evenly over {brief.repr(n_heads)} heads"
        )
    return dim // n_heads


def original_context(values: Mapping[str, Any], rope: Mapping[str, Any]) -> Any:
    """The context before scaling: as transformers finds it, beside the scaling, in it, or nowhere.

    Source: ``standardize_rope_params`` in
    https://github.com/huggingface/transformers/blob/main/src/transformers/modeling_rope_utils.py
    """
    key = "original_max_position_embeddings"
    inside = value_or(rope, key, values.get("max_position_embeddings"))
    found = value_or(values, key, inside)
    return int(found) if isinstance(found, float) and found.is_integer() else found


def rope_scaling_from(rope: Mapping[str, Any], original_context: Any) -> RopeScaling | None:
    """The scaling that a Hugging Face config asks for; refuses the kinds that are not Llama's.

    For the type "llama3", as for "default", keys that transformers does not use are ignored.
    """
    kind = rope.get("rope_type", rope.get("type", "default"))
    if value_or(rope, "partial_rotary_factor", 1.0) != 1:
        part = brief.repr(rope["partial_rotary_factor"])
        raise ValueError(f"partial_rotary_factor = {part} is not supported, only 1.0")
    scales_nothing = rope.get("factor") == 1 and value_or(rope, "attention_factor", 1) == 1
    if kind in ("linear", "dynamic", "yarn") and scales_nothing:
        return None
    if kind not in ("default", "llama3"):
        kind = brief.repr(kind)
        raise ValueError(f"rope scaling of type {kind} is not supported, only 'llama3'")
    if kind == "default":
        known = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
        strange = sorted(rope.keys() - known)
        if strange and not {"rope_type", "type"} & rope.keys():  # was a type forgotten?
            raise ValueError(
                f"rope scaling of type {kind!r} does not know {brief.repr(strange[0])}; "
                "only 'llama3' is supported"
            )
        return None
    return RopeScaling(
        factor=need(rope, "factor"),
        low_freq_factor=need(rope, "low_freq_factor"),
        high_freq_factor=need(rope, "high_freq_factor"),
        original_context_length=original_context,
    )


def refuse_other_architectures(values: Mapping[str, Any]) -> None:
    """Raise where a config asks for something that Llama does not compute."""
    kind = values.get("model_type", "llama")
    if kind != "llama":
        hint = "; lesson 13 opens it, with load_gpt2" if kind == "gpt2" else ""
        raise ValueError(f"expected a Llama (model_type 'llama'), got {brief.repr(kind)}{hint}")
    task = value_or(values, "architectures", ARCHITECTURES[0])
    if task not in ARCHITECTURES:
        raise ValueError(
            f"expected a model that predicts tokens (architectures ['LlamaForCausalLM']), "
            f"got {brief.repr(task)}"
        )
    if values.get("hidden_act", "silu") not in ("silu", "swish"):  # two names of one function
        given = brief.repr(values["hidden_act"])
        raise ValueError(f"hidden_act = {given} is not supported, only 'silu'")
    for key, plain in {
        "attention_bias": False,
        "mlp_bias": False,
        "quantization_config": None,
        "partial_rotary_factor": 1.0,
    }.items():
        if values.get(key, plain) not in (plain, None):
            raise ValueError(f"{key} = {brief.repr(values[key])} is not supported, only {plain!r}")
