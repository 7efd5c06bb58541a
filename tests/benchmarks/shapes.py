"""The shapes of real models, under the names that the commands take."""

import dataclasses

from llama_np.config import LLAMA_3_8B, LlamaConfig
from llama_np.rope import RopeScaling
from weights_tools.formats.config_json import read_config
from weights_tools.load import DOLL_HOUSE


def story_teller(dim, n_layers, n_heads, n_kv_heads, ffn_width, vocab_size, context_length):
    """A model of llama2.c: the output is the embedding, and RoPE is plain.

    Source: https://github.com/karpathy/llama2.c#models; the widths of the feed-forward are those
    that the files themselves state.
    """
    return LlamaConfig(
        dim=dim, n_layers=n_layers, n_heads=n_heads, n_kv_heads=n_kv_heads,
        head_dim=dim // n_heads, ffn_width=ffn_width, vocab_size=vocab_size,
        context_length=context_length, norm_eps=1e-5, rope_theta=10000.0, rope_scaling=None,
        tied_output=True,
    )  # fmt: skip


SHAPES = {
    "llama-3-8b": LLAMA_3_8B,
    # https://huggingface.co/meta-llama/Llama-3.2-1B/blob/main/config.json
    "llama-3.2-1b": dataclasses.replace(
        LLAMA_3_8B, dim=2048, n_layers=16, head_dim=64, ffn_width=8192, context_length=131072,
        rope_scaling=RopeScaling(32.0, 1.0, 4.0, 8192), tied_output=True,
    ),
    "stories260k": story_teller(64, 5, 8, 4, 172, 512, 512),
    "stories15m": story_teller(288, 6, 6, 6, 768, 32000, 256),
    "stories110m": story_teller(768, 12, 12, 12, 2048, 32000, 1024),
    "doll-house": read_config(DOLL_HOUSE / "config.json"),
}  # fmt: skip


def shape_named(name: str) -> LlamaConfig:
    """The config of a real shape. Raises ``ValueError`` with all the names for one not known.

    >>> shape_named("llama-3-8b").count_parameters()
    8030261248
    """
    if name not in SHAPES:
        raise ValueError(f"unknown shape {name!r}; expected one of {', '.join(SHAPES)}")
    return SHAPES[name]
