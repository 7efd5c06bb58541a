"""Files that ``torch.save`` wrote, without PyTorch: a zip of a pickle and the numbers, mapped.

The zip holds ``NAME/data.pkl``, which says what the tensors are, and one ``NAME/data/KEY`` for each
storage, uncompressed: so the numbers can be used where they lie.

Sources: ``_save`` in https://github.com/pytorch/pytorch/blob/main/torch/serialization.py; section
4.3 of https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.config import brief

from .restricted_pickle import Tensor, read_pickle

LARGEST_PICKLE = 1 << 20  # that of Llama 3.1 405B has a quarter of this
LARGEST_LIST = 1 << 22  # bytes of the zip's list of files; that of a Llama has some 100,000
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number, itself a pickle
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; the lengths of the name and an extra field


class Mapped(NamedTuple):
    """A tensor where it lies in its file; ``kind`` as in ``Stored``."""

    kind: str
    array: np.ndarray


class Member(NamedTuple):
    """One file inside the zip."""

    data: np.ndarray  # its bytes
    checksum: int  # CRC-32


def read_pickle_file(path: Path) -> dict[str, Mapped]:
    """Every tensor of a ``.pth`` file by name, mapped into memory and not read.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file's name: for a damaged file, one of
    another format, or one whose pickle asks for anything but tensors. Nothing in it is ever run.
    PyTorch: ``torch.load(path, mmap=True, weights_only=True)``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; expected what torch.save wrote")
    try:
        members = read_zip(path)
        tensors = read_pickle(small(members, "data.pkl"))
        if "byteorder" in members and small(members, "byteorder") != b"little":
            raise ValueError("saved on a big-endian machine; save it again on a little-endian one")
        return {name: map_tensor(name, tensor, members) for name, tensor in tensors.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class Bounded(io.FileIO):
    """A file of which no more is read at once than a list of files takes in a zip."""

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_LIST:
            raise ValueError("the zip's list of files is larger than any Llama needs")
        return super().read(size)


def read_zip(path: Path) -> dict[str, Member]:
    """What lies in the folder of the zip, by name without the folder's."""
    data = np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
    if data[: len(LEGACY)].tobytes() == LEGACY:
        raise ValueError(
            "written in PyTorch's format from before version 1.6; open it with PyTorch and save it "
            "again with torch.save"
        )
    try:
        with Bounded(path) as file, zipfile.ZipFile(file) as archive:
            entries, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, struct.error, ArithmeticError, LookupError, MemoryError,
            NotImplementedError, OSError, ValueError):  # fmt: skip
        raise ValueError("no zip file as torch.save writes, or cut off; get it again") from None
    members: dict[str, Member] = {}
    for entry in sorted(entries, key=lambda entry: -entry.header_offset):
        name = entry.filename.partition("/")[2]
        if name in members:
            raise ValueError(f"damaged: it holds {brief.repr(name)} twice; get it again")
        members[name] = Member(member_bytes(data[:end], entry), entry.CRC)
        end = entry.header_offset  # what lies before must end before
    return members


def member_bytes(before: np.ndarray, entry: zipfile.ZipInfo) -> np.ndarray:
    """The bytes of a file in a zip; ``before``: the zip up to where the next file begins."""
    if entry.flag_bits & 1 or entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(
            f"{brief.repr(entry.filename)} is compressed or encrypted; torch.save stores it plain"
        )
    header = before[max(entry.header_offset, 0) :][: LOCAL_HEADER.size].tobytes()
    if entry.header_offset < 0 or len(header) < LOCAL_HEADER.size:
        raise ValueError(
            f"damaged: {brief.repr(entry.filename)} lies outside the file; get it again"
        )
    signature, name_length, extra_length = LOCAL_HEADER.unpack(header)
    start = entry.header_offset + LOCAL_HEADER.size
    name = before[start : start + name_length].tobytes()
    start += name_length + extra_length
    found = before[start : start + entry.file_size]
    if (signature, name) != (b"PK\3\4", entry.filename.encode()) or len(found) != entry.file_size:
        raise ValueError(
            f"damaged: {brief.repr(entry.filename)} is not where the zip says; get it again"
        )
    return found


def small(members: dict[str, Member], name: str) -> bytes:
    """A small file of the zip, read and checked."""
    if name not in members:
        raise ValueError(f"the zip holds no {name}; expected what torch.save writes")
    data, checksum = members[name]
    if len(data) > LARGEST_PICKLE:
        raise ValueError(f"{name} has {len(data)} bytes, far more than any Llama needs; refused")
    if zlib.crc32(data) != checksum:
        raise ValueError(f"damaged: {name} fails its checksum; get it again")
    return data.tobytes()


def map_tensor(name: str, tensor: Tensor, members: dict[str, Member]) -> Mapped:
    """The tensor as a view of its storage, once all that the pickle says of it is checked."""
    storage, offset, shape, strides = tensor
    dtype = np.dtype(DTYPES[storage.kind])
    key = f"data/{storage.key}"
    if key not in members or len(members[key].data) != storage.count * dtype.itemsize:
        raise ValueError(
            f"damaged: {brief.repr(name)} and the numbers in {brief.repr(key)} differ in size; "
            "get it again"
        )
    if not (are_whole(shape) and are_whole(strides) and are_whole((offset,))):
        raise ValueError(
            f"damaged: {brief.repr(name)} has no proper shape, strides and offset; get it again"
        )
    if not 1 <= len(shape) == len(strides) <= 2 or 0 in shape:
        raise ValueError(
            f"{brief.repr(name)} has shape {brief.repr(shape)}; the tensors of a Llama have one "
            "axis or two"
        )
    refuse_scattered(name, tensor)
    array = np.ndarray(
        shape,
        dtype,
        members[key].data,
        offset * dtype.itemsize,
        # An axis of length 1 is never stepped along, whatever its stride.
        [step * dtype.itemsize * (n > 1) for n, step in zip(shape, strides, strict=True)],
    )
    return Mapped(storage.kind, array)


def are_whole(numbers: object) -> bool:
    """Whether this is a tuple of whole numbers, none of them negative."""
    return type(numbers) is tuple and all(type(n) is int and n >= 0 for n in numbers)


def refuse_scattered(name: str, tensor: Tensor) -> None:
    """Raise unless the rows are whole, one behind another, and within their storage."""
    storage, offset, shape, strides = tensor
    width, step = shape[-1], strides[-1]
    height, stride = (shape[0], strides[0]) if len(shape) == 2 else (1, width)
    if (width > 1 and step != 1) or (height > 1 and stride < width):
        raise ValueError(
            f"{brief.repr(name)} has shape {brief.repr(shape)} but strides "
            f"{brief.repr(strides)}: its rows overlap or are scattered; "
            "save it again with tensor.contiguous()"
        )
    if offset + (height - 1) * stride + width > storage.count:
        raise ValueError(f"damaged: {brief.repr(name)} reaches beyond its storage; get it again")
