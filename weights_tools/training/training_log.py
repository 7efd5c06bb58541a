"""What a training run leaves to read: a table, and a picture of it."""

import csv
from pathlib import Path

from llama_np.training.optimizer import learning_rate

from ..writing import replacing
from .trainer import Training


def write_line(path: Path, training: Training, measure: str, figure: float) -> None:
    """Append to the log; lines of steps that a resumed run repeats are dropped first.

    ``measure`` names the column of the held-out ``figure``.
    """
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < training.step]
    recipe = training.recipe
    rate = learning_rate(training.step, recipe.peak_rate, recipe.warm_up, recipe.steps)
    rows.append(
        {
            "step": training.step,
            **training.stage.seen(training.step),
            "learning_rate": f"{rate:.3e}",
            "train_loss": f"{training.loss:.4f}",
            measure: f"{figure:.4f}",
            "seconds": f"{training.seconds:.0f}",
        }
    )
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw_curve(folder: Path, measure: str) -> None:
    """The log as a picture beside it."""
    import matplotlib.pyplot as plt  # takes a second, and only this needs it

    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    unit = next(unit for unit in ("tokens", "dialogs", "pairs") if unit in rows[0])
    scale, label = (1e6, "million tokens") if unit == "tokens" else (1, unit)
    seen = [int(row[unit]) / scale for row in rows]
    figure, left = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    right = left.twinx()
    left.plot(seen, [float(row["train_loss"]) for row in rows], color="tab:gray")
    left.set(xlabel=label, ylabel="training loss, nats (grey)")
    right.plot(seen, [float(row[measure]) for row in rows], color="tab:blue")
    right.set_ylabel(f"{measure.replace('_', ' ')} (blue)")
    with replacing(folder / "loss_curve.png") as beside:
        figure.savefig(beside, format="png", dpi=110)
    plt.close(figure)
