"""Pre-training a small Llama from nothing, on all cores, in NumPy.

One step takes ``tokens_per_step`` tokens of the stream, cut into rows of ``row`` tokens. The
rows are dealt out in parts of about PART_TOKENS tokens, and threads work on the parts side by side:
NumPy lets go of Python's lock while it computes, and BLAS is held to one thread for each of ours.
The parts' gradients are added up in order, so the number of threads does not change the result.

Everything random follows from the seed and the step. A run that was stopped goes on from its
checkpoint exactly as if it had not been.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from threadpoolctl import threadpool_limits

from llama_np.backward import loss_and_gradients
from llama_np.config import LlamaConfig
from llama_np.optimizer import AdamW, clip_by_global_norm, learning_rate
from llama_np.weights import Weights, initialize

from .corpus import Stream

PART_TOKENS = 1024  # small enough for the processor's cache, large enough to keep Python out of it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: everything that decides the result besides the corpus and the config.

    The defaults made the doll-house.
    """

    steps: int = 6400
    tokens_per_step: int = 2048
    row: int = 256  # tokens a row holds at first
    final_row: int = 512  # and in the last part of the run
    final_share: float = 0.25  # how large that part is
    peak_rate: float = 3e-3
    warm_up: int = 200
    weight_decay: float = 0.1
    dropout: float = 0.1
    clip: float = 1.0
    averaging: float = 0.998  # per step, of the averaged weights that are kept in the end
    seed: int = 0

    def __post_init__(self):
        for length in (self.row, self.final_row):
            if self.tokens_per_step % length:
                raise ValueError(
                    f"{self.tokens_per_step} tokens per step cannot be cut into rows of {length}; "
                    "choose a multiple"
                )

    def row_length(self, step: int) -> int:
        """Short rows first, because attention over them is cheap; long ones to finish."""
        return self.row if step < self.steps * (1 - self.final_share) else self.final_row


class Training:
    """Weights on their way: what must be kept to go on."""

    def __init__(self, config: LlamaConfig, recipe: Recipe, data: str = ""):
        self.config, self.recipe, self.data = config, recipe, data  # data: ``Stream.digest``
        self.step = 0
        self.seconds = 0.0
        self.loss = math.nan  # smoothed over the last steps
        self.weights = initialize(config, np.random.default_rng(recipe.seed))
        self.average = self.weights.map(np.copy)
        self.optimizer = AdamW(self.weights, weight_decay=recipe.weight_decay)

    def options(self) -> dict[str, object]:
        """Config, recipe and data in one flat dictionary: what must be the same to go on."""
        both = dataclasses.asdict(self.config) | dataclasses.asdict(self.recipe)
        return json.loads(json.dumps(both | {"data": self.data}))

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Everything that changes, by kind and name; the arrays are the live ones."""
        return {
            "weights": dict(self.weights.named()),
            "average": dict(self.average.named()),
            "mean": self.optimizer.mean,
            "mean_square": self.optimizer.mean_square,
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint beside the old one, then put it in its place."""
        flat = {f"{kind}/{n}": a for kind, group in self.arrays().items() for n, a in group.items()}
        about = self.options() | {"step": self.step, "seconds": self.seconds, "loss": self.loss}
        beside = path.with_name(f"{path.name}.tmp")
        with beside.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **flat)
        beside.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; it must come from the same config, recipe and data."""
        try:
            saved = np.load(path)
        except (ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"{path}: no checkpoint ({error}); remove it to start anew") from None
        with saved:
            about = json.loads(str(saved["about"]))
            for name, value in self.options().items():
                if value != about.get(name):
                    raise ValueError(
                        f"{path}: was made with {name} = {about.get(name)}, this run has {value}; "
                        "use the same options, or another --out"
                    )
            for kind, group in self.arrays().items():
                for name, array in group.items():
                    array[...] = saved[f"{kind}/{name}"]
        self.step = self.optimizer.step_count = about["step"]
        self.seconds, self.loss = about["seconds"], about["loss"]

    def take_step(self, stream: Stream, pool: ThreadPoolExecutor) -> float:
        """One update from one batch; returns the batch's mean loss in nats per token."""
        recipe = self.recipe
        length = recipe.row_length(self.step)
        ids, targets = stream.batch(self.step, recipe.tokens_per_step, length)
        rows = max(1, PART_TOKENS // length)

        def part(start: int) -> tuple[float, Weights]:
            rng = np.random.default_rng([recipe.seed, self.step, start])
            own = slice(start, start + rows)
            return loss_and_gradients(
                self.weights, self.config, ids[own], targets[own],
                dropout_rate=recipe.dropout, rng=rng,
            )  # fmt: skip

        starts = range(0, len(ids), rows)
        shares = [len(ids[start : start + rows]) / len(ids) for start in starts]
        loss, gradients = add_up(pool.map(part, starts), shares)
        clip_by_global_norm(gradients, recipe.clip)
        rate = learning_rate(self.step, recipe.peak_rate, recipe.warm_up, recipe.steps)
        self.optimizer.step(self.weights, gradients, rate)
        self.step += 1
        keep = min(recipe.averaging, self.step / (self.step + 10))
        for (_, mean), (_, new) in zip(self.average.named(), self.weights.named(), strict=True):
            mean += (1 - keep) * (new - mean)
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
        return loss


def add_up(results, shares) -> tuple[float, Weights]:
    """The mean loss and mean gradients of parts that hold these shares of the batch."""
    total_loss, total = 0.0, None
    for (loss, gradients), share in zip(results, shares, strict=True):
        total_loss += share * loss
        arrays = [array for _, array in gradients.named()]
        for array in arrays:
            array *= share
        if total is None:
            total = gradients
        else:
            for (_, sum_so_far), array in zip(total.named(), arrays, strict=True):
                sum_so_far += array
    return total_loss, total


def train(
    training: Training,
    stream: Stream,
    checkpoint: Path,
    evaluate: Callable[[Weights], float],
    report: Callable[[Training, float | None], None],
    evaluate_every: int,
    threads: int = os.cpu_count() or 1,
) -> None:
    """Run to the last step, with a checkpoint at every evaluation.

    ``evaluate`` takes the averaged weights and returns held-out bits per byte. ``report`` is called
    after every step with the training, and the bits when they were measured.
    """
    started = time.monotonic() - training.seconds
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        while training.step < training.recipe.steps:
            loss = training.take_step(stream, pool)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} at step {training.step}; the last checkpoint stands, "
                    "start again with a lower --peak-rate"
                )
            training.seconds = time.monotonic() - started
            bits = None
            if training.step % evaluate_every == 0 or training.step == training.recipe.steps:
                bits = evaluate(training.average)
            report(training, bits)
            if bits is not None:
                training.save(checkpoint)
