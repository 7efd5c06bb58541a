"""GGUF's types of numbers: their names, their blocks, and blocks widened to float32.

A quantised row is a run of blocks: 32 small integers, in front of them what scales them. The three
types that most files are made of are read here. The package gguf knows the rarer ones:
https://github.com/ggml-org/llama.cpp/tree/master/gguf-py

Source: ``block_q4_0`` and its neighbours in
https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-common.h
"""

from typing import NamedTuple

import numpy as np

from llama_np.axes import Array


class Kind(NamedTuple):
    """A type of number: its name, and how many numbers lie in a block of how many bytes."""

    name: str
    numbers: int
    n_bytes: int


KINDS = {  # by the number that stands in the file
    0: Kind("F32", 1, 4),
    1: Kind("F16", 1, 2),
    2: Kind("Q4_0", 32, 18),
    3: Kind("Q4_1", 32, 20),
    8: Kind("Q8_0", 32, 34),
    30: Kind("BF16", 1, 2),
}


def kind_of(number: int) -> Kind:
    """The type of that number. Raises ``ValueError`` for one that is not known."""
    if number in KINDS:
        return KINDS[number]
    types, sizes = package().GGMLQuantizationType, package().GGML_QUANT_SIZES
    try:
        kind = types(number)
    except ValueError:
        raise ValueError(
            f"the unknown type {number}; a newer gguf may know it: pip install --upgrade gguf"
        ) from None
    return Kind(kind.name, *sizes[kind])


def package():
    """The package gguf. Raises ``ValueError`` where it is not installed."""
    try:
        import gguf.quants
    except ImportError:
        known = ", ".join(kind.name for kind in KINDS.values())
        raise ValueError(
            f"a type that needs a package (without it: {known}): pip install gguf"
        ) from None
    return gguf


def can_widen(kind: Kind) -> bool:
    """Whether blocks of a type can be widened, here or by the package."""
    try:
        widen(np.zeros((1, kind.n_bytes), np.uint8), kind)
    except NotImplementedError:
        return False
    return True


def widen(blocks: Array["... B"], kind: Kind) -> Array["... N"]:
    """Whole blocks, given as their bytes, as float32.

    gguf: ``gguf.quants.dequantize``.

    >>> scale, integers = np.array([0.5], np.float16), np.arange(-16, 16, dtype=np.int8)
    >>> block = np.concatenate([scale.view(np.uint8), integers.view(np.uint8)])
    >>> widen(block, KINDS[8])[:3].tolist()
    [-8.0, -7.5, -7.0]
    """
    with np.errstate(all="ignore"):  # a damaged scale is no number: `verify` finds it
        if kind.name not in WIDEN:
            types = package().GGMLQuantizationType
            return package().quants.dequantize(blocks, types[kind.name])
        apart = blocks.reshape(*blocks.shape[:-1], -1, kind.n_bytes)
        return WIDEN[kind.name](apart).reshape(*blocks.shape[:-1], -1)


def widen_q8_0(blocks: Array["... 34"]) -> Array["... 32"]:
    """A scale in float16, 32 integers in int8: ``scale * integer``."""
    return scales(blocks, 0) * blocks[..., 2:].view(np.int8).astype(np.float32)


def widen_q4_0(blocks: Array["... 18"]) -> Array["... 32"]:
    """A scale in float16, 32 integers of 4 bits: ``scale * (integer - 8)``."""
    return scales(blocks, 0) * (nibbles(blocks[..., 2:]) - np.float32(8))


def widen_q4_1(blocks: Array["... 20"]) -> Array["... 32"]:
    """A scale and a least number in float16, 32 integers of 4 bits: ``scale * integer + least``."""
    return scales(blocks, 0) * nibbles(blocks[..., 4:]) + scales(blocks, 2)


def scales(blocks: Array["... B"], at: int) -> Array["... 1"]:
    """The float16 at that byte of each block, as float32."""
    return np.ascontiguousarray(blocks[..., at : at + 2]).view(np.float16).astype(np.float32)


def nibbles(packed: Array["... 16"]) -> Array["... 32"]:
    """16 bytes as 32 integers: the lower halves first, then the upper ones.

    >>> nibbles(np.array([0x21, 0x43], np.uint8)).tolist()
    [1.0, 3.0, 2.0, 4.0]
    """
    return np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32)


WIDEN = {"Q8_0": widen_q8_0, "Q4_0": widen_q4_0, "Q4_1": widen_q4_1}
