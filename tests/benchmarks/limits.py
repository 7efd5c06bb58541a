"""The machine's limits at the size of a model, as samples to set beside the model's own."""

import math

import numpy as np

from llama_np.config import LlamaConfig
from tests.benchmarks import machine
from tests.benchmarks.turns import seconds_for
from weights_tools.lazy_matrix import BLOCK
from weights_tools.workers import n_cores

LEAST = 0.1  # seconds that a sample of something quick goes on


def weights_read(config: LlamaConfig) -> int:
    """Weights that a token is multiplied by: all but an embedding that is not the output too."""
    embedding = 0 if config.tied_output else config.vocab_size * config.dim
    return config.count_parameters() - embedding


def operations(config: LlamaConfig, T: int) -> int:
    """Floating-point operations that reading ``T`` tokens needs, with logits for the last alone.

    A multiplication and an addition count as two. Query and key meet only where one may see the
    other.
    """
    output = config.vocab_size * config.dim
    blocks = weights_read(config) - output
    pairs = T * (T + 1) // 2
    return 2 * (
        T * blocks + output + 2 * pairs * config.n_heads * config.head_dim * config.n_layers
    )


class MatrixVector:
    """Bytes of float32 weights a second, from a square matrix as large as the model, or 256 MiB."""

    def __init__(self, config: LlamaConfig):
        side = min(machine.SIDE, math.isqrt(weights_read(config)))
        self.matrix = np.ones((side, side), np.float32)  # (out, in), as a model's lie
        self.x = np.ones(side, np.float32)

    def __call__(self) -> float:
        self.x @ self.matrix.T
        return self.matrix.nbytes / seconds_for(lambda: self.x @ self.matrix.T, LEAST)


class MatrixMatrix:
    """Floating-point operations a second in the product of two large square matrices."""

    def __init__(self):
        self.pair = np.ones((2, machine.SMALL_SIDE, machine.SMALL_SIDE), np.float32)

    def __call__(self) -> float:
        a, b = self.pair
        a[:64] @ b  # wakes the threads
        return 2 * len(a) ** 3 / seconds_for(lambda: a @ b, LEAST)


def widening(data: np.ndarray) -> float:
    """Bytes of bfloat16 a second that all cores widen to float32.

    As ``Bf16Matrix`` does: two numbers at a time, into a buffer that the caches hold.
    """
    pairs = np.array_split(data.ravel().view(np.uint32), n_cores())

    def work(block: np.ndarray) -> None:
        wide = np.empty_like(block)
        np.left_shift(block, np.uint32(16), out=wide)
        np.bitwise_and(block, np.uint32(0xFFFF0000), out=wide)

    parts = [[part[i : i + BLOCK // 2] for i in range(0, part.size, BLOCK // 2)] for part in pairs]
    return machine.PASSES * data.nbytes / machine.seconds_on_threads(work, parts)
