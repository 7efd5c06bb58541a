"""The name table: what each array is called here and in every format, and how it lies there.

Every format stores matrices (out, in); ours are (in, out), a transpose, which is a view. In each
head of wq and wk, Hugging Face pairs the number i with i + K/2 for RoPE; Meta, llama2.c and GGUF
pair neighbours, as we do. Between the two the rows of each head are reordered.

Sources: ``permute`` in
https://github.com/huggingface/transformers/blob/main/src/transformers/models/llama/convert_llama_weights_to_hf.py,
Meta's names in https://github.com/meta-llama/llama3/blob/main/llama/model.py, GGUF's in
https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/constants.py
"""

from typing import NamedTuple

from llama_np.axes import Array


class Names(NamedTuple):
    """What one array is called elsewhere; ``{i}`` stands for the number of the block."""

    hugging_face: str
    meta: str
    gguf: str


MODEL = {
    "embedding": Names("model.embed_tokens.weight", "tok_embeddings.weight", "token_embd.weight"),
    "norm": Names("model.norm.weight", "norm.weight", "output_norm.weight"),
    "output": Names("lm_head.weight", "output.weight", "output.weight"),
}
BLOCK = {
    "attn_norm": Names("input_layernorm", "attention_norm", "attn_norm"),
    "wq": Names("self_attn.q_proj", "attention.wq", "attn_q"),
    "wk": Names("self_attn.k_proj", "attention.wk", "attn_k"),
    "wv": Names("self_attn.v_proj", "attention.wv", "attn_v"),
    "wo": Names("self_attn.o_proj", "attention.wo", "attn_output"),
    "ffn_norm": Names("post_attention_layernorm", "ffn_norm", "ffn_norm"),
    "w_gate": Names("mlp.gate_proj", "feed_forward.w1", "ffn_gate"),
    "w_up": Names("mlp.up_proj", "feed_forward.w3", "ffn_up"),
    "w_down": Names("mlp.down_proj", "feed_forward.w2", "ffn_down"),
}
PREFIX = Names("model.layers.{i}.", "layers.{i}.", "blk.{i}.")


def names_elsewhere(name: str) -> Names:
    """The names in each format of the array that ``Weights.named`` calls ``name``.

    >>> names_elsewhere("layers.3.wq").hugging_face
    'model.layers.3.self_attn.q_proj.weight'
    >>> names_elsewhere("layers.3.w_up").meta, names_elsewhere("layers.3.w_up").gguf
    ('layers.3.feed_forward.w3.weight', 'blk.3.ffn_up.weight')
    """
    if name in MODEL:
        return MODEL[name]
    _, layer, role = name.split(".")
    return Names(
        *(
            f"{prefix.format(i=layer)}{part}.weight"
            for prefix, part in zip(PREFIX, BLOCK[role], strict=True)
        )
    )


def is_rotated(name: str) -> bool:
    """Whether RoPE turns what this array makes, so that the order of its rows matters."""
    return name.endswith((".wq", ".wk"))


def to_adjacent_pairs(w: Array["H*K ..."], head_dim: int) -> Array["H*K ..."]:
    """From Hugging Face's order of rows, halves of each head, to Meta's: pairs side by side.

    >>> import numpy as np
    >>> to_adjacent_pairs(np.array([[0], [2], [1], [3]]), head_dim=4).ravel().tolist()
    [0, 1, 2, 3]
    """
    heads = w.reshape(-1, 2, head_dim // 2, *w.shape[1:])
    return heads.swapaxes(1, 2).reshape(w.shape)


def to_rotate_half(w: Array["H*K ..."], head_dim: int) -> Array["H*K ..."]:
    """The inverse of ``to_adjacent_pairs``: what Hugging Face calls permuting q and k.

    >>> import numpy as np
    >>> to_rotate_half(np.array([[0], [1], [2], [3]]), head_dim=4).ravel().tolist()
    [0, 2, 1, 3]
    """
    heads = w.reshape(-1, head_dim // 2, 2, *w.shape[1:])
    return heads.swapaxes(1, 2).reshape(w.shape)


def hugging_face_name(name: str) -> str:
    """The name in a Hugging Face folder of the array that ``Weights.named`` calls ``name``."""
    return names_elsewhere(name).hugging_face
