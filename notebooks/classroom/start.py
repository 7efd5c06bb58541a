"""Working copies: the course's pages in a folder of the learner's own.

The course itself stays as it came, so that ``git pull`` always can bring a newer one. Progress and
functions are kept in the same folder (``folder.py``).
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from weights_tools.arguments import expand_user

from .folder import MARK, write

COURSE = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()[^)#\s\"\\:]+")  # where a link of a page leads to


def pages() -> list[str]:
    """The lessons and exercises, as paths from the course's folder of notebooks."""
    found = [*COURSE.glob("[0-9]*.ipynb"), *(COURSE / "exercises").glob("[0-9]*.ipynb")]
    return sorted(page.relative_to(COURSE).as_posix() for page in found)


def start(folder: Path, again: Sequence[str] = ()) -> list[str]:
    """Copy the pages into a folder, or bring what is there up to date; what to tell.

    A page in which somebody has worked is never written over. Where the course has a newer one, it
    is put beside it; for the pages in ``again`` ("03" means lesson and exercise) a fresh copy takes
    the name, and the old one gets another. Raises ``ValueError`` where the folder cannot be used.
    """
    folder = expand_user(folder).absolute()
    refuse(folder, again)
    known = read_mark(folder)
    told, new, fresh = [], 0, 0
    for page in pages():
        copy, text = folder / page, (COURSE / page).read_text(encoding="utf-8")
        text = with_links(text, page, folder)
        if not copy.exists():
            save(copy, text)
            known[page], new = digest(with_links(as_published(page), page, folder)), new + 1
        elif Path(page).name.split("_")[0] in again or Path(page).stem in again:
            old = copy.replace(free(copy, "old"))
            known[page] = save(copy, text)
            told.append(f"{page} begins anew; your work is in {old.name}")
        elif digest(copy.read_text(encoding="utf-8")) == known.get(page):  # nothing was written
            if digest(text) != known[page]:
                known[page], fresh = save(copy, text), fresh + 1
        elif digest(text) not in (
            known.get(page), known.get(f"{page} beside"), digest(copy.read_text(encoding="utf-8"))
        ):  # fmt: skip
            beside = free(copy, "new")
            known[f"{page} beside"] = save(beside, text)
            told.append(f"{page} has changed in the course; yours stays, see {beside.name}")
    write(folder / ".gitignore", "*\n")  # where the folder lies in a copy of a repository
    told += write(folder / MARK, json.dumps({"version": 1, "pages": known}, indent=1) + "\n")
    summary = f"{folder}: {new} pages copied, {fresh} newer than before"
    return [*told, summary, f"Work here:  jupyter lab {shell(folder / pages()[0])}"]


def refuse(folder: Path, again: Sequence[str]) -> None:
    """Raise for a folder that is the course itself, or somebody's with other things in it."""
    if folder.resolve() in (COURSE.resolve(), *COURSE.resolve().parents):
        raise ValueError(f"{folder} is the course itself; give the name of a new folder")
    if COURSE.resolve() in folder.resolve().parents:
        raise ValueError(f"{folder} lies within the course's notebooks; choose a place outside")
    there = folder.exists()
    if there and not (folder.is_dir() and ((folder / MARK).is_file() or not any(folder.iterdir()))):
        raise ValueError(f"{folder} is there, and not with working copies; choose another name")
    stems = {part for page in pages() for part in (Path(page).stem, Path(page).name.split("_")[0])}
    if unknown := [name for name in again if name not in stems]:
        raise ValueError(f"no page {unknown[0]!r}; there are: {', '.join(sorted(stems))}")


def read_mark(folder: Path) -> dict[str, str]:
    """What each page was when it was copied; of a broken file nothing, and no page is replaced."""
    try:
        found = json.loads((folder / MARK).read_text(encoding="utf-8"))["pages"]
        return {str(page): str(seen) for page, seen in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def as_published(page: str) -> str:
    """A page as git has it: what somebody wrote into the course itself counts as theirs."""
    try:
        done = subprocess.run(
            ["git", "-C", str(COURSE), "show", f"HEAD:./{page}"], capture_output=True, timeout=10
        )
        if done.returncode == 0:
            return done.stdout.decode("utf-8")
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        pass  # without git the page is as it came
    return (COURSE / page).read_text(encoding="utf-8")


def with_links(text: str, page: str, folder: Path) -> str:
    """A page in which links to what is not copied lead into the course."""

    def moved(link: re.Match) -> str:
        target = os.path.normpath(Path(page).parent / link[0])
        there = COURSE / target
        if Path(target).as_posix() in pages_set or not there.exists():
            return link[0]
        return os.path.relpath(there, (folder / page).parent).replace(os.sep, "/")

    pages_set = set(pages())
    return LINK.sub(moved, text)


def save(path: Path, text: str) -> str:
    """Write a page; its digest. Raises ``ValueError`` where it cannot be written."""
    if problem := write(path, text):
        raise ValueError(problem[0].strip("()"))
    return digest(text)


def digest(text: str) -> str:
    """Of what is written in a page; to run it and to save it changes nothing of that."""
    try:
        cells = json.loads(text)["cells"]
        text = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
    except (ValueError, KeyError, TypeError):
        pass  # no page any more, but somebody's file
    return hashlib.sha256(text.encode()).hexdigest()


def free(path: Path, word: str) -> Path:
    """A name beside ``path`` that nobody has: "03_rms_norm (old).ipynb"."""
    names = (f"{path.stem} ({word}{f' {n}' if n > 1 else ''}).ipynb" for n in count(1))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def shell(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)
