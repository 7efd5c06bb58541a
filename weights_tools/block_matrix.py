"""Matrices whose rows stay in their file in GGUF's blocks: 4 to 8 bits a number.

A block is 32 small integers q, or 16, and beside them what scales them. Its part of a product is

    sum of (scale * q + shift) * x  =  scale * (sum of q * x)  +  shift * (sum of x)

so the integers are multiplied as they are, and each block's sum is scaled once. Where blocks are
short, the integers come out of their bytes together with the bytes of the scale, because one pass
over everything is faster than stepping over those; the numbers of x that meet them are zero. What
else was tried stands in tests/benchmarks/README.md.
"""

from typing import NamedTuple

import numpy as np

from llama_np.axes import Array

from .formats.gguf_blocks import integers_q4_k, integers_q6_k, scales_q4_k, scales_q6_k
from .lazy_matrix import BLOCK, StoredMatrix
from .workers import n_cores

FEW = 16  # rows of x: with more, scaling every weight once costs less than scaling every sum
ROWS = 256  # widened at a time for more than a few: with less, BLAS is slower
APART = np.uint16(16)  # a byte times this is two bytes: 16 times its lower half, its upper half


class Operand(NamedTuple):
    """The left side of a product: in the order of the unpacked numbers, and its sums by block."""

    x: Array["blocks P T"]
    sums: Array["T blocks"]


class BlockMatrix(StoredMatrix):
    """A matrix (in, out) over rows of blocks, ``stored.blocks`` being their bytes.

    Right for finite scales only. The kinds say how many numbers have one scale, and how bytes
    become integers.
    """

    numbers = 32  # that are scaled together: a block
    n_unpacked = 32  # numbers that come out of a block, those of the scale included

    def height(self, n_x):
        return max(1, BLOCK // 8 // self.stored.shape[1]) if n_x <= FEW else ROWS

    def shares(self, n_x):
        # The steps of a few rows take some microseconds each, and after every one a thread waits
        # until the other gives it Python's lock: two cores are slower than one.
        return super().shares(n_x) and (n_x > FEW or n_cores() > 2)

    def buffers(self, height):
        n_blocks = self.stored.shape[1] // self.numbers
        return np.empty((height, n_blocks, self.n_unpacked), np.float32)

    def raw(self, rows):
        return self.stored.blocks[rows]

    def prepare(self, x):
        blocks = x.reshape(len(x), x.shape[1] // self.numbers, self.numbers)
        placed = np.zeros((blocks.shape[1], self.n_unpacked, len(x)), x.dtype)
        self.place(blocks.transpose(1, 2, 0), placed)
        return Operand(placed, blocks.sum(axis=2))

    def multiply(self, operand, raw, buffer, out):
        wide = buffer[: len(raw)]  # R blocks P
        np.copyto(wide, self.integers(raw).reshape(wide.shape))
        scale, shift = self.scales(raw)
        if len(out) <= FEW:
            parts = np.matmul(wide.swapaxes(0, 1), operand.x)  # blocks R P @ blocks P T
            np.einsum("brt,br->tr", parts, scale, out=out)
        else:
            wide *= scale.T[:, :, None]
            flat = operand.x.reshape(-1, len(out))
            np.matmul(flat.T, wide.reshape(len(raw), -1).T, out=out)
        if shift is not None:
            out += operand.sums @ shift

    # What the kinds differ in.

    def place(self, x: Array["blocks N T"], placed: Array["blocks P T"]) -> None:
        """Put each number of x where the weight that it meets is unpacked to."""
        placed[:] = x

    def integers(self, raw: Array["R bytes"]) -> Array["..."]:
        """All that comes out of some rows, block by block, as integers of 8 bits."""
        raise NotImplementedError

    def scales(self, raw: Array["R bytes"]) -> tuple[Array["blocks R"], Array["blocks R"] | None]:
        """Scale and shift of every block; None for a shift of 0."""
        raise NotImplementedError


class ShortBlocksMatrix(BlockMatrix):
    """Blocks of one or two float16 and 32 integers: ``n_bytes`` each."""

    n_bytes: int

    def scales(self, raw):
        return self.halves(raw, 0), None

    def halves(self, raw: Array["R bytes"], i: int) -> Array["blocks R"]:
        """The float16 that is the i-th in each block, as float32."""
        each = raw.view(np.float16)[:, i :: self.n_bytes // 2]
        return each.T.astype(np.float32, order="C")


class Q8_0Matrix(ShortBlocksMatrix):
    """A scale and 32 integers of 8 bits: ``scale * q``."""

    n_bytes, n_unpacked = 34, 34

    def place(self, x, placed):
        placed[:, 2:] = x

    def integers(self, raw):
        return raw.view(np.int8)


class NibblesMatrix(ShortBlocksMatrix):
    """One or two float16 and 16 bytes with two integers of 4 bits in each.

    A byte becomes two side by side: 16 times its lower half, and its upper half. The numbers of x
    that meet the former are divided by 16, which is exact.
    """

    def place(self, x, placed):
        front = self.n_unpacked - 32
        placed[:, front::2] = x[:, :16] / 16
        placed[:, front + 1 :: 2] = x[:, 16:]

    def integers(self, raw):
        return np.multiply(raw, APART, dtype=np.uint16).view(np.uint8)


class Q4_0Matrix(NibblesMatrix):
    """``scale * (q - 8)``."""

    n_bytes, n_unpacked = 18, 36

    def scales(self, raw):
        scale = self.halves(raw, 0)
        return scale, np.float32(-8) * scale


class Q4_1Matrix(NibblesMatrix):
    """``scale * q + least``: what is added has a float16 of its own."""

    n_bytes, n_unpacked = 20, 40

    def scales(self, raw):
        return self.halves(raw, 0), self.halves(raw, 1)


class Q4_KMatrix(BlockMatrix):
    """Eight blocks of 32 integers of 4 bits in 144 bytes: see ``gguf_blocks.scales_q4_k``."""

    def integers(self, raw):
        return integers_q4_k(raw.reshape(len(raw), -1, 144))

    def scales(self, raw):
        scale, shift = scales_q4_k(raw.reshape(len(raw), -1, 144))
        return scale.reshape(len(raw), -1).T, shift.reshape(len(raw), -1).T


class Q6_KMatrix(BlockMatrix):
    """Sixteen blocks of 16 integers of 6 bits in 210 bytes: see ``gguf_blocks.integers_q6_k``."""

    numbers = n_unpacked = 16

    def integers(self, raw):
        return integers_q6_k(raw.reshape(len(raw), -1, 210))

    def scales(self, raw):
        return scales_q6_k(raw.reshape(len(raw), -1, 210)).reshape(len(raw), -1).T, None
