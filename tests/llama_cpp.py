"""Models as llama.cpp's converter writes them, by the package gguf.

What is taken from it: https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py
"""

import math

import numpy as np
import pytest

from tests.folders import to_hugging_face
from weights_tools.layout import hugging_face_name

gguf = pytest.importorskip("gguf")
from gguf.quants import quantize  # noqa: E402

Type = gguf.GGMLQuantizationType


def permute(w, n_heads):
    """`LlamaModel.permute`, word for word."""
    return (
        w.reshape(n_heads, 2, w.shape[0] // n_heads // 2, *w.shape[1:])
        .swapaxes(1, 2)
        .reshape(w.shape)
    )


def rope_factors(config):
    """`LlamaModel.generate_extra_tensors`, in float32 as there."""
    pairs = np.arange(0, config.head_dim, 2, dtype=np.float32)
    freqs = np.float32(1) / (np.float32(config.rope_theta) ** (pairs / np.float32(config.head_dim)))
    factor, low, high, old_context_len = config.rope_scaling
    factors = []
    for freq in freqs:
        wavelen = 2 * math.pi / freq
        if wavelen < old_context_len / high:
            factors.append(1)
        elif wavelen > old_context_len / low:
            factors.append(factor)
        else:
            smooth = (old_context_len / wavelen - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


def tensors_of(config, weights):
    """The tensors under GGUF's names, in float32."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.n_layers)
    tensors = {}
    for name, array in weights.named():
        theirs = hugging_face_name(name)
        stored = to_hugging_face(name, array, config).astype(np.float32)
        if theirs.endswith("q_proj.weight"):
            stored = permute(stored, config.n_heads)
        if theirs.endswith("k_proj.weight"):
            stored = permute(stored, config.n_kv_heads)
        tensors[names.get_name(theirs, (".weight",))] = np.ascontiguousarray(stored)
    if config.rope_scaling is not None:
        tensors["rope_freqs.weight"] = rope_factors(config)
    return tensors


def add_metadata(writer, config):
    """`set_gguf_parameters`, and a vocabulary of some sort."""
    writer.add_type("model")
    writer.add_block_count(config.n_layers)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.dim)
    writer.add_feed_forward_length(config.ffn_width)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"t{i}é" for i in range(config.vocab_size)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_scores([-i / 3 for i in range(config.vocab_size)])
    writer.add_bos_token_id(1)
    writer.add_add_bos_token(True)


def stored_as(kind):
    """Matrices as the type of this name; like the converter, vectors stay float32."""

    def store(array):
        its_type = Type[kind] if array.ndim == 2 else Type.F32
        return quantize(array, its_type), its_type

    return store


def write(path, config, tensors, store=None, change=None, arch="llama", **options):
    """Write a file; ``change`` may add to the metadata or replace some of it."""
    store = store or stored_as("F32")
    writer = gguf.GGUFWriter(path, arch, **options)
    add_metadata(writer, config)
    if change is not None:
        change(writer)
    for name, array in tensors.items():
        data, kind = store(array)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
