"""Files from outside, read with errors that name them, and never more of them than can be meant."""

import codecs
import json
from pathlib import Path
from typing import Any

SMALL = 1 << 20  # bytes of a file that describes a model; the largest known have some thousand
TABLE = 1 << 25  # of one that lists tokens or tensors: Llama 3's tokenizer.json has up to 17 MB
TEXT = 1 << 28  # of a text that surely fits into memory
PACKED = 64  # no file system packs text so well
LONGEST_NAME = 200  # characters of the name of a tensor
WIDER = 5  # a text in memory takes so many times its file: its bytes, its characters, its parts


def refuse_no_file(path: Path) -> None:
    """Raise unless this is a regular file, or a link to one: a queue or a device may never end."""
    if not path.is_file():
        if path.exists():
            what = "a folder" if path.is_dir() else "no file but a queue or a device"
            raise ValueError(f"{path}: expected a file, this is {what}")
        raise FileNotFoundError(f"no such file: {path}; is the download complete?")


def leaves(folder: Path, shard: str) -> bool:
    """Whether a link leads out of the folder; the hub's cache links to ``blobs`` beside it.

    https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    home, real = folder.resolve(), (folder / shard).resolve().parent
    blobs = [each.parent / "blobs" for each in home.parents if each.name == "snapshots"]
    return real != home and real not in blobs  # a model may lie in a folder of its snapshot


def refuse_link_out(file: Path) -> None:
    """Raise for a link out of its folder: what it leads to is not what came with the model."""
    if leaves(file.parent, file.name):
        raise ValueError(f"{file}: links out of the folder; refused, put the file itself there")


def read_bytes(path: str | Path, largest: int) -> bytes:
    """The contents of a regular file of at most so many bytes; the size is looked at first, and
    whether it is there, or a hole that takes no room on the disk.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file's name.
    """
    path = Path(path)
    refuse_no_file(path)
    about = path.stat()
    n_bytes, held = about.st_size, 512 * getattr(about, "st_blocks", 0)  # 0: not known here
    if n_bytes > largest:
        raise ValueError(
            f"{path}: has {n_bytes} bytes, expected at most {largest}; is it the right file?"
        )
    if n_bytes > SMALL and 0 < held < n_bytes // PACKED:
        raise ValueError(
            f"{path}: of its {n_bytes} bytes at most {held} are there, the rest is a hole; is the "
            "download complete?"
        )
    with path.open("rb") as file:
        return file.read(n_bytes)


def read_text(path: str | Path) -> str:
    """The contents of a text file in UTF-8, ends of line as newlines, without a byte-order mark.

    Raises ``ValueError`` with file, line and encoding for a file in another one, or one that does
    not fit into memory.
    """
    data = read_bytes(path, most_text()).removeprefix(codecs.BOM_UTF8)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:2]:
        raise ValueError(f"{path}: is in UTF-16 or UTF-32; expected UTF-8, save it as that")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: the byte {data[error.start]:#04x} is no UTF-8 (Latin-1?); "
            "save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def most_text() -> int:
    """How many bytes of text fit into the memory that is free."""
    from .memory import free_memory  # here, because it imports what imports this

    return max(TEXT, free_memory() // WIDER)


def read_lines_of(path: str | Path) -> list[str]:
    """The lines of a text file: only ends of line end one, not what Unicode calls a separator."""
    return read_text(path).split("\n")


def read_object(path: str | Path, largest: int = SMALL) -> dict[str, Any]:
    """The contents of a JSON file that holds one object.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file's name.
    """
    data = read_bytes(path, largest)
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file: {str(error)[:100]}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values
