"""Matrices whose rows stay in their file in GGUF's blocks: 4 or 8 bits a number.

A block is 32 small integers q and, in front of them, what scales them. Its part of a product is

    sum of (scale * q + shift) * x  =  scale * (sum of q * x)  +  shift * (sum of x)

so the integers are multiplied as they are, and each block's sum is scaled once. The integers come
out of their bytes together with the bytes of the scale, because one pass over everything is faster
than stepping over those; the numbers of x that meet them are zero. What else was tried stands in
tests/benchmarks/README.md.
"""

from typing import NamedTuple

import numpy as np

from llama_np.axes import Array

from .lazy_matrix import BLOCK, StoredMatrix

FEW = 16  # rows of x: with more, scaling every weight once costs less than scaling every sum
APART = np.uint16(16)  # a byte times this is two bytes: 16 times its lower half, its upper half


class Operand(NamedTuple):
    """The left side of a product: in the order of the unpacked numbers, and its sums by block."""

    x: Array["blocks P T"]
    sums: Array["T blocks"]


class Buffers(NamedTuple):
    """Room for what a core unpacks of some rows, used again for the next ones."""

    pairs: Array["N"]
    wide: Array["N"]


class BlockMatrix(StoredMatrix):
    """A matrix (in, out) over rows of blocks, ``stored.blocks`` being their bytes.

    Right for finite scales only. The kinds say how many bytes a block has, and how its bytes become
    integers.
    """

    n_bytes: int  # of a block
    n_unpacked: int  # numbers that come out of a block, those of the scale included

    def height(self, n_x):
        return max(1, BLOCK // (8 if n_x <= FEW else 2) // self.stored.shape[1])

    def buffers(self, height):
        n_bytes = height * self.stored.blocks.shape[1]
        n_wide = n_bytes // self.n_bytes * self.n_unpacked
        return Buffers(np.empty(n_bytes, np.uint16), np.empty(n_wide, np.float32))

    def raw(self, rows):
        return self.stored.blocks[rows]

    def prepare(self, x):
        blocks = x.reshape(len(x), x.shape[1] // 32, 32)
        placed = np.zeros((blocks.shape[1], self.n_unpacked, len(x)), x.dtype)
        self.place(blocks.transpose(1, 2, 0), placed)
        return Operand(placed, blocks.sum(axis=2))

    def multiply(self, operand, raw, buffers, out):
        n, n_blocks = len(raw), raw.shape[1] // self.n_bytes
        wide = self.unpack(raw, buffers).reshape(n, n_blocks, self.n_unpacked)
        scale, shift = self.scales(raw)
        if len(out) <= FEW:
            parts = np.matmul(wide.swapaxes(0, 1), operand.x)  # blocks R P @ blocks P T
            np.einsum("brt,br->tr", parts, scale, out=out)
        else:
            wide *= scale.T[:, :, None]
            flat = operand.x.reshape(n_blocks * self.n_unpacked, -1)
            np.matmul(flat.T, wide.reshape(n, -1).T, out=out)
        if shift is not None:
            out += operand.sums @ shift

    # What the kinds differ in.

    def place(self, x: Array["blocks 32 T"], placed: Array["blocks P T"]) -> None:
        """Put each number of x where the weight that it meets is unpacked to."""
        raise NotImplementedError

    def unpack(self, raw: Array["R bytes"], buffers: Buffers) -> Array["N"]:
        """All bytes of some rows as numbers, those of a block one behind another."""
        raise NotImplementedError

    def scales(self, raw: Array["R bytes"]) -> tuple[Array["blocks R"], Array["blocks R"] | None]:
        """Scale and shift of every block; None for a shift of 0."""
        return self.halves(raw, 0), None

    def halves(self, raw: Array["R bytes"], i: int) -> Array["blocks R"]:
        """The float16 that is the i-th in each block, as float32."""
        each = raw.view(np.float16)[:, i :: self.n_bytes // 2]
        return each.T.astype(np.float32, order="C")


class Q8_0Matrix(BlockMatrix):
    """Blocks of a scale in float16 and 32 integers of 8 bits: ``scale * q``."""

    n_bytes, n_unpacked = 34, 34

    def place(self, x, placed):
        placed[:, 2:] = x

    def unpack(self, raw, buffers):
        wide = buffers.wide[: raw.size]
        np.copyto(wide.reshape(raw.shape), raw.view(np.int8))
        return wide


class NibblesMatrix(BlockMatrix):
    """Blocks of 16 bytes with two integers of 4 bits in each, behind one or two float16.

    A byte becomes two floats side by side: 16 times its lower half, and its upper half. The numbers
    of x that meet the former are divided by 16, which is exact.
    """

    def place(self, x, placed):
        front = self.n_unpacked - 32
        placed[:, front::2] = x[:, :16] / 16
        placed[:, front + 1 :: 2] = x[:, 16:]

    def unpack(self, raw, buffers):
        pairs = buffers.pairs[: raw.size].reshape(raw.shape)
        np.multiply(raw, APART, out=pairs, dtype=np.uint16)
        wide = buffers.wide[: 2 * raw.size]
        np.copyto(wide, pairs.reshape(-1).view(np.uint8))
        return wide


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
