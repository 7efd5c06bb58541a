"""Tiny Llamas with odd sizes: no two axes alike, so that a mixed-up axis cannot pass."""

from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.rope import RopeScaling
from llama_np.weights import Weights, initialize
from weights_tools.load import DOLL_HOUSE, open_model
from weights_tools.save import save_model

SCALING = RopeScaling(8.0, 0.5, 4.0, 128)  # of widths 6 to 10: some pairs kept, blended, divided


def tiny_config(**changes) -> LlamaConfig:
    """Three query heads share a key-value head; heads wider than dim / n_heads."""
    values = {
        "dim": 18, "n_layers": 2, "n_heads": 6, "n_kv_heads": 2, "head_dim": 10, "ffn_width": 33,
        "vocab_size": 53, "context_length": 256, "norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": SCALING, "tied_output": False,
    }  # fmt: skip
    return LlamaConfig(**values | changes)


def random_config(seed: int) -> LlamaConfig:
    """Groups of 1, 3 and 4, tied and not, RoPE scaled and not: seeds 0 to 3 have them all."""
    rng = np.random.default_rng(seed)
    n_kv_heads = int(rng.integers(1, 4))
    n_heads = n_kv_heads * (1, 3, 4)[seed % 3]
    return tiny_config(
        dim=n_heads * (5 if n_heads < 6 else 3),  # transformers wants a multiple of the heads
        n_layers=int(rng.integers(1, 4)),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=int(rng.choice([6, 8, 10])),
        ffn_width=int(rng.integers(30, 45)),
        vocab_size=int(rng.integers(50, 98)),
        rope_theta=float(rng.choice([10000.0, 500000.0])),
        rope_scaling=SCALING if seed // 2 % 2 else None,
        tied_output=bool(seed % 2),
    )


def random_weights(config: LlamaConfig, dtype=np.float64, seed: int = 0) -> Weights:
    """Livelier than fresh ones: larger, and with norm weights that are not all one."""
    rng = np.random.default_rng(seed)
    weights = initialize(config, rng, std=0.25)
    return weights.map(
        lambda w: (w + 0.3 * rng.standard_normal(w.shape) if w.ndim == 1 else w).astype(dtype)
    )


def random_ids(config: LlamaConfig, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, config.vocab_size, shape)


def write_with_words(folder: Path, **changes) -> Path:
    """A random tiny model with the doll-house's tokenizer: it can be asked, and knows nothing."""
    tokenizer = open_model(DOLL_HOUSE).read_tokenizer()
    config = tiny_config(
        dim=20, n_heads=2, n_kv_heads=1, head_dim=10, ffn_width=28, rope_scaling=None,
        vocab_size=tokenizer.padded_size, **changes,
    )  # fmt: skip
    save_model(folder, config, random_weights(config, np.float32), tokenizer)
    return folder
