"""What a learner sees of a check: a sign and a colour, the lines, a link to the cell to read."""

import html
import os
import re
import sys
import urllib.parse
from pathlib import Path

from weights_tools.terminal import printable

from .explore import in_notebook

# A sign beside each colour: not everybody tells red from green. The last is for plain consoles.
SIGNS = {True: ("✓", "#1a7f37", 32, "OK"), False: ("✗", "#b3261e", 31, "!!"),
         None: ("○", "#6b7280", 90, "..")}  # fmt: skip
LESSONS = Path(__file__).parents[1]


def show(passed: bool, started: bool, lines: list[str], read: tuple[str, str] | None) -> None:
    """Print a verdict, in a notebook with colour and a link.

    ``read`` is what the lines call the place to read again, and its heading.
    """
    lines = [printable(line) for line in lines]
    sign, colour, code, plain = SIGNS[passed if started else None]
    if not in_notebook():
        print("\n".join([f"{in_terminal(sign, code, plain)} {lines[0]}", *lines[1:]]))
        return
    from IPython.display import display

    first, *rest = [linked(html.escape(line, quote=False), read) for line in lines]
    marked = f'<b style="color: {colour}">{sign}</b> {first}'
    text = "\n".join([f"{sign} {lines[0]}", *lines[1:]])
    display({"text/plain": text, "text/html": "<br>".join([marked, *rest])}, raw=True)


def in_terminal(sign: str, code: int, plain: str) -> str:
    """The sign as this terminal can show it."""
    try:
        sign.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        sign = plain
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.name != "nt"
    return f"\033[{code}m{sign}\033[0m" if coloured else sign


def linked(line: str, read: tuple[str, str] | None) -> str:
    """A line of HTML in which the place to read again is a link to it."""
    if read is None or not (target := address(*read)):
        return line
    place = html.escape(told(*read), quote=False)
    return line.replace(place, f'<a href="{target}" target="_blank">{place}</a>')


def told(lesson: str, heading: str) -> str:
    """How a verdict names a place: lesson 03, "Step 2"."""
    return f'lesson {lesson}, "{heading}"' if heading else f"lesson {lesson}"


def address(lesson: str, heading: str, here: Path | None = None) -> str:
    """Where the lesson lies, seen from the page that runs: beside or above it, or in the course.

    JupyterLab and the notebook make anchors of headings, with hyphens for spaces.
    """
    here = here or Path.cwd()
    for folder in (here, here.parent, LESSONS):
        for page in sorted(folder.glob(f"{lesson}_*.ipynb")):
            if folder.name == "exercises" or "(" in page.name:  # a page of that number, no lesson
                continue
            anchor = re.sub(r"\s", "-", re.sub(r"[`*$]", "", heading))
            at = os.path.relpath(page, here).replace(os.sep, "/")
            return html.escape(
                urllib.parse.quote(at) + f"#{urllib.parse.quote(anchor)}" * bool(anchor)
            )
    return ""
