"""The usual mistakes, from ``notebooks/classroom/misconceptions/everything.py``: one place for the tests and for the hints."""

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
FILE = ROOT / "notebooks/classroom/misconceptions/everything.py"


@cache
def gallery(file: Path = FILE) -> tuple:
    """Every ``Wrong`` of the file; none where there is no such file: checks work without names."""
    if not (file.is_file() and (ROOT / "notebooks/source").is_dir()):
        return ()
    spec = importlib.util.spec_from_file_location("gallery_of_mistakes", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return tuple(module.WRONG)


def mistakes(task: str) -> list:
    """Those that are known for a task."""
    return [wrong for wrong in gallery() if wrong.task == task]


def place(lesson: str, key: str) -> str:
    """Where to read again: the lesson, and the heading ``##`` that the cell has or stands under."""
    headings, title, current = {}, "the beginning", ""
    for source in (ROOT / "notebooks/source").glob(f"{lesson}_*.py"):
        for line in source.read_text(encoding="utf-8").splitlines():
            if cell := re.match(r'# %% .*key="([^"]*)"', line):
                current = cell[1]
                headings[current] = title
            elif heading := re.match(r"# ## (.*)", line):
                headings[current] = title = heading[1]
    return f'lesson {lesson}, "{headings[key]}"' if key in headings else f"lesson {lesson}"
