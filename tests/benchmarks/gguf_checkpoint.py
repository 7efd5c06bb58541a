"""Randomly filled GGUF files of any shape, in the types that stay quantised in their file."""

import math
from pathlib import Path

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import shapes
from weights_tools.formats.gguf_blocks import KINDS, Kind
from weights_tools.layout import names_elsewhere
from weights_tools.progress import Progress

QUANTISED = {kind.name.lower(): kind for kind in KINDS.values() if kind.numbers > 1}
RING_BLOCKS = 131_071  # a prime, as the ring of numbers has
# Where a block's scale lies, the standard deviation of its numbers at a scale of 1 (all bytes are
# as likely), where its shift lies, and what brings their mean to 0.
SPREAD = {
    "Q4_0": (0, 4.61, None, 0), "Q4_1": (0, 4.61, 2, -7.5), "Q8_0": (0, 73.9, None, 0),
    "Q4_K": (0, 258.3, 2, 7.5), "Q6_K": (208, 1365.7, None, 0),
}  # fmt: skip


def bytes_of(config: LlamaConfig, kind: Kind) -> int:
    """The size of the tensors: norms in float32, all else in blocks."""
    sizes = {name: math.prod(shape) for name, shape in shapes(config).items()}
    vectors = sum(n for name, n in sizes.items() if len(shapes(config)[name]) == 1)
    return 4 * vectors + (sum(sizes.values()) - vectors) // kind.numbers * kind.n_bytes


def write_gguf(path: Path, config: LlamaConfig, kind: Kind, seed: int) -> None:
    """Write one file, one tensor in memory at a time; the same seed gives the same bytes.

    Raises ``ValueError`` without the package gguf, and for scaled RoPE, which has a tensor.
    """
    try:
        from gguf import GGMLQuantizationType, GGUFWriter
    except ImportError:
        raise ValueError("writing GGUF needs a package: pip install gguf") from None
    if config.rope_scaling is not None:
        raise ValueError("expected a shape without scaled RoPE; take another, or another dtype")
    writer, rng = GGUFWriter(path, "llama"), np.random.default_rng(seed)
    for key, value in metadata_of(config).items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
    tensors = {}
    for name, shape in shapes(config).items():
        theirs = names_elsewhere(name).gguf
        if len(shape) == 1:
            tensors[theirs] = shape, 4 * shape[0]
            writer.add_tensor_info(theirs, shape, np.dtype(np.float32), 4 * shape[0])
        else:
            n, width = shape if name == "embedding" else shape[::-1]
            if width % kind.numbers:
                raise ValueError(
                    f"{kind.name} comes in blocks of {kind.numbers}, {name} has rows of {width}; "
                    "take another shape, or another dtype"
                )
            in_bytes = n, width // kind.numbers * kind.n_bytes
            tensors[theirs] = in_bytes, math.prod(in_bytes)
            writer.add_tensor_info(
                theirs, in_bytes, np.dtype(np.uint8), math.prod(in_bytes),
                GGMLQuantizationType[kind.name],
            )  # fmt: skip
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    ring = rng.integers(0, 256, (RING_BLOCKS, kind.n_bytes), np.uint8)
    progress = Progress(len(tensors), quiet=2.0)
    for done, (shape, n_bytes) in enumerate(tensors.values(), start=1):
        if len(shape) == 1:
            writer.write_tensor_data(1 + rng.standard_normal(shape, np.float32) / 16)
        else:
            scaled(ring, kind, shape[1] // kind.n_bytes * kind.numbers)
            writer.write_tensor_data(np.resize(ring, n_bytes).reshape(shape))
        progress.show(done, "tensors written")
    writer.close()


def scaled(ring: np.ndarray, kind: Kind, width: int) -> None:
    """Give every block the scale at which numbers have a standard deviation of 1 / sqrt(width)."""
    at, spread, shift_at, shift = SPREAD[kind.name]
    scale = np.float16(1 / math.sqrt(width) / spread)
    ring[:, at : at + 2] = np.frombuffer(scale.tobytes(), np.uint8)
    if shift_at is not None:
        ring[:, shift_at : shift_at + 2] = np.frombuffer(
            np.float16(shift * scale).tobytes(), np.uint8
        )


def metadata_of(config: LlamaConfig) -> dict[str, int | float]:
    """What a file says of its shape."""
    sizes = {
        "block_count": config.n_layers, "context_length": config.context_length,
        "embedding_length": config.dim, "feed_forward_length": config.ffn_width,
        "attention.head_count": config.n_heads, "attention.head_count_kv": config.n_kv_heads,
        "attention.key_length": config.head_dim, "attention.value_length": config.head_dim,
        "rope.dimension_count": config.head_dim, "vocab_size": config.vocab_size,
        "attention.layer_norm_rms_epsilon": float(config.norm_eps),
        "rope.freq_base": float(config.rope_theta),
    }  # fmt: skip
    return {f"llama.{key}": value for key, value in sizes.items()}
