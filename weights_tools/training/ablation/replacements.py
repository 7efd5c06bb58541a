"""The six small models of the study: a GPT-2, and one more of Llama's parts each time."""

import dataclasses

from llama_np.gpt2.hybrid import Hybrid


def gpt2_like(vocab_size: int, dim: int = 48, n_layers: int = 3, context: int = 128) -> Hybrid:
    """The first stage: a small GPT-2, all five choices its own."""
    return Hybrid(
        dim=dim, n_layers=n_layers, n_heads=4, vocab_size=vocab_size, context_length=context,
        norm="LayerNorm", positions="learned", feed_forward="GELU", n_kv_heads=4, biases=True,
        ffn_width=4 * dim,
    )  # fmt: skip


def replacements(gpt2: Hybrid) -> dict[str, Hybrid]:
    """The six stages, each with one replacement more than the one before.

    SwiGLU has three matrices where GELU has two, so its width is two thirds; what grouped queries
    save in attention the feed-forward step gets, as in Llama 2.

    Source: https://arxiv.org/abs/2002.05202, section 2; https://arxiv.org/abs/2307.09288, A.2.1.
    """
    groups = gpt2.n_heads // 2
    saved = 2 * gpt2.dim * (gpt2.n_heads - groups) * gpt2.head_dim
    two_thirds = 2 * gpt2.ffn_width // 3
    replacements = {
        "GPT-2": {},
        "RMSNorm": {"norm": "RMSNorm"},
        "RoPE": {"positions": "RoPE"},
        "SwiGLU": {"feed_forward": "SwiGLU", "ffn_width": two_thirds},
        "grouped queries": {"n_kv_heads": groups, "ffn_width": two_thirds + saved // 3 // gpt2.dim},
        "no biases": {"biases": False},
    }
    found, config = {}, gpt2
    for name, changes in replacements.items():
        found[name] = config = dataclasses.replace(config, **changes)
    return found
