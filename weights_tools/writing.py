"""Files and folders that are there whole or not at all: written beside, then renamed.

A process may be killed at any moment. What it leaves has a name that nobody else gives, ending in
``TEMPORARY``, and the next that writes the same removes it. Nothing else is ever removed.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from .locks import locked
from .reading import read_object

TEMPORARY, LOCK = ".llama_np.tmp", ".llama_np.lock"
MOVED = "moved.json"  # in a temporary folder: what goes from it into the folder around it
PATIENCE = 10.0  # seconds to wait for somebody who writes the same file


class NotWritten(OSError):
    """A file or folder that could not be written; ``why`` says the reason, and what to do."""

    def __init__(self, path: Path, why: str, strerror: str):
        super().__init__(f"{path}: {why}")
        self.why, self.strerror = why, strerror


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; it takes the place of ``path`` in the end, or vanishes after an error.

    Two at once take turns. Raises ``NotWritten`` with the name where the disk is full, or the place
    may not be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}{TEMPORARY}")
    with naming(path), alone(path.with_name(f".{path.name}{LOCK}"), path, PATIENCE):
        try:
            beside.unlink(missing_ok=True)
            yield beside
            with beside.open("rb+") as file:  # a power cut keeps the old file or the new one
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Raise ``NotWritten`` where a file cannot be written, before hours are spent on what to write.

    Writing may fail all the same, on a disk that is full by then.
    """
    with naming(path), alone(path.with_name(f".{path.name}{LOCK}"), path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def write_json(content: dict[str, Any], path: Path) -> None:
    """A JSON file for people to read, too."""
    with replacing(path) as beside:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        beside.write_text(text + "\n", encoding="utf-8")


@contextmanager
def alone(lock: Path, path: Path, wait: float = 0.0) -> Iterator[None]:
    """Within, nobody else writes ``path``. Raises ``NotWritten`` where somebody still does."""
    with locked(lock, wait) as held:
        if not held:
            told = "another process is writing here"
            raise NotWritten(path, f"{told}; let it end, or name another place", told)
        yield


@contextmanager
def alone_in(folder: Path, wait: float = 0.0) -> Iterator[Path]:
    """A folder, made if absent, into which nobody else writes who asks so too.

    If nothing is in it afterwards, and it was not there before, it vanishes again.
    """
    with ExitStack() as held:
        with naming(folder):
            held.enter_context(made(folder))
            held.enter_context(alone(folder / LOCK, folder, wait))
            tidy(folder)
        yield folder


def tidy(folder: Path, of: str = "*") -> None:
    """Remove from a folder what was left by those who were killed while they wrote there.

    ``of``: the name of what they wrote, as a pattern.
    """
    for ending in (TEMPORARY, LOCK):
        for left in folder.glob(f".{of}{ending}"):
            name = left.name.removesuffix(ending)
            with locked(folder / f"{name}{LOCK}") as held:
                if held:
                    remove(folder / f"{name}{TEMPORARY}")


@contextmanager
def temporary_folder(around: Path, name: str = "") -> Iterator[Path]:
    """A new folder within another, for somebody who is alone there; it is gone afterwards."""
    folder = around / f"{name}{TEMPORARY}"
    remove(folder)  # left by one that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        remove(folder)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``folder`` in the end, or vanishes after an error.

    Raises ``ValueError`` for a folder that is there and not empty, ``NotWritten`` where somebody
    else is writing it, or where it cannot be written.
    """
    folder = folder.absolute()
    there = folder.is_dir()  # perhaps somebody stands in it, or a disk is mounted on it
    around, name = (folder, "") if there else (folder.parent, f".{folder.name}")
    try:
        with naming(folder), made(around), alone(around / f"{name}{LOCK}", folder):
            if there:
                clear(folder)
                with suppress(OSError):  # perhaps only the folder may be written
                    tidy(folder.parent, escape(folder.name))
            remove(around / f"{name}{TEMPORARY}")
            if os.path.lexists(folder) and not (there and is_empty(folder)):
                raise ValueError(f"{folder} is there already; give the name of a new folder")
            with temporary_folder(around, name) as beside:
                yield beside
                if there:
                    move_all(beside, folder)
                else:
                    beside.rename(folder)
    except NotWritten as error:
        why = f"{error.why}; nothing was left behind"
        raise NotWritten(folder, why, error.strerror) from None


def is_empty(folder: Path) -> bool:
    """Whether nothing is in a folder, but what we write with."""
    return all(entry.name in (LOCK, TEMPORARY) for entry in folder.iterdir())


def move_all(beside: Path, folder: Path) -> None:
    """Move files into the folder around; ``config.json`` last, without which it is no model."""
    files = sorted(beside.iterdir(), key=lambda file: (file.name == "config.json", file.name))
    write_json({file.name: state(file) for file in files}, beside / MOVED)
    for file in files:
        file.rename(folder / file.name)
    (beside / MOVED).unlink()


def clear(folder: Path) -> None:
    """Remove what ``move_all`` had moved before it was killed, if nothing else is there."""
    try:
        moved = read_object(folder / TEMPORARY / MOVED)
    except (OSError, ValueError):  # killed before, or never there
        return
    files = [entry for entry in folder.iterdir() if entry.name not in (LOCK, TEMPORARY)]
    if all(file.is_file() and moved.get(file.name) == state(file) for file in files):
        for file in files:
            file.unlink()


def state(file: Path) -> list[int]:
    """What a file keeps when it is moved, and loses when somebody writes it anew."""
    found = file.lstat()
    return [found.st_size, found.st_mtime_ns]


def remove(folder: Path) -> None:
    """Remove a folder of ours; a link of its name, and never what it leads to."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Within, the folder exists; those that were made for it vanish again if nothing is in them."""
    absent = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for each in absent:
            with suppress(OSError):  # not empty: somebody uses it
                each.rmdir()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which file it was where the system says only why it cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError) or not is_at(path, error):
            raise
        raise NotWritten(path, why(error), error.strerror) from None


def is_at(path: Path, error: OSError) -> bool:
    """Whether an error is of ``path``, of what we write with, or of a folder that it is in."""
    if error.filename is None:
        return True
    about, path = Path(os.fsdecode(error.filename)).absolute(), path.absolute()
    beside = (path.with_name(f".{path.name}{ending}") for ending in (TEMPORARY, LOCK))
    return any(each in (about, *about.parents) for each in (path, *beside)) or about in path.parents


def why(error: OSError) -> str:
    """What has kept us from writing, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room or choose another disk"
    return f"cannot be written ({error.strerror}); choose another place"
