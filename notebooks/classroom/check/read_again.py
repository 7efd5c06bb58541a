"""Where a misconception sends its reader: a lesson, and a heading in it."""

import re
from functools import cache
from pathlib import Path

from ..verdict import told

SOURCES = Path(__file__).parents[2] / "source"


def heading(lesson: str, key: str) -> str:
    """The heading ``##`` that a lesson's cell has or stands under, if it can be read."""
    return headings_of(lesson).get(key, "")


@cache
def headings_of(lesson: str) -> dict[str, str]:
    """The heading of every cell of a lesson, by the cell's key."""
    headings, title, current = {}, "the beginning", ""
    for source in SOURCES.glob(f"{lesson}_*.py"):
        for line in source.read_text(encoding="utf-8").splitlines():
            if cell := re.match(r'# %% .*key="([^"]*)"', line):
                current = cell[1]
                headings[current] = title
            elif found := re.match(r"# ## (.*)", line):
                headings[current] = title = found[1]
    return headings


def place(lesson: str, key: str) -> str:
    """How a place is named: the lesson, and the heading."""
    return told(lesson, heading(lesson, key))
