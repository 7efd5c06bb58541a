"""Randomly filled weights of any shape, in memory."""

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import Weights, shapes

from .checkpoint import Ring


def random_weights(config: LlamaConfig, seed: int = 0) -> Weights:
    """Float32 weights that lie in memory as loaded ones do: matrices (out, in), seen transposed."""
    ring = Ring("float32", seed)
    return Weights.from_named(
        {name: filled(ring, name, shape) for name, shape in shapes(config).items()}
    )


def filled(ring: Ring, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One array, with the next numbers of the ring."""
    turned = len(shape) == 2 and name != "embedding"
    array = np.empty(shape[::-1] if turned else shape, np.float32)
    flat, filled_to = array.reshape(-1), 0
    for piece in ring.chunks(array.shape):
        flat[filled_to : filled_to + len(piece)] = piece
        filled_to += len(piece)
    return array.T if turned else array
