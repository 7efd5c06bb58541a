"""Catalogues: the words of one page in another language, for ``build.py``.

``translations/pl/03_rms_norm.po`` is a catalogue of gettext, as Poedit, Weblate and others edit it.
An entry with a context is a markdown cell: the context is its key. An entry without one is a text
of a picture, where ``{}`` stands for what the lesson fills in, a block's number say. A fuzzy entry
was translated from another English than today's. Where an entry is absent, empty, fuzzy or not of
today's English, the English stands. Entries that the page no longer has are kept as obsolete.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import expressions
import nbformat

from weights_tools.writing import replacing

if TYPE_CHECKING:  # slides of a built page do without it
    import polib

WORD = re.compile(r"[^\W\d_]{2}")  # T and D need no translation
LANGUAGE = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,8})?")  # also the name of a folder, and no path


class CatalogueError(Exception):
    """What is wrong with a catalogue, in one line."""


def read(path: Path) -> polib.POFile:
    """The catalogue in a file, an empty one where there is no file; CatalogueError where broken."""
    import polib

    if not path.exists():
        return polib.POFile(wrapwidth=0)
    try:
        catalogue = polib.pofile(str(path), wrapwidth=0, check_for_duplicates=True)
        refuse(catalogue)
    except (OSError, ValueError, CatalogueError) as error:
        said = str(error).replace(f"{path.parent}/", "")
        raise CatalogueError(f"{path.parent.name}/{path.name}: {said}") from None
    return catalogue


def refuse(catalogue: polib.POFile) -> None:
    """Raise for entries that contradict one another or themselves."""
    keys = Counter(entry.msgctxt for entry in catalogue if not entry.obsolete)
    for key, n in keys.items():
        if key is not None and n > 1:
            raise CatalogueError(f"{key} is there {n} times")
    for key, entry in texts(catalogue).items():
        if entry.msgstr and quoted(entry.msgstr) != quoted(entry.msgid):
            raise CatalogueError(f"{key} and its translation differ in {{{{ }}}}")
    for english, other in labels(catalogue).items():
        if other and english.count("{}") != other.count("{}"):
            raise CatalogueError(f"label {english!r} and its translation differ in {{}}")


def quoted(text: str) -> Counter:
    """The expressions of a text, in whatever order a language puts them."""
    return Counter(expressions.find(text))


def write(catalogue: polib.POFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(str(catalogue), encoding="utf-8", newline="\n")


def texts(catalogue: polib.POFile) -> dict[str, polib.POEntry]:
    """The entries of markdown cells, by key."""
    return {e.msgctxt: e for e in catalogue if e.msgctxt is not None and not e.obsolete}


def labels(catalogue: polib.POFile) -> dict[str, str]:
    """The words of pictures: English, and translated or empty."""
    found = (entry for entry in catalogue if entry.msgctxt is None and not entry.obsolete)
    return {entry.msgid: "" if entry.fuzzy else entry.msgstr for entry in found}


def apply(page: nbformat.NotebookNode, catalogue: polib.POFile, language: str) -> list[str]:
    """Put a catalogue's texts into a page; what is not translated, one phrase each."""
    cells, entries, missing, faults = markdown(page), texts(catalogue), [], []
    for key, cell in cells.items():
        entry = entries.get(key)
        if entry is None or not entry.msgstr:
            missing.append(key)
        elif entry.fuzzy or entry.msgid != cell.source:
            faults.append(f"{key} is stale")
        else:
            cell.source = entry.msgstr
    faults += [f"{key} is no text of the lesson" for key in entries if key not in cells]
    ready = {english: other for english, other in labels(catalogue).items() if other}
    missing += [f"label {english!r}" for english in labels(catalogue) if english not in ready]
    page.metadata["translation"] = {"language": language, "labels": ready}
    return faults + say_missing(missing)


def markdown(page: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """The cells to translate, by key."""
    return {cell.id: cell for cell in page.cells if cell.cell_type == "markdown"}


def say_missing(names: list[str]) -> list[str]:
    """One phrase for all, since a catalogue starts with dozens."""
    more = f" and {len(names) - 1} more are" if names[1:] else " is"
    return [f"{names[0]}{more} not translated"] if names else []


def compare_labels(
    page: nbformat.NotebookNode, asked: dict[str, str | None]
) -> tuple[list[str], list[str]]:
    """After a run: the texts of pictures without a label, and the labels of no picture."""
    if "translation" not in page.metadata:
        return [], []
    missing = [text for text, label in asked.items() if label is None and WORD.search(text)]
    known = page.metadata["translation"]["labels"]
    return missing, [label for label in known if label not in asked.values()]


def describe_labels(missing: list[str], unused: list[str]) -> list[str]:
    """What a run has shown about labels: one phrase each."""
    found = say_missing([f"picture text {text!r}" for text in missing])
    return found + [f"no picture says {label!r}" for label in unused]


def refresh(
    page: nbformat.NotebookNode,
    old: polib.POFile,
    language: str,
    missing: Collection[str] = (),
    accept: Collection[str] = (),
) -> polib.POFile:
    """A catalogue with what the page has and the old one lacks, for a translator to go on with.

    No translation is lost: what was made from another English becomes fuzzy, but for the keys in
    ``accept``, which fit the English of today; what the page no longer has becomes obsolete.
    """
    import polib

    cells, entries = markdown(page), texts(old)
    if unknown := [key for key in accept if key not in cells or key not in entries]:
        raise CatalogueError(f"nothing to accept: {', '.join(unknown)}")
    fresh = polib.POFile(wrapwidth=0)
    fresh.metadata = {
        "Language": language,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
    }
    for key, cell in cells.items():
        before = entries.get(key) or polib.POEntry(msgctxt=key, msgid=cell.source)
        entry = polib.POEntry(
            msgctxt=key, msgid=cell.source, msgstr=before.msgstr, tcomment=before.tcomment
        )
        if before.msgstr and (before.fuzzy or before.msgid != cell.source) and key not in accept:
            entry.flags = ["fuzzy"]
            entry.previous_msgid = before.previous_msgid or before.msgid
        fresh.append(entry)
    fresh += [entry for entry in old if entry.msgctxt is None and not entry.obsolete]
    fresh += [polib.POEntry(msgid=text) for text in missing if text not in labels(old)]
    for entry in old:
        if entry.obsolete or (entry.msgctxt is not None and entry.msgctxt not in cells):
            entry.obsolete = True
            fresh.append(entry)
    return fresh
