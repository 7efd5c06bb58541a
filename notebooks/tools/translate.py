"""Catalogues: the words of one lesson in another language, for ``build.py``.

``translations/pl/03_rms_norm.md`` has a section for every markdown cell and one for the labels:

    <!-- size-why 5f2a9c01 -->
    ## Krok 1. Jak duży jest wiersz?

    <!-- labels -->
    blocks passed => liczba bloków za nami
    x before block {} => x przed blokiem {}

The digits name the English text that the translation was made from: once that has changed, the
section is stale. Where a section is stale, absent or marked ``untranslated``, the English stands.
"""

import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

MARK = re.compile(r"<!-- ([a-z0-9-]{1,64}) ([0-9a-f]{8})( untranslated)? -->")
LABELS = "<!-- labels -->"
WORD = re.compile(r"[^\W\d_]{2}")  # T and D need no translation
ASK = "import json\nfrom llama_np import show\nprint(json.dumps(show.asked))"


class CatalogueError(Exception):
    """What is wrong with a catalogue, in one line."""


@dataclass(frozen=True)
class Section:
    """One markdown cell: the English it was made from, the text, and whether it is translated."""

    made_from: str
    text: str
    done: bool = True


@dataclass
class Catalogue:
    """What a translator edits; ``parse(str(catalogue))`` is the same catalogue."""

    sections: dict[str, Section] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)  # English: translated, or empty

    def __str__(self) -> str:
        parts = [
            f"<!-- {key} {each.made_from}{'' if each.done else ' untranslated'} -->\n{each.text}\n"
            for key, each in self.sections.items()
        ]
        lines = [f"{escape(english)} => {escape(other)}" for english, other in self.labels.items()]
        return "\n".join([*parts, "\n".join([LABELS, *map(str.rstrip, lines)]) + "\n"])


def digest(english: str) -> str:
    """Eight digits that change when a text does."""
    return hashlib.sha256(english.encode()).hexdigest()[:8]


def escape(label: str) -> str:
    return label.replace("\n", "\\n")


def parse(text: str) -> Catalogue:
    """Read a catalogue; CatalogueError says what cannot be understood."""
    catalogue = Catalogue()
    head, *parts = re.split(r"^(<!--.*)\n", text + "\n", flags=re.MULTILINE)
    if head.strip():
        raise CatalogueError(f"text before the first section: {head.strip().splitlines()[0]!r}")
    for mark, body in zip(parts[::2], parts[1::2], strict=True):
        if mark.rstrip() == LABELS:
            parse_labels(body, catalogue.labels)
            continue
        if not (found := MARK.fullmatch(mark.rstrip())):
            raise CatalogueError(f"not understood: {mark}")
        key, made_from, untranslated = found.groups()
        if key in catalogue.sections:
            raise CatalogueError(f"{key} is there twice")
        if not body.strip():
            raise CatalogueError(f"{key} has no text")
        catalogue.sections[key] = Section(made_from, body.strip(), not untranslated)
    return catalogue


def parse_labels(body: str, labels: dict[str, str]) -> None:
    """Add the lines ``English => translated`` to ``labels``."""
    for line in filter(None, map(str.strip, body.splitlines())):
        if f"{line} ".count(" => ") != 1 or line.startswith("=>"):
            raise CatalogueError(f"no label of the form English => translated: {line!r}")
        english, other = (part.strip().replace("\\n", "\n") for part in f"{line} ".split(" => "))
        if english in labels:
            raise CatalogueError(f"label {english!r} is there twice")
        if other and english.count("{}") != other.count("{}"):
            raise CatalogueError(f"label {english!r} and its translation differ in {{}}")
        labels[english] = other


def read(path: Path) -> Catalogue:
    """The catalogue in a file; an empty one where there is no file."""
    try:
        return parse(path.read_text(encoding="utf-8")) if path.exists() else Catalogue()
    except CatalogueError as error:
        raise CatalogueError(f"{path.parent.name}/{path.name}: {error}") from None


def markdown(lesson: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """The cells to translate, by key."""
    return {cell.id: cell for cell in lesson.cells if cell.cell_type == "markdown"}


def apply(lesson: nbformat.NotebookNode, catalogue: Catalogue, language: str) -> list[str]:
    """Put a catalogue's texts into a lesson; what is not translated, one phrase each."""
    cells, missing, faults = markdown(lesson), [], []
    for key, cell in cells.items():
        section = catalogue.sections.get(key)
        if section is None or not section.done:
            missing.append(key)
        elif section.made_from != digest(cell.source):
            faults.append(f"{key} is stale")
        else:
            cell.source = section.text
    faults += [f"{key} is no text of the lesson" for key in catalogue.sections if key not in cells]
    ready = {english: other for english, other in catalogue.labels.items() if other}
    missing += [f"label {english!r}" for english in catalogue.labels if english not in ready]
    faults += say_missing(missing)
    lesson.metadata["translation"] = {"language": language, "labels": ready}
    return faults


def say_missing(names: list[str]) -> list[str]:
    """One phrase for all, since a catalogue starts with dozens."""
    more = f" and {len(names) - 1} more are" if names[1:] else " is"
    return [f"{names[0]}{more} not translated"] if names else []


def ask(lesson: nbformat.NotebookNode) -> None:
    """Add a last cell that prints what the pictures said; ``answer`` takes it away again."""
    lesson.cells.append(nbformat.v4.new_code_cell(ASK, id="labels-asked"))


def answer(lesson: nbformat.NotebookNode) -> tuple[list[str], list[str]]:
    """After a run: the texts of pictures without a label, and the labels of no picture."""
    asked = json.loads(lesson.cells.pop().outputs[0].text)
    missing = [text for text, label in asked.items() if label is None and WORD.search(text)]
    labels = lesson.metadata["translation"]["labels"]
    return missing, [label for label in labels if label not in asked.values()]


def refresh(
    lesson: nbformat.NotebookNode,
    catalogue: Catalogue,
    missing: Collection[str] = (),
    accept: Collection[str] = (),
) -> Catalogue:
    """A catalogue with what the lesson has and it lacks, for a translator to go on with.

    Translations stay as they are; those in ``accept`` count as made from the English of today. What
    the lesson no longer has comes last.
    """
    cells, old = markdown(lesson), catalogue.sections
    if unknown := [key for key in accept if key not in cells or key not in old]:
        raise CatalogueError(f"nothing to accept: {', '.join(unknown)}")
    sections: dict[str, Section] = {}
    for key, cell in cells.items():
        section = old.get(key)
        if section is None or (not section.done and digest(section.text) == section.made_from):
            section = Section(digest(cell.source), cell.source, done=False)
        elif key in accept:
            section = Section(digest(cell.source), section.text)
        sections[key] = section
    gone = {key: each for key, each in old.items() if key not in cells}
    return Catalogue(sections | gone, catalogue.labels | dict.fromkeys(missing, ""))
