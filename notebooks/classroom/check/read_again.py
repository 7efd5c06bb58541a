"""Where a misconception sends its reader: a lesson, and a heading in it."""

import re
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "source"


def place(lesson: str, key: str) -> str:
    """The lesson, and the heading ``##`` that the cell has or stands under, if it can be read."""
    headings, title, current = {}, "the beginning", ""
    for source in SOURCES.glob(f"{lesson}_*.py"):
        for line in source.read_text(encoding="utf-8").splitlines():
            if cell := re.match(r'# %% .*key="([^"]*)"', line):
                current = cell[1]
                headings[current] = title
            elif heading := re.match(r"# ## (.*)", line):
                headings[current] = title = heading[1]
    return f'lesson {lesson}, "{headings[key]}"' if key in headings else f"lesson {lesson}"
