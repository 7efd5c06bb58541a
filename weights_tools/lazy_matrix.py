"""Matrices that stay in their file: ``x @ w`` reads a few rows at a time and widens only those.

A weight of the model may be a float32 array or one of these; the code, and the lesson, say
``x @ w`` either way. The rows lie in a memory-mapped file in 16, 8 or 4 bits a number. The product
takes a block of rows, writes it as float32 into a small buffer that stays in the processor's
cache, multiplies, and goes on, on every core.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from llama_np.axes import Array

from .workers import share

BLOCK = 1 << 20  # numbers that a core widens at a time; fewer, and Python costs more than it saves
ALONE = 1 << 18  # numbers in a matrix too small to wake other cores for
SIXTEEN, THREE = np.uint32(16), np.int32(3)
UPPER_HALF = np.uint32(0xFFFF0000)
HALF_PRECISION = np.uint32(0x8FFFE000).view(np.int32)  # where its bits stand once shifted by 3
REBIAS = np.float32(2.0**112)  # exponents count from -15 in float16, from -127 in float32


def widen_bf16(bits: Array["..."]) -> Array["..."]:
    """bfloat16, given as uint16 bit patterns, to float32: exact.

    The format is the upper half of a float32, so widening is a shift by 16 bits.

    PyTorch: ``x.to(torch.float32)``.

    >>> widen_bf16(np.array([0x3F80, 0xC000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    wide = bits.astype(np.uint32)
    wide <<= SIXTEEN
    return wide.view(np.float32)


def narrow_bf16(x: Array["..."]) -> Array["..."]:
    """float32 to the bit patterns of the nearest bfloat16, ties to even. For finite numbers.

    PyTorch: ``x.to(torch.bfloat16)``.

    >>> narrow_bf16(np.array([1.0, -2.0], np.float32)).tolist() == [0x3F80, 0xC000]
    True
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    tie_to_even = (bits >> 16) & 1
    return ((bits + 0x7FFF + tie_to_even) >> 16).astype(np.uint16)


class StoredMatrix:
    """A matrix (in, out) over ``stored``, which holds its rows (out, in) as files do.

    ``x @ w`` streams; ``w[rows, columns]`` widens what it needs, ``np.asarray(w)`` everything.
    ``w.T`` reads it the other way round, so that rows can be looked up: an embedding. ``order``
    says, where given, which stored row each number of the result comes from.

    This class takes rows that come as floats; the others say how to widen theirs. ``stored`` needs
    ``.shape`` and ``[rows]``. Raises ``ValueError`` where the inner axes of a product differ.

    PyTorch: ``torch.nn.functional.linear(x, stored)``.

    >>> w = StoredMatrix(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32))
    >>> w.shape, (np.array([1.0, 1.0], np.float32) @ w).tolist(), w.T[1].tolist()
    ((2, 3), [3.0, 7.0, 11.0], [3.0, 4.0])
    """

    ndim = 2
    dtype = np.dtype(np.float32)  # of what it answers with
    __array_priority__ = 1.0  # `array @ matrix` asks the matrix first

    def __init__(self, stored: Any, order: Array["out"] | None = None):
        self.stored, self.order, self.transposed = stored, order, True

    @property
    def T(self) -> "StoredMatrix":
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, transposed=not self.transposed)
        return twin

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.stored.shape
        return (columns, rows) if self.transposed else (rows, columns)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, shape {self.shape}: its rows stay in the file>"

    def __array__(self, dtype=None, copy=None) -> Array["in out"]:
        whole = self.whole() if self.transposed else self.T.whole().T
        return np.array(whole, dtype) if copy else np.asarray(whole, dtype)

    def whole(self, take: Callable = np.empty) -> Array["in out"]:
        """The widened matrix, in memory from ``take``. Rows that are wide stay where they are."""
        n, width = self.stored.shape
        if type(self) is StoredMatrix and self.order is None:
            return self.rows(slice(None)).T
        wide, height = take((n, width), np.float32), self.height(1)

        def work(starts) -> None:
            for start in starts:
                block = slice(start, start + height)
                wide[block] = self.rows(block)

        starts = iter(range(0, n, height))
        work(starts) if self.size < ALONE else share(work, starts)
        return wide.T

    def __getitem__(self, key) -> Array["..."]:
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        if self.transposed:
            return self.rows(columns)[..., rows].T
        return self.rows(rows)[..., columns]

    def rows(self, index) -> Array["... in"]:
        """The stored rows that ``index`` names, in our order, as float32."""
        return self.widen(self.stored[index if self.order is None else self.order[index]])

    def __matmul__(self, other) -> Array["in ..."]:
        return np.asarray(self) @ other

    def __rmatmul__(self, x: Array["... in"]) -> Array["... out"]:
        if not self.transposed:
            return x @ np.asarray(self)
        n, width = self.stored.shape
        if x.shape[-1] != width:
            raise ValueError(f"cannot multiply {x.shape} by {self.shape}: the inner axes differ")
        flat = x.reshape(-1, width)
        out = np.empty((len(flat), n), np.result_type(x, self.dtype))
        operand, height = self.prepare(flat), self.height(len(flat))

        def work(starts) -> None:
            buffer = self.buffers(min(height, n))
            for start in starts:
                rows = slice(start, start + height)
                self.multiply(operand, self.raw(rows), buffer, out[:, rows])

        starts = iter(range(0, n, height))
        share(work, starts) if self.shares(len(flat)) else work(starts)
        return self.finish(out).reshape(*x.shape[:-1], n)

    def finish(self, out: Array["T out"]) -> Array["T out"]:
        """What is left to do once every row has had its turn."""
        return out if self.order is None else out[:, self.order]

    # How rows become float32, and are multiplied: what the kinds of storage differ in.

    def height(self, n_x: int) -> int:
        """How many rows are widened at a time for ``n_x`` rows on the left side."""
        return max(1, BLOCK // self.stored.shape[1])

    def shares(self, n_x: int) -> bool:
        """Whether it pays to wake other cores for ``n_x`` rows on the left side."""
        return self.size >= ALONE

    def buffers(self, height: int) -> Any:
        """Room for so many widened rows."""
        return np.empty(height * self.stored.shape[1], np.float32)

    def raw(self, rows: slice) -> Any:
        """Some rows as ``multiply`` takes them."""
        return self.stored[rows]

    def widen(self, stored: Array["... in"]) -> Array["... in"]:
        """Stored rows as float32."""
        return np.asarray(stored, np.float32)

    def prepare(self, x: Array["T in"]) -> Any:
        """The left side in the form in which ``multiply`` wants it, made once a product."""
        return x

    def multiply(self, x, stored: Array["R in"], buffer: Any, out: Array["T R"]) -> None:
        """``x @ stored.T``, written to ``out``; ``buffer`` has room for the widened rows."""
        np.matmul(x, self.widen(stored).T, out=out)


class Int8Matrix(StoredMatrix):
    """Rows of int8, each with a scale: the number is ``stored[n, i] * scale[n]``."""

    def __init__(self, stored: Any, scale: Array["out"], order: Array["out"] | None = None):
        super().__init__(stored, order)
        self.scale = scale

    def rows(self, index):
        if self.order is not None:
            index = self.order[index]
        return self.widen(self.stored[index]) * self.scale[index, None]

    def multiply(self, x, stored, buffer, out):
        wide = buffer[: stored.size].reshape(stored.shape)
        np.copyto(wide, stored)
        np.matmul(x, wide.T, out=out)

    def finish(self, out):
        out *= self.scale  # once for each result, not for each weight
        return super().finish(out)


class PairsMatrix(StoredMatrix):
    """Rows of 16-bit numbers, widened two at a time.

    Two neighbours are read as one uint32. Its lower half is the number with the even index, its
    upper half the odd one. So a product is two: the even columns with the even half of ``x``, and
    the odd ones. Shifting and masking whole uint32 is several times faster than converting 16-bit
    numbers one by one.
    """

    def prepare(self, x):
        if x.shape[1] % 2:
            return x
        return np.ascontiguousarray(x[:, 0::2]), np.ascontiguousarray(x[:, 1::2])

    def multiply(self, x, stored, buffer, out):
        if stored.shape[1] % 2:
            return super().multiply(x, stored, buffer, out)
        pairs = stored.view(np.uint32)
        wide = buffer[: pairs.size].reshape(pairs.shape)
        self.widen_even(pairs, wide)
        np.matmul(x[0], wide.T, out=out)
        self.widen_odd(pairs, wide)
        out += x[1] @ wide.T


class Bf16Matrix(PairsMatrix):
    """Rows of bfloat16 as uint16 bit patterns: the upper halves of float32 numbers."""

    def widen(self, stored):
        return widen_bf16(stored)

    def widen_even(self, pairs, wide):
        np.left_shift(pairs, SIXTEEN, out=wide.view(np.uint32))

    def widen_odd(self, pairs, wide):
        np.bitwise_and(pairs, UPPER_HALF, out=wide.view(np.uint32))


class F16Matrix(PairsMatrix):
    """Rows of float16. Their products are right for finite numbers only.

    Sign, exponent and fraction stand three bits lower in a float32 than in the upper half of one;
    then the exponent is off by the difference of the two biases, which a multiplication puts right.
    """

    def widen_even(self, pairs, wide):
        np.left_shift(pairs, SIXTEEN, out=wide.view(np.uint32))
        self.widen_odd(wide.view(np.uint32), wide)

    def widen_odd(self, pairs, wide):
        bits = wide.view(np.int32)
        np.right_shift(pairs.view(np.int32), THREE, out=bits)  # of a signed number: keeps the sign
        np.bitwise_and(bits, HALF_PRECISION, out=bits)
        np.multiply(wide, REBIAS, out=wide)
