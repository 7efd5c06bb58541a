"""Where a learner's progress and functions are kept: beside the pages that are worked in."""

import os
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path

from weights_tools.writing import PATIENCE, alone_in, replacing

EXERCISES = Path(__file__).parents[1] / "exercises"
SOLUTIONS = EXERCISES / "solutions"
MARK = ".course.json"  # lies in a folder of working copies


def folder() -> Path:
    """Where a learner's own things lie: in this order, in

    - the folder that the variable LLAMA_PROGRESS names;
    - a new one, while nbgrader grades what was handed in;
    - the working copies that this page is one of;
    - the course's own exercises, where they can be written to;
    - ``.llama_np`` at home, or where temporary files go.
    """
    if chosen := os.environ.get("LLAMA_PROGRESS"):
        return Path(chosen)
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        return Path(for_this_notebook().name)
    return working_copies() or usual_folder()


@cache
def for_this_notebook() -> tempfile.TemporaryDirectory:
    """A folder as long as this process lives: what one learner hands in is no help to the next."""
    return tempfile.TemporaryDirectory(prefix="llama_np")


def working_copies() -> Path | None:
    """The folder made by ``python -m classroom start`` in which this runs, if it does."""
    try:
        here = Path.cwd()
    except OSError:  # the folder was deleted meanwhile
        return None
    return next((each for each in (here, *here.parents) if (each / MARK).is_file()), None)


@cache
def usual_folder() -> Path:
    if EXERCISES.is_dir() and os.access(EXERCISES, os.W_OK):
        return EXERCISES
    try:
        return Path.home() / ".llama_np"
    except RuntimeError:  # nobody whom this machine knows
        return Path(tempfile.gettempdir()) / "llama_np"


def not_saved(path: Path, error: OSError) -> list[str]:
    """What is told where a file cannot be written."""
    return [f"(not saved: {path.name} cannot be written, {error.strerror})"]


def in_turn(path: Path, change: Callable[[], list[str]]) -> list[str]:
    """Call ``change``, which reads a file and writes it again, while no other notebook does."""
    try:
        with alone_in(path.parent, PATIENCE):
            return change()
    except OSError as error:
        return not_saved(path, error)


def write(path: Path, text: str) -> list[str]:
    """Write a file whole or not at all; a line to be told where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        return not_saved(path, error)
    return []


def put_aside(path: Path, why: str) -> list[str]:
    """Give a file that cannot be understood another name, and say which."""
    free = (path.with_name(f"{path.name}.bak{n or ''}") for n in count())
    kept = next(each for each in free if not each.exists())
    try:
        path.replace(kept)
    except OSError as error:
        return [f"({path.name} cannot be read, {why}, nor be kept, {error.strerror})"]
    return [f"({path.name} cannot be read: {why}. It is kept as {kept.name}, and begun anew.)"]
