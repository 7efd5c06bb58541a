"""Tables of what was measured: CSV files that studies write and lessons read."""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from ..writing import replacing


def write(
    path: Path,
    rows: Iterable[Mapping],
    columns: Sequence[str] | None = None,
    places: int = 4,
    exact: Collection[str] = (),
) -> None:
    """Rows as a file, empty where a row lacks a column; ``columns`` are those of the first row.

    Numbers that are not whole have so many decimals; those of the columns ``exact`` all they have.
    """

    def shown(name: str, cell: object) -> object:
        return f"{cell:.{places}f}" if isinstance(cell, float) and name not in exact else cell

    rows = [{name: shown(name, cell) for name, cell in row.items()} for row in rows]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict]:
    """The rows of such a table: text, whole numbers, and numbers. Raises ``FileNotFoundError``."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def read_filled(path: Path) -> list[dict]:
    """The same without the cells that are empty."""
    return [{name: cell for name, cell in row.items() if cell != ""} for row in read(path)]


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
