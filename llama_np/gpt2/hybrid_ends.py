"""The two ends of the way: with all of GPT-2's parts a model is one, with Llama's another."""

import numpy as np

from ..config import LlamaConfig
from ..weights import Weights
from .hybrid import Arrays, Hybrid
from .weights import Gpt2Config, Gpt2Weights


def as_gpt2(w: Arrays, c: Hybrid) -> tuple[Gpt2Weights, Gpt2Config]:
    """The same model for ``gpt2_forward``: the matrices of q, k and v laid side by side.

    Raises ``ValueError`` if a choice is not GPT-2's.
    """
    if (c.norm, c.positions, c.feed_forward) != ("LayerNorm", "learned", "GELU"):
        raise ValueError(f"expected GPT-2's parts, got {c.norm}, {c.positions}, {c.feed_forward}")
    if c.n_kv_heads != c.n_heads or not c.biases:
        raise ValueError("expected as many key-value heads as query heads, and biases")
    named = {}
    for name, array in w.items():
        before, _, role = name.rpartition(".")
        if role in ("wq", "bq"):
            three = [w[f"{before}.{role[0]}{letter}"] for letter in "qkv"]
            named[f"{before}.{role[0]}_qkv"] = np.concatenate(three, axis=-1)
        elif role not in ("wk", "wv", "bk", "bv"):
            named[name] = array
    config = Gpt2Config(
        dim=c.dim, n_layers=c.n_layers, n_heads=c.n_heads, ffn_width=c.ffn_width,
        vocab_size=c.vocab_size, context_length=c.context_length, norm_eps=c.norm_eps,
        qkv_bias=True, tied_output=True,
    )  # fmt: skip
    return Gpt2Weights.from_named(named), config


def as_llama(w: Arrays, c: Hybrid) -> tuple[Weights, LlamaConfig]:
    """The same model for ``llama_np.forward``: every array has its name already.

    Raises ``ValueError`` if a choice is not Llama's.
    """
    if (c.norm, c.positions, c.feed_forward) != ("RMSNorm", "RoPE", "SwiGLU") or c.biases:
        raise ValueError(
            f"expected Llama's parts, got {c.norm}, {c.positions}, {c.feed_forward}, "
            f"biases: {c.biases}"
        )
    config = LlamaConfig(
        dim=c.dim, n_layers=c.n_layers, n_heads=c.n_heads, n_kv_heads=c.n_kv_heads,
        head_dim=c.head_dim, ffn_width=c.ffn_width, vocab_size=c.vocab_size,
        context_length=c.context_length, norm_eps=c.norm_eps, rope_theta=c.rope_theta,
        rope_scaling=None, tied_output=True,
    )  # fmt: skip
    return Weights.from_named(w), config
