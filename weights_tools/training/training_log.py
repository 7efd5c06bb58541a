"""What a training run leaves to read: a table, and a picture of it."""

import csv
from pathlib import Path

from llama_np.optimizer import learning_rate

from .corpus import Stream
from .train import Training

COLUMNS = [
    "step",
    "tokens",
    "epoch",
    "learning_rate",
    "train_loss",
    "held_out_bits_per_byte",
    "seconds",
]


def write_line(path: Path, training: Training, stream: Stream, bits: float) -> None:
    """Append to the log; lines of steps that a resumed run repeats are dropped first."""
    rows = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) < training.step]
    tokens = training.step * training.recipe.tokens_per_step
    rate = learning_rate(
        training.step, training.recipe.peak_rate, training.recipe.warm_up, training.recipe.steps
    )
    values = [
        training.step, tokens, f"{tokens / stream.length:.3f}", f"{rate:.3e}",
        f"{training.loss:.4f}", f"{bits:.4f}", f"{training.seconds:.0f}",
    ]  # fmt: skip
    rows.append(dict(zip(COLUMNS, values, strict=True)))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw_curve(folder: Path) -> None:
    """The log as a picture beside it."""
    import matplotlib.pyplot as plt  # takes a second, and only this needs it

    with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tokens = [int(row["tokens"]) / 1e6 for row in rows]
    figure, left = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    right = left.twinx()
    left.plot(tokens, [float(row["train_loss"]) for row in rows], color="tab:gray")
    left.set(xlabel="million tokens", ylabel="training loss, nats per token (grey)")
    right.plot(tokens, [float(row["held_out_bits_per_byte"]) for row in rows], color="tab:blue")
    right.set_ylabel("held-out bits per byte (blue)")
    figure.savefig(folder / "loss_curve.png", dpi=110)
    plt.close(figure)
