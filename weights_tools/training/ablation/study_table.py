"""The table that the study of ``study.py`` leaves, written and read.

One row a measurement: which model, the peak of its learning rate, the seed, the step. The last row
of each run that measures (not of those that choose a rate) also has ``seen_1`` to ``seen_128``: the
loss where the model is shown only that many tokens before the one to predict. The rows of the
counting baselines come first, with nothing but what applies to them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..tables import read_filled, write

RESULTS = Path(__file__).with_name("from_gpt2_to_llama.csv")
SEEN = (1, 2, 4, 8, 16, 32, 64, 128)
LOSSES = ("train_loss", "held_out_loss", *(f"seen_{n}" for n in SEEN))
COLUMNS = ("stage", "parameters", "rate", "seed", "step", "tokens", *LOSSES, "seconds")
FOR_THE_RATE = 0  # the seed of the runs that choose each stage's rate; no other has it


def write_results(path: Path, rows: Iterable[Mapping]) -> None:
    """The table as a file; losses with four decimals."""
    write(path, rows, COLUMNS, exact=("rate", "seconds"))


def read_rows(path: Path = RESULTS) -> list[dict]:
    """The rows as they were measured, without what is empty. Raises ``FileNotFoundError``."""
    return read_filled(path)


def read_baselines(path: Path = RESULTS) -> dict[str, dict]:
    """The rows of the counting models, by name."""
    return {row["stage"]: row for row in read_rows(path) if "rate" not in row}


def last_rows(rows: Iterable[Mapping]) -> list[Mapping]:
    """The last row of each run, in the order of the runs."""
    found = {}
    for row in rows:
        if "rate" in row:
            found[row["stage"], row["rate"], row["seed"]] = row
    return list(found.values())


def read_sweep(path: Path = RESULTS) -> dict[str, dict[float, float]]:
    """By stage and rate: the held-out loss at the end of the run that chooses a rate."""
    return sweep_of(read_rows(path))


def sweep_of(rows: Iterable[Mapping]) -> dict[str, dict[float, float]]:
    """The same from rows in memory."""
    found: dict[str, dict[float, float]] = {}
    for row in last_rows(rows):
        if row["seed"] == FOR_THE_RATE:
            found.setdefault(row["stage"], {})[row["rate"]] = row["held_out_loss"]
    return found


def read_results(path: Path = RESULTS) -> dict[str, dict]:
    """By stage, in order: the runs at its best rate, as arrays of one row a seed.

    ``held_out_loss``, ``train_loss`` and ``seconds`` have one column a measurement, and ``tokens``
    is one row for all seeds; ``seen`` has one column for each number in ``SEEN``, NaN where the
    context is shorter. ``parameters`` and ``rate`` are single numbers.

    Raises ``FileNotFoundError``.
    """
    rows = [row for row in read_rows(path) if row.get("seed", FOR_THE_RATE) != FOR_THE_RATE]
    found = {}
    for stage in dict.fromkeys(row["stage"] for row in rows):
        own = [row for row in rows if row["stage"] == stage]
        ends, per_run = last_rows(own), len(own) // len(last_rows(own))
        found[stage] = {
            name: np.array([row[name] for row in own]).reshape(-1, per_run)
            for name in ("train_loss", "held_out_loss", "seconds")
        }
        found[stage]["tokens"] = np.array([row["tokens"] for row in own[:per_run]])
        found[stage]["seen"] = np.array(
            [[row.get(f"seen_{n}", np.nan) for n in SEEN] for row in ends]
        )
        found[stage] |= {"parameters": own[0]["parameters"], "rate": own[0]["rate"]}
    return found
