"""The table that the study of ``study.py`` leaves, written and read."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...writing import replacing

RESULTS = Path(__file__).with_name("from_gpt2_to_llama.csv")
COLUMNS = (
    "stage", "parameters", "seed", "step", "tokens", "train_loss", "held_out_loss", "seconds"
)  # fmt: skip


def write_results(path: Path, rows: Iterable[dict]) -> None:
    """The table as a file; losses with four decimals."""
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            losses = {name: f"{row[name]:.4f}" for name in ("train_loss", "held_out_loss")}
            writer.writerow(row | losses | {"seconds": f"{row['seconds']:.1f}"})


def read_results(path: Path = RESULTS) -> dict[str, dict[str, np.ndarray]]:
    """By stage, in order: what was measured as arrays of one row a seed, one column a measurement.

    ``tokens`` is one row, the same for all seeds; ``parameters`` is one number. Raises
    ``FileNotFoundError``.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for stage in dict.fromkeys(row["stage"] for row in rows):
        own = [row for row in rows if row["stage"] == stage]
        n_seeds = len({row["seed"] for row in own})
        found[stage] = {
            name: np.array([float(row[name]) for row in own]).reshape(n_seeds, -1)
            for name in ("train_loss", "held_out_loss", "seconds")
        }
        found[stage]["tokens"] = np.array(
            [int(row["tokens"]) for row in own[: len(own) // n_seeds]]
        )
        found[stage]["parameters"] = int(own[0]["parameters"])
    return found
