"""Where a learner's progress and functions are kept: beside the exercises, or at home."""

import os
from functools import cache
from pathlib import Path

from weights_tools.writing import replacing

EXERCISES = Path(__file__).parents[1] / "exercises"
SOLUTIONS = EXERCISES / "solutions"


def folder() -> Path:
    """The variable LLAMA_PROGRESS, else the exercises' folder, else ``.llama_np`` at home."""
    if chosen := os.environ.get("LLAMA_PROGRESS"):
        return Path(chosen)
    return usual_folder()


@cache
def usual_folder() -> Path:
    if EXERCISES.is_dir() and os.access(EXERCISES, os.W_OK):
        return EXERCISES
    return Path.home() / ".llama_np"


def write(path: Path, text: str) -> list[str]:
    """Write a file whole or not at all; a line to be told where that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        return [f"(not saved: {path.name} cannot be written, {error.strerror})"]
    return []
