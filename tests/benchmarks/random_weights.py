"""Randomly filled weights of any shape, in memory."""

from collections.abc import Callable

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import Weights, shapes
from tests.benchmarks.checkpoint import Ring
from weights_tools.memory import side_by_side


def random_weights(config: LlamaConfig, seed: int = 0) -> Weights:
    """Float32 weights that lie in memory as loaded ones do: matrices (out, in), seen transposed."""
    ring, take = Ring("float32", seed), side_by_side()
    return Weights.from_named(
        {name: filled(ring, name, shape, take) for name, shape in shapes(config).items()}
    )


def filled(ring: Ring, name: str, shape: tuple[int, ...], take: Callable) -> np.ndarray:
    """One array, with the next numbers of the ring."""
    turned = len(shape) == 2 and name != "embedding"
    array = take(shape[::-1] if turned else shape, np.float32)
    flat, filled_to = array.reshape(-1), 0
    for piece in ring.chunks(array.shape):
        flat[filled_to : filled_to + len(piece)] = piece
        filled_to += len(piece)
    return array.T if turned else array
