"""The config of a Llama from the metadata of a GGUF file.

What the keys mean, and what stands for a missing one: ``load_hparams`` in
https://github.com/ggml-org/llama.cpp/blob/master/src/llama-model.cpp and ``Keys`` in
https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from llama_np.axes import Array
from llama_np.config import LlamaConfig, brief
from llama_np.rope import RopeScaling, rope_frequencies

from .config_json import even_share, need

# Keys that change what is computed: what they stand for, and the values that change nothing.
UNSUPPORTED = {
    "expert_count": ("a mixture of experts", (0,)),
    "attention.sliding_window": ("a sliding window", (0,)),
    "attention.causal": ("attention to later tokens", (True,)),
    "attention.scale": ("another scale of attention", (0,)),
    "attention.clamp_kqv": ("clamped queries and keys", (0,)),
    "attention.max_alibi_bias": ("ALiBi", (0,)),
    "attn_logit_softcapping": ("softcapping", (0,)),
    "final_logit_softcapping": ("softcapping", (0,)),
    "logit_scale": ("scaled logits", (0, 1)),
    "residual_scale": ("a scaled residual stream", (0, 1)),
    "embedding_scale": ("scaled embeddings", (0, 1)),
    "use_parallel_residual": ("parallel residual streams", (False,)),
    # linear scaling by its factor, below
    "rope.scaling.type": ("this kind of rope scaling", ("none", "linear")),
    "rope.scaling.factor": ("linear rope scaling", (0, 1)),
    "rope.scaling.attn_factor": ("scaled rotation", (1,)),
    "rope.scale_linear": ("linear rope scaling", (0, 1)),  # the older name of the same
}


def config_from_gguf(
    metadata: Mapping[str, Any], embedding_rows: int, tied_output: bool
) -> LlamaConfig:
    """The config, without rope scaling: that is a tensor in GGUF, see ``scaling_from_divisors``.

    ``embedding_rows`` is the size of the vocabulary where old files do not tell. Raises
    ``ValueError`` for what is not a Llama, or asks for something that Llama does not compute.
    """
    refuse_other_models(metadata)
    dim = single(metadata, "embedding_length")
    heads = single(metadata, "attention.head_count")
    width = single(metadata, "attention.key_length", None) or even_share(dim, heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if (other := single(metadata, key, width)) != width:
            raise ValueError(
                f"llama.{key} = {brief.repr(other)} is not supported, only the key's {width}"
            )
    return LlamaConfig(
        dim=dim,
        n_layers=single(metadata, "block_count"),
        n_heads=heads,
        n_kv_heads=single(metadata, "attention.head_count_kv", heads),
        head_dim=width,
        ffn_width=single(metadata, "feed_forward_length"),
        vocab_size=single(metadata, "vocab_size", embedding_rows),
        context_length=single(metadata, "context_length"),
        norm_eps=single(metadata, "attention.layer_norm_rms_epsilon"),
        rope_theta=single(metadata, "rope.freq_base", 10000.0),
        rope_scaling=None,
        tied_output=tied_output,
    )


def refuse_other_models(metadata: Mapping[str, Any]) -> None:
    """Raise where a file holds something else than a Llama, naming it."""
    kind = metadata.get("general.type", "model")
    if kind != "model":
        raise ValueError(f"expected a model, got general.type {brief.repr(kind)}")
    architecture = need(metadata, "general.architecture")
    if architecture != "llama":
        raise ValueError(f"expected the architecture 'llama', got {brief.repr(architecture)}")
    for key, (what, harmless) in UNSUPPORTED.items():
        value = metadata.get(f"llama.{key}", harmless[0])
        if value not in harmless:
            raise ValueError(f"llama.{key} = {brief.repr(value)}: {what} is not supported")


def single(metadata: Mapping[str, Any], key: str, *default: Any) -> Any:
    """A value that is the same for every block; some files repeat it for each.

    >>> single({"llama.attention.head_count_kv": [2, 2, 2]}, "attention.head_count_kv")
    2
    """
    key = f"llama.{key}"
    value = metadata.get(key, *default) if default else need(metadata, key)
    if not isinstance(value, list):
        return value
    if len(set(value)) != 1:
        raise ValueError(f"{key} differs from block to block; expected one value")
    return value[0]


def with_scaling(config: LlamaConfig, divisors: Array["K/2"]) -> LlamaConfig:
    """The config with the rope scaling of ``rope_freqs.weight``: what divides each frequency.

    llama.cpp's converter computes these from Llama 3.1's four numbers, of which only the factor
    ever differs from one model to another. The numbers that give the same frequencies are taken;
    ``ValueError`` where none do. Source: ``generate_extra_tensors`` of ``LlamaModel`` in
    https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py
    """
    width, theta = config.head_dim, config.rope_theta
    if divisors.shape == (width // 2,) and (np.isfinite(divisors) & (divisors >= 1)).all():
        if (divisors == 1).all():
            return config
        wanted = rope_frequencies(width, theta) / divisors
        for factor in (float(divisors.max()), 8.0, 32.0):  # the largest may be blended
            scaling = RopeScaling(factor, 1.0, 4.0, 8192)
            if np.allclose(rope_frequencies(width, theta, scaling), wanted, rtol=1e-5, atol=0):
                return dataclasses.replace(config, rope_scaling=scaling)
    raise ValueError(
        "rope_freqs.weight is not supported: expected the divisors of Llama 3.1's rope scaling"
    )
