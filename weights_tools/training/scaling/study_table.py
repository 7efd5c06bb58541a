"""The table that the study of ``study.py`` leaves, written and read."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..tables import read, write

RESULTS = Path(__file__).with_name("scaling.csv")
COLUMNS = (
    "width", "parameters", "text", "tokens", "rate", "train_loss", "held_out_loss", "seconds"
)  # fmt: skip


def write_results(path: Path, rows: Iterable[dict]) -> None:
    """The table as a file; losses with four decimals."""
    write(path, rows, COLUMNS, exact=("rate", "seconds"))


def read_results(path: Path = RESULTS) -> dict[str, np.ndarray]:
    """By column, one number a run, in the order in which they were made.

    ``text`` counts the tokens of the stories that a run learned from, ``tokens`` all that it read,
    so that ``tokens / text`` is how often it read them. Raises ``FileNotFoundError``.
    """
    rows = read(path)
    return {name: np.array([row[name] for row in rows]) for name in COLUMNS}
