"""Tables of what was measured: CSV files that studies write and lessons read."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..writing import replacing


def write(path: Path, rows: Iterable[Mapping], places: int = 4) -> None:
    """Rows of the same names as a file; what is no whole number with so many decimals."""

    def shown(cell: object) -> object:
        return f"{cell:.{places}f}" if isinstance(cell, float) else cell

    rows = [{name: shown(cell) for name, cell in row.items()} for row in rows]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict]:
    """The rows of such a table: text, whole numbers, and numbers; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def value(text: str) -> int | float | str:
    """What a cell says.

    >>> value("8"), value("0.5000"), value("n = 8")
    (8, 0.5, 'n = 8')
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
