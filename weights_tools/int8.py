"""Matrices in 8 bits: each row divided by a scale of its own and rounded to -127 ... 127.

Written as the ``compressed-tensors`` package writes it (format ``int-quantized``), which vLLM and
transformers read: https://github.com/vllm-project/compressed-tensors. The config says so, and the
model then loads by itself. The embedding stays as it was: its rows are only looked up.
"""

import reprlib
from typing import Any

import numpy as np

from llama_np.axes import Array

LARGEST = 127  # -128 is left out: the scheme is symmetric
SMALLEST = np.finfo(np.float32).tiny  # a scale below would lose digits; a row of zeros has it
WEIGHTS = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}


def scheme(tied_output: bool) -> dict[str, Any]:
    """The ``quantization_config`` of a config.json that goes with int8 matrices."""
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": WEIGHTS | {"dynamic": False},
                "input_activations": None,
                "output_activations": None,
                "format": "int-quantized",
            }
        },
        "ignore": ["lm_head"] if tied_output else [],
    }


def is_int8(quantization: Any) -> bool:
    """Whether a config asks for int8 as above; other kinds raise ``ValueError`` by name.

    >>> is_int8(None), is_int8(scheme(tied_output=True))
    (False, True)
    """
    if quantization is None:
        return False
    if not isinstance(quantization, dict) or "quant_method" not in quantization:
        raise ValueError(f"quantization_config = {reprlib.repr(quantization)} names no method")
    asked = [quantization.get(key) for key in ("quant_method", "format")]
    more = any(quantization.get(key) for key in ("kv_cache_scheme", "transform_config"))
    if asked != ["compressed-tensors", "int-quantized"] or not plain_groups(quantization) or more:
        raise ValueError(
            f"quantization_config: {' '.join(reprlib.repr(part) for part in asked if part)} is not "
            "supported like this, only int8 with one scale for each row and nothing else "
            "quantised; get the model unquantised and quantize it here"
        )
    return True


def plain_groups(quantization: dict[str, Any]) -> bool:
    """Whether there is one group, of weights as above and of nothing else."""
    try:
        (group,) = quantization["config_groups"].values()
        weights = {key: group["weights"].get(key) for key in WEIGHTS}
        activations = group.get("input_activations"), group.get("output_activations")
    except (TypeError, KeyError, AttributeError, ValueError):
        return False
    return weights == WEIGHTS and activations == (None, None)


def to_int8(rows: Array["R in"]) -> tuple[Array["R in"], Array["R"]]:
    """Rows of float32 as int8 and their scales: the nearest of 255 even steps.

    PyTorch: ``torch.fake_quantize_per_channel_affine(rows, scale, zeros, 0, -127, 127)``, which
    multiplies by the scale again.

    >>> small, scale = to_int8(np.array([[1.0, -0.5], [0.0, 0.0]], np.float32))
    >>> small.tolist(), float(scale[0] * 127)
    ([[127, -64], [0, 0]], 1.0)
    """
    scale = np.maximum(np.abs(rows).max(axis=1) / np.float32(LARGEST), SMALLEST)
    return np.rint(rows / scale[:, None]).astype(np.int8), scale
