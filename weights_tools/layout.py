"""The name table: what each array is called here and on disk, and how it lies there.

A Hugging Face folder differs in two ways. Matrices are stored (out, in); ours are (in, out), a
transpose, which is a view. And in each head of wq and wk the number i is paired with i + K/2 for
RoPE; ours are paired with their neighbours, so the rows of each head are reordered.

Source of the reordering: ``permute`` in
https://github.com/huggingface/transformers/blob/main/src/transformers/models/llama/convert_llama_weights_to_hf.py
"""

import re

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.shapes import Array

MODEL = {
    "embedding": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "output": "lm_head.weight",
}
BLOCK = {
    "attn_norm": "input_layernorm.weight",
    "wq": "self_attn.q_proj.weight",
    "wk": "self_attn.k_proj.weight",
    "wv": "self_attn.v_proj.weight",
    "wo": "self_attn.o_proj.weight",
    "ffn_norm": "post_attention_layernorm.weight",
    "w_gate": "mlp.gate_proj.weight",
    "w_up": "mlp.up_proj.weight",
    "w_down": "mlp.down_proj.weight",
}


def hugging_face_name(name: str) -> str:
    """The name in a Hugging Face folder of the array that ``Weights.named`` calls ``name``.

    >>> hugging_face_name("layers.3.wq")
    'model.layers.3.self_attn.q_proj.weight'
    """
    if name in MODEL:
        return MODEL[name]
    _, layer, role = name.split(".")
    return f"model.layers.{layer}.{BLOCK[role]}"


def to_neighbours(w: Array["H*K D"], head_width: int) -> Array["H*K D"]:
    """From Hugging Face's order of rows, halves of each head, to Meta's: pairs side by side.

    >>> to_neighbours(np.array([[0], [2], [1], [3]]), head_width=4).ravel().tolist()
    [0, 1, 2, 3]
    """
    heads = w.reshape(-1, 2, head_width // 2, w.shape[-1])
    return heads.swapaxes(1, 2).reshape(w.shape)


def to_halves(w: Array["H*K D"], head_width: int) -> Array["H*K D"]:
    """The inverse of ``to_neighbours``: what Hugging Face calls permuting q and k.

    >>> to_halves(np.array([[0], [1], [2], [3]]), head_width=4).ravel().tolist()
    [0, 2, 1, 3]
    """
    heads = w.reshape(-1, head_width // 2, 2, w.shape[-1])
    return heads.swapaxes(1, 2).reshape(w.shape)


def from_hugging_face(name: str, stored: np.ndarray, config: LlamaConfig) -> np.ndarray:
    """A stored array as ``Weights`` holds it; ``name`` is ours."""
    if stored.ndim < 2 or name == "embedding":
        return stored
    if re.search(r"\.w[qk]$", name):
        stored = to_neighbours(stored, config.head_width)
    return stored.T


def to_hugging_face(name: str, array: np.ndarray, config: LlamaConfig) -> np.ndarray:
    """An array of ``Weights`` as a Hugging Face folder stores it; ``name`` is ours."""
    if array.ndim < 2 or name == "embedding":
        return array
    array = array.T
    if re.search(r"\.w[qk]$", name):
        array = to_halves(array, config.head_width)
    return array
