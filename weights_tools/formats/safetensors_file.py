"""Safetensors files: mapped when read, streamed when written, bfloat16 included.

The format is a length, a header in JSON, and the numbers one tensor after another:
https://github.com/huggingface/safetensors#format
"""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from ..reading import LONGEST_NAME, refuse_no_file
from ..writing import replacing

LARGEST_HEADER = 1 << 24  # bytes; Llama 3.1 405B would need some 130,000
# NumPy has no bfloat16: its bits come as uint16.
DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I8": np.int8}


def map_tensors(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Every tensor of a file by name: its kind of number, and the array, mapped and not yet read.

    The library checks the header: lengths, offsets, gaps. Raises ``ValueError`` for a damaged file
    or a kind of number that no Llama is stored in.
    """
    refuse_header(path)
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.offset_keys()
            headers = [file.get_slice(name) for name in names]
            kinds = [(header.get_dtype(), tuple(header.get_shape())) for header in headers]
    except (SafetensorError, OSError) as error:
        # the library quotes what it found, which may be no text, or long
        why = "".join(c if c.isprintable() else "?" for c in str(error)[:200])
        raise ValueError(f"{path}: damaged or cut off ({why}); get the file again") from None
    data = np.asarray(np.memmap(path, np.uint8, mode="r"))
    offset = 8 + int.from_bytes(data[:8].tobytes(), "little")
    tensors = {}
    for name, (kind, shape) in zip(names, kinds, strict=True):
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise ValueError(f"{path}: {name[:60]!a} is no name of a tensor; get the file again")
        if kind not in DTYPES:
            raise ValueError(
                f"{path}: {name} is stored as {kind}; expected one of {', '.join(DTYPES)}"
            )
        end = offset + math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
        tensors[name] = kind, data[offset:end].view(DTYPES[kind]).reshape(shape)
        offset = end
    return tensors


def refuse_header(path: Path) -> None:
    """Raise for what is no file, may not be read, or whose header is larger than any Llama's."""
    refuse_no_file(path)
    if not os.access(path, os.R_OK):
        raise OSError(f"{path}: may not be read; ask for the right to")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if LARGEST_HEADER < length <= path.stat().st_size:
        raise ValueError(
            f"{path}: a header of {length} bytes is more than any Llama needs; refused"
        )


def write_stream(
    path: Path, specs: Mapping[str, tuple[str, tuple[int, ...]]], chunks: Iterable[np.ndarray]
) -> None:
    """Write a safetensors file of any size in little memory; beside first, then renamed.

    ``specs`` says the kind and shape of every tensor, in order; the bytes of the ``chunks``, one
    after another, are their numbers. Raises ``ValueError`` where these are too few or too many; a
    full disk is an ``OSError``. Either way nothing is left behind.
    """
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (kind, shape) in specs.items():
        start, end = end, end + math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    with replacing(path) as beside, open(beside, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        written = sum(file.write(np.ascontiguousarray(chunk).data.cast("B")) for chunk in chunks)
        if written != end:
            raise ValueError(f"{path}: expected {end} bytes of numbers, got {written}")
