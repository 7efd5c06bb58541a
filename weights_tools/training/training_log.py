"""What a training run leaves to read: a table, and a picture of it."""

import csv
import sys
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from llama_np.training.optimizer import learning_rate

from ..writing import replacing
from .trainer import Training

LARGEST = 1 << 26  # bytes of a log; a line has about a hundred


def write_line(path: Path, training: Training, figures: Mapping[str, float]) -> None:
    """Append to the log; lines of steps that a resumed run repeats are dropped first.

    ``figures`` are what was measured, by the names of their columns.
    """
    recipe = training.recipe
    rate = learning_rate(training.step, recipe.peak_rate, recipe.warm_up, recipe.steps)
    new = {
        "step": training.step,
        **training.stage.seen(training.step),
        "learning_rate": f"{rate:.3e}",
        "train_loss": f"{training.loss:.4f}",
        **{key: shown(value) for key, value in figures.items()},
        "seconds": f"{training.seconds:.0f}",
    }
    before = [row for row in read_log(path, list(new)) if int(row["step"]) < training.step]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(new), lineterminator="\n")
        writer.writeheader()
        writer.writerows([*before, new])


def read_log(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """The lines of a log, numbers all of them; none where there is no file.

    What is no such log any more, perhaps saved by a spreadsheet in another way, or has other
    ``columns`` than are asked for, is kept under another name, and the log begins anew.
    """
    if not path.exists():
        return []
    try:
        rows = read_rows(path, columns)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        kept = next(p for n in count() if not (p := path.with_name(f"log (old {n}).csv")).exists())
        path.replace(kept)
        print(f"{path.name} cannot be read any more; it is kept as {kept.name}", file=sys.stderr)
        return []
    return rows


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a log; raises one of several errors where it is none."""
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise ValueError("no file, or a very large one")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        int(row["step"]), row["train_loss"]
        if None in row or None in row.values() or (columns and list(row) != list(columns)):
            raise ValueError("a line of another length, or other columns")
        for cell in row.values():
            float(cell)
    return rows


def shown(figure: float) -> str:
    """A figure as the log has it: a count is whole, all else has four places.

    >>> shown(0.5), shown(3)
    ('0.5000', '3')
    """
    return str(figure) if isinstance(figure, int) else f"{figure:.4f}"


def draw_curve(folder: Path) -> None:
    """The log as a picture beside it: the loss, and the first of the figures that were measured."""
    import matplotlib.pyplot as plt  # takes a second, and only this needs it

    rows = read_log(folder / "log.csv")
    if not rows:  # somebody took it away: the model does not depend on it
        return
    columns = list(rows[0])
    unit, measure = columns[1], columns[columns.index("train_loss") + 1]
    scale, label = (1e6, "million tokens") if unit == "tokens" else (1, unit)
    seen = [float(row[unit]) / scale for row in rows]
    figure, left = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    right = left.twinx()
    left.plot(seen, [float(row["train_loss"]) for row in rows], color="tab:gray")
    left.set(xlabel=label, ylabel="training loss, nats (grey)")
    right.plot(seen, [float(row[measure]) for row in rows], color="tab:blue")
    right.set_ylabel(f"{measure.replace('_', ' ')} (blue)")
    with replacing(folder / "loss_curve.png") as beside:
        figure.savefig(beside, format="png", dpi=110)
    plt.close(figure)
