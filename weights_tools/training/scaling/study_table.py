"""The table that the study of ``study.py`` leaves, written and read."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...writing import replacing

RESULTS = Path(__file__).with_name("scaling.csv")
COLUMNS = (
    "width", "parameters", "text", "tokens", "rate", "train_loss", "held_out_loss", "seconds"
)  # fmt: skip


def write_results(path: Path, rows: Iterable[dict]) -> None:
    """The table as a file; losses with four decimals."""
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            losses = {name: f"{row[name]:.4f}" for name in ("train_loss", "held_out_loss")}
            writer.writerow(row | losses | {"seconds": f"{row['seconds']:.1f}"})


def read_results(path: Path = RESULTS) -> dict[str, np.ndarray]:
    """By column, one number a run, in the order in which they were made.

    ``text`` counts the tokens of the stories that a run learned from, ``tokens`` all that it read,
    so that ``tokens / text`` is how often it read them. Raises ``FileNotFoundError``.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    whole = ("width", "parameters", "text", "tokens")
    return {
        name: np.array([int(row[name]) if name in whole else float(row[name]) for row in rows])
        for name in COLUMNS
    }
