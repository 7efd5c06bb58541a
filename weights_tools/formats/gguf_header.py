"""The header of a GGUF file: metadata and the list of tensors, every length checked.

The package gguf has a reader too. It trusts the file, so that a damaged count keeps it busy for
hours, and it takes ten seconds over a vocabulary of Llama 3's size; this one takes half a second.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from typing import Any, NamedTuple

import numpy as np

from llama_np.config import brief

from ..reading import LONGEST_NAME

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST = 2**22  # more values, in all arrays together, or bytes in a string mean a damaged count
MOST_TENSORS = 100_000  # Llama 3.1 405B has 1,138
LARGEST_HEADER = 1 << 26  # bytes; that of Llama 3 has eight million, nearly all of it vocabulary
SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
FLOAT32, STRING, ARRAY = 6, 8, 9


class TensorInfo(NamedTuple):
    """Where a tensor lies: ``offset`` in bytes from the start of the file, ``shape`` as in NumPy.

    GGUF itself counts the axes the other way round, the contiguous one first.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


class Header(NamedTuple):
    """What stands before the numbers; ``alignment`` in bytes is that of every tensor.

    ``start``: where the numbers begin.
    """

    metadata: dict[str, Any]
    tensors: list[TensorInfo]
    alignment: int
    start: int


class Cursor:
    """Reads from front to back, never past the end."""

    def __init__(self, data: memoryview):
        self.data, self.at, self.values = data, 0, 0

    def skip(self, n_bytes: int) -> int:
        """Step over so many bytes and return where they start."""
        start, self.at = self.at, self.at + n_bytes
        if self.at > len(self.data):
            raise ValueError(f"cut off or damaged (ends at byte {len(self.data)}); get it again")
        if self.at > LARGEST_HEADER:
            raise ValueError(
                f"damaged: more than {LARGEST_HEADER} bytes stand before the numbers; get it again"
            )
        return start

    def number(self, code: str) -> Any:
        """One number, by its code in ``struct``."""
        return struct.unpack_from(f"<{code}", self.data, self.skip(struct.calcsize(f"<{code}")))[0]

    def count(self, unit: str, most: int = MOST) -> int:
        """How many of something follow."""
        count = self.number("Q")
        if count > most:
            raise ValueError(f"damaged: it speaks of {count} {unit}; get it again")
        return count

    def text(self) -> str:
        """A string: its length, then so many bytes of UTF-8."""
        start = self.skip(self.count("bytes in a string"))
        try:
            return str(self.data[start : self.at], "utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"damaged: the string at byte {start} is no UTF-8") from None

    def value(self) -> Any:
        """One value of the metadata, its type in front; arrays come as lists."""
        kind = self.number("I")
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            value = self.number(scalar(kind))
            return shortest(value) if kind == FLOAT32 else value
        kind, count = self.number("I"), self.count("values in an array", MOST - self.values)
        self.values += count
        if kind == STRING:
            return [self.text() for _ in range(count)]
        dtype = np.dtype(f"<{scalar(kind)}")
        start = self.skip(count * dtype.itemsize)
        return np.frombuffer(self.data[start : self.at], dtype).tolist()

    def tensor(self) -> TensorInfo:
        """One entry of the list of tensors; ``offset`` still counts from the first tensor."""
        name, n_axes = self.text(), self.number("I")
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise ValueError(f"damaged: {brief.repr(name)} is no name of a tensor; get it again")
        if n_axes > 4:
            raise ValueError(f"damaged: {brief.repr(name)} has {n_axes} axes; get it again")
        shape = tuple(self.number("Q") for _ in range(n_axes))[::-1]
        return TensorInfo(name, shape, self.number("I"), self.number("Q"))


def scalar(kind: int) -> str:
    """The code in ``struct`` for a type of number."""
    if kind not in SCALARS:
        raise ValueError(f"damaged or newer than this reader: metadata of type {kind}")
    return SCALARS[kind]


def shortest(value: float) -> float:
    """The shortest decimal that is the same float32: what was meant.

    >>> shortest(9.999999747378752e-06)
    1e-05
    """
    return float(str(np.float32(value)))


def read_header(data: memoryview) -> Header:
    """The header of a whole file. Raises ``ValueError``, without the file's name."""
    cursor = Cursor(data)
    if bytes(data[:4]) != MAGIC:
        raise ValueError(f"not a GGUF file: it starts with {bytes(data[:4])!r}, not {MAGIC!r}")
    cursor.skip(4)
    version = cursor.number("I")
    if version not in VERSIONS:
        about = "big-endian" if version % 65536 == 0 else f"version {version}"
        raise ValueError(f"{about}; expected little-endian GGUF of version 2 or 3, convert it anew")
    n_tensors, n_values = cursor.count("tensors", MOST_TENSORS), cursor.count("metadata")
    metadata: dict[str, Any] = {}
    for _ in range(n_values):
        key = cursor.text()
        if key in metadata:
            raise ValueError(f"damaged: {brief.repr(key)} stands there twice")
        metadata[key] = cursor.value()
    tensors = [cursor.tensor() for _ in range(n_tensors)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"general.alignment must be a power of two, got {brief.repr(alignment)}")
    start = padded(cursor.at, alignment)
    tensors = [tensor._replace(offset=start + tensor.offset) for tensor in tensors]
    return Header(metadata, tensors, alignment, start)


def padded(n_bytes: int, alignment: int) -> int:
    """The next multiple of the alignment.

    >>> padded(64, 32), padded(65, 32)
    (64, 96)
    """
    return -(-n_bytes // alignment) * alignment
