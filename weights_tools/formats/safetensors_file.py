"""Safetensors files as NumPy arrays, bfloat16 included.

NumPy has no bfloat16. The format is the upper half of a float32, so widening is a shift by 16 bits
and exact; narrowing rounds to the nearest, ties to even.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, TensorSpec, safe_open, serialize

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}


def widen_bf16(bits: np.ndarray) -> np.ndarray:
    """bfloat16, given as uint16 bit patterns, to float32: exact.

    >>> widen_bf16(np.array([0x3F80, 0xC000], np.uint16)).tolist()
    [1.0, -2.0]
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow_bf16(x: np.ndarray) -> np.ndarray:
    """float32 to the bit patterns of the nearest bfloat16, as uint16. For finite numbers.

    PyTorch: ``x.to(torch.bfloat16)``.

    >>> narrow_bf16(np.array([1.0, -2.0], np.float32)).tolist() == [0x3F80, 0xC000]
    True
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    tie_to_even = (bits >> 16) & 1
    return ((bits + 0x7FFF + tie_to_even) >> 16).astype(np.uint16)


def read_tensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every tensor of a file with its name, in storage order, 16-bit ones widened to float32.

    The library checks the header; the numbers are then mapped into memory and read one tensor at a
    time. Raises ``ValueError`` for a damaged file or a type of number that no Llama is stored in.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.offset_keys()
            headers = [file.get_slice(name) for name in names]
            kinds = [(header.get_dtype(), tuple(header.get_shape())) for header in headers]
    except SafetensorError as error:
        raise ValueError(f"{path}: damaged or cut off ({error}); get the file again") from None
    data = np.memmap(path, np.uint8, mode="r")
    offset = 8 + int.from_bytes(data[:8].tobytes(), "little")  # the format's header length
    for name, (kind, shape) in zip(names, kinds, strict=True):
        if kind not in DTYPES:
            raise ValueError(
                f"{path}: {name} is stored as {kind}; expected one of {', '.join(DTYPES)}"
            )
        dtype = np.dtype(DTYPES[kind])
        n_bytes = math.prod(shape) * dtype.itemsize
        array = data[offset : offset + n_bytes].view(dtype).reshape(shape)
        offset += n_bytes
        if kind == "BF16":
            array = widen_bf16(array)
        elif kind == "F16":
            array = array.astype(np.float32)
        yield name, array


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], bf16: bool) -> None:
    """Write a safetensors file that any Hugging Face library opens; beside first, then renamed."""
    specs, stored = {}, []
    for name, array in tensors.items():
        array = narrow_bf16(array) if bf16 else np.ascontiguousarray(array, np.float32)
        stored.append(array)  # the library reads the memory by its address: keep it alive
        specs[name] = TensorSpec(
            dtype="bfloat16" if bf16 else "float32",
            shape=list(array.shape),
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_bytes(serialize(specs, {"format": "pt"}))
    beside.replace(path)
