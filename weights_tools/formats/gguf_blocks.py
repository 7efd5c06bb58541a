"""GGUF's types of numbers: their names, their blocks, and blocks widened to float32.

A quantised row is a run of blocks: small integers, and beside them what scales them. The five types
that most files are made of are read here. The package gguf knows the rarer ones:
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
    12: Kind("Q4_K", 256, 144),
    14: Kind("Q6_K", 256, 210),
    30: Kind("BF16", 1, 2),
}
LINE = np.dtype("V32")  # 32 bytes that are copied as one
FOUR, SIXTEEN = np.uint8(4), np.uint8(16)  # multiplied by: NumPy shifts bytes left more slowly


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


def widen_q4_k(blocks: Array["... 144"]) -> Array["... 256"]:
    """Eight times 32 integers of 4 bits, each 32 with a scale and a shift."""
    scale, shift = scales_q4_k(blocks)
    integers = integers_q4_k(blocks).reshape(*scale.shape, 32)
    return (scale[..., None] * integers + shift[..., None]).reshape(*blocks.shape[:-1], 256)


def integers_q4_k(blocks: Array["... 144"]) -> Array["... 256"]:
    """From 0 to 15. Of 32 bytes, the lower halves come first, then the upper ones."""
    packed = np.ascontiguousarray(blocks[..., 16:])
    apart = np.empty((*packed.shape[:-1], 4, 2), LINE)
    apart[..., 0] = (packed & 15).view(LINE)
    apart[..., 1] = (packed >> 4).view(LINE)
    return apart.view(np.uint8).reshape(*packed.shape[:-1], 256)


def scales_q4_k(blocks: Array["... 144"]) -> tuple[Array["... 8"], Array["... 8"]]:
    """Scale and shift of each 32 integers: of 6 bits each, times a float16 of the block's own.

    The 6 bits of the first four of either lie whole in a byte. Those of the last four lie apart:
    the lower 4 bits in a third run of bytes, the upper 2 above the first four.
    """
    first = blocks[..., 4:12].view(np.uint64)  # eight at a time: the scales' bytes, the shifts'
    last = blocks[..., 12:16].view(np.uint32).astype(np.uint64)
    last |= last << np.uint64(28)  # upper halves of bytes come to lie in the upper word
    last &= np.uint64(0x0F0F0F0F0F0F0F0F)
    last |= (first >> np.uint64(2)) & np.uint64(0x3030303030303030)
    words = np.concatenate([first & np.uint64(0x3F3F3F3F3F3F3F3F), last], axis=-1).view(np.uint32)
    scale, shift = (words[..., i::2].copy().view(np.uint8).astype(np.float32) for i in (0, 1))
    scale *= scales(blocks, 0)
    shift *= -scales(blocks, 2)
    return scale, shift


def widen_q6_k(blocks: Array["... 210"]) -> Array["... 256"]:
    """Sixteen times 16 integers of 6 bits, each 16 with a scale."""
    scale = scales_q6_k(blocks)
    integers = integers_q6_k(blocks).reshape(*scale.shape, 16)
    return (scale[..., None] * integers).reshape(*blocks.shape[:-1], 256)


def integers_q6_k(blocks: Array["... 210"]) -> Array["... 256"]:
    """From -32 to 31. The lower 4 bits lie in 128 bytes, the upper 2 in the 64 behind them.

    Of 64 bytes of the former, the lower halves come first. Of 32 of the latter, bits 0 and 1 are
    those of the first 32 integers, bits 2 and 3 those of the next.
    """
    low = np.ascontiguousarray(blocks[..., :128])
    high = np.ascontiguousarray(blocks[..., 128:192])
    lower, upper = np.empty((2, *low.shape[:-1], 2, 4), LINE)
    lines = (*low.shape[:-1], 2, 2)
    lower[..., :2] = (low & 15).view(LINE).reshape(lines)
    lower[..., 2:] = (low >> 4).view(LINE).reshape(lines)
    lines = (*low.shape[:-1], 2)
    for i, bits in enumerate([high * SIXTEEN, high * FOUR, high, high >> 2]):
        upper[..., i] = bits.view(LINE).reshape(lines)
    integers = upper.view(np.uint64)
    integers &= np.uint64(0x3030303030303030)
    integers |= lower.view(np.uint64)
    found = integers.view(np.int8)
    found -= 32
    return found.reshape(*low.shape[:-1], 256)


def scales_q6_k(blocks: Array["... 210"]) -> Array["... 16"]:
    """Of each 16 integers: 8 bits, times a float16 of the block's own."""
    return scales(blocks, 208) * blocks[..., 192:208].view(np.int8).astype(np.float32)


WIDEN = {
    "Q8_0": widen_q8_0, "Q4_0": widen_q4_0, "Q4_1": widen_q4_1,
    "Q4_K": widen_q4_k, "Q6_K": widen_q6_k,
}  # fmt: skip
