"""Meta's params.json: what it says, what it leaves out, and what is no Llama we compute."""

from pathlib import Path
from typing import Any

from llama_np.config import LLAMA_3_1_SCALING, LlamaConfig, brief
from llama_np.rope import RopeScaling

from ..reading import read_object
from .config_json import config_from_meta, need

# Width and layers of Llama 3.2 1B and 3B, whose RoPE is scaled by 32. Their params.json does not
# say so, and Meta's code scaled by 8: https://github.com/meta-llama/llama-models/issues/241. The
# converter of transformers is told by its user that a model is a Llama 3.2; these sizes tell us.
LLAMA_3_2_SMALL = {(2048, 16), (3072, 28)}
# Keys of other models that come in the same form: quantised or multimodal Llamas, Llama 4, Mistral.
OTHER_MODELS = (
    "quantization_args", "lora_args", "vision_chunk_size", "vision_args", "vision_model",
    "moe", "moe_args", "use_qk_norm", "attention_chunk_size", "nope_layer_interval",
    "sliding_window",
)  # fmt: skip

WHOLE = ("dim", "n_layers", "n_heads", "n_kv_heads", "multiple_of", "vocab_size")
REAL = (
    "norm_eps", "rope_theta", "ffn_dim_multiplier", "rope_scaling_factor", "rope_high_freq_factor",
)  # fmt: skip
OPTIONAL = {"n_kv_heads", "vocab_size", *REAL} - {"norm_eps"}


def read_params(path: Path) -> dict[str, Any]:
    """The contents of ``params.json``, its numbers checked; an ``OTHER_MODELS`` is refused by name.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file's name.
    """
    params = read_object(path)
    try:
        params = params.get("model", params)  # as the converter of transformers does
        if not isinstance(params, dict):
            raise ValueError(f"'model' should be an object, got {type(params).__name__}")
        refuse_other_models(params)
        check_numbers(params)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return params


def refuse_other_models(params: dict[str, Any]) -> None:
    """Raise where a key shows that this is no plain Llama."""
    for key in OTHER_MODELS:
        if params.get(key) not in (None, False, -1):
            raise ValueError(f"it sets {key!r}, which no plain Llama has; not supported")


def check_numbers(params: dict[str, Any]) -> None:
    """Raise where a number is absent or absurd; fill in the one that has a default."""
    params.setdefault("multiple_of", 256)  # Meta's default, and that of the converter
    for key in WHOLE:
        value = params.get(key) if key in OPTIONAL else need(params, key)
        absent = value is None and key in OPTIONAL or (key, value) == ("vocab_size", -1)
        if not absent and not (type(value) is int and 0 < value < 2**31):
            raise ValueError(f"{key} should be a positive whole number, got {shown(value)}")
    for key in REAL:
        value = params.get(key) if key in OPTIONAL else need(params, key)
        if value is None and key in OPTIONAL:
            params.pop(key, None)
        elif not (type(value) in (int, float) and 0 < value < 1e12):
            raise ValueError(f"{key} should be a positive number, got {shown(value)}")


def shown(value: Any) -> str:
    named = isinstance(value, (int, float, str))
    return brief.repr(value) if named else f"a {type(value).__name__}"


def to_config(path: Path, params: dict[str, Any], n_tokens: int, tied: bool) -> LlamaConfig:
    """The config, once the stored arrays have told the vocabulary and whether the output is tied.

    ``n_tokens`` stands in where the file says -1, as Llama 2's does.
    """
    told = params.get("vocab_size")
    try:
        return config_from_meta(
            params,
            vocab_size=n_tokens if told in (None, -1) else told,
            rope_scaling=rope_scaling(params),
            tied_output=tied,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def rope_scaling(params: dict[str, Any]) -> RopeScaling | None:
    """Llama 3.1's scaling, with the factor of the model: stated, or known from its size.

    The stated names are those of Meta's later ``ModelArgs``:
    https://github.com/meta-llama/llama-models/blob/main/models/llama4/args.py

    >>> rope_scaling({"dim": 2048, "n_layers": 16, "use_scaled_rope": True}).factor
    32.0
    """
    scaled = params.get("use_scaled_rope", False)
    if type(scaled) is not bool and scaled is not None:
        raise ValueError(f"use_scaled_rope should be true or false, got {shown(scaled)}")
    if not scaled:
        return None
    small = (params["dim"], params["n_layers"]) in LLAMA_3_2_SMALL
    usual = LLAMA_3_1_SCALING._replace(factor=32.0 if small else LLAMA_3_1_SCALING.factor)
    factor = params.get("rope_scaling_factor") or usual.factor
    high = params.get("rope_high_freq_factor") or usual.high_freq_factor
    if high <= usual.low_freq_factor:
        raise ValueError(f"rope_high_freq_factor should be more than 1, got {high}")
    return usual._replace(factor=float(factor), high_freq_factor=float(high))
