"""Files and folders that are there whole or not at all: written beside, then renamed."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it takes the place of ``path`` in the end, or vanishes after an error."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(content: dict[str, Any], path: Path) -> None:
    """A JSON file for people to read, too."""
    with replacing(path) as beside:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        beside.write_text(text + "\n", encoding="utf-8")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``folder`` in the end, or vanishes after an error."""
    folder = folder.absolute()
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already; give the name of a new folder")
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.exists():  # empty, and perhaps somebody stands in it
            for file in sorted(beside.iterdir(), reverse=True):  # config.json last
                file.rename(folder / file.name)
            beside.rmdir()
        else:
            beside.rename(folder)
    except BaseException as error:  # an interruption, too
        shutil.rmtree(beside, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # not empty: somebody else uses it
                parent.rmdir()
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(f"{folder}: {why(error)}; nothing was left behind") from None
        raise


def why(error: OSError) -> str:
    """What has kept us from writing, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room or choose another disk"
    return f"cannot be written ({error.strerror}); choose another place"
