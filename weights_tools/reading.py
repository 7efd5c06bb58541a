"""Files from outside, read with errors that name them."""

import codecs
import json
from pathlib import Path
from typing import Any


def read_text(path: str | Path) -> str:
    """The contents of a text file in UTF-8, ends of line as newlines, without a byte-order mark.

    Raises ``ValueError`` with file, line and encoding for a file in another one.
    """
    data = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)
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


def read_lines_of(path: str | Path) -> list[str]:
    """The lines of a text file: only ends of line end one, not what Unicode calls a separator."""
    return read_text(path).split("\n")


def read_object(path: str | Path) -> dict[str, Any]:
    """The contents of a JSON file that holds one object.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file's name.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {path}; is the download complete?") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file: {str(error)[:100]}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values
