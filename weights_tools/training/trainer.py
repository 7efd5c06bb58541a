"""The loop behind pre-training, fine-tuning, preferences and rewards: on all cores, in NumPy.

A stage (``stages.py``, ``grpo.py``) deals each step's batch out in parts of about a thousand
tokens, and the cores work on the parts side by side. The parts' gradients are added up in order, so
the number of cores does not change the result.

Everything random follows from the seed and the step. A run that was stopped goes on from its
checkpoint exactly as if it had not been.
"""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn
from zipfile import ZIP_STORED

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.training.backward import Dropout, differentiate
from llama_np.training.lora import Lora, lora_gradients, merge
from llama_np.training.optimizer import AdamW, clip_by_global_norm, learning_rate
from llama_np.weights import Weights

from ..workers import each
from ..writing import replacing
from .stages import MicroBatch, Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """How to train: everything that decides the result besides the data and the model.

    The defaults are for some 14 MB of stories; the doll-house's own are in its model card.
    """

    steps: int = 7500
    peak_rate: float = 4e-3
    warm_up: int = 50
    weight_decay: float = 0.1
    dropout: float = 0.0
    clip: float = 1.0
    ema_decay: float = 0.998  # per step, of the averaged weights that are kept in the end
    seed: int = 0

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"expected at least one step, got {self.steps}")


class Training:
    """A model on its way: what must be kept to go on.

    All of ``start`` learns; with a ``lora``, only its matrices do, and ``start`` is frozen.
    """

    def __init__(
        self,
        config: LlamaConfig,
        recipe: Hyperparameters,
        stage: Stage,
        start: Weights,
        lora: Lora | None = None,
    ):
        self.config, self.recipe, self.stage = config, recipe, stage
        self.frozen = start if lora else None
        self.learned: Weights | Lora = (lora or start).map(np.copy)
        self.average = self.learned.map(np.copy)
        self.optimizer = AdamW(self.learned, weight_decay=recipe.weight_decay)
        self.step = 0
        self.seconds = 0.0
        self.loss = math.nan  # smoothed over the last steps

    def weights(self, learned: Weights | Lora) -> Weights:
        """A whole model from what was learned, ``self.learned`` or ``self.average``."""
        return merge(self.frozen, learned) if self.frozen else learned

    def options(self) -> dict[str, object]:
        """Config, recipe and data in one flat dictionary: what must be the same to go on."""
        all_of_it = dataclasses.asdict(self.config) | dataclasses.asdict(self.recipe)
        if self.frozen:
            all_of_it |= {"lora_scale": self.learned.scale, "frozen_model": name(self.frozen)}
        all_of_it["learned"] = {key: array.shape for key, array in self.learned.named()}
        return json.loads(json.dumps(all_of_it | self.stage.about()))

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Everything that changes, by kind and name; the arrays are the live ones."""
        return {
            "weights": dict(self.learned.named()),
            "average": dict(self.average.named()),
            "mean": self.optimizer.mean,
            "mean_square": self.optimizer.mean_square,
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint beside the old one, then put it in its place."""
        flat = {f"{kind}/{n}": a for kind, group in self.arrays().items() for n, a in group.items()}
        about = self.options() | {"step": self.step, "seconds": self.seconds, "loss": self.loss}
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **flat)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint; it must come from the same model, recipe and data."""
        about, saved = read_checkpoint(path)
        self.check_options(path, about)
        live = {f"{kind}/{n}": a for kind, group in self.arrays().items() for n, a in group.items()}
        for key, array in live.items():
            found = saved.get(key)
            if found is None or (found.shape, found.dtype) != (array.shape, array.dtype):
                got = "nothing" if found is None else f"{found.dtype} of {found.shape}"
                refuse(path, f"{key} should be {array.dtype} of {array.shape}, got {got}")
        step, told = about.get("step"), (about.get("seconds"), about.get("loss"))
        if type(step) is not int or not 0 <= step <= self.recipe.steps:
            refuse(path, f"its step should be one of {self.recipe.steps}, got {step!r:.40}")
        if not all(isinstance(number, float) for number in told):
            refuse(path, f"seconds and loss should be numbers, got {told!r:.40}")
        for key, array in live.items():
            array[...] = saved[key]
        self.step = self.optimizer.step_count = step
        self.seconds, self.loss = told

    def check_options(self, path: Path, about: dict[str, object]) -> None:
        """Raise ``ValueError`` for the first option that is not what it was."""
        for key, value in self.options().items():
            if value != about.get(key):
                told = "" if key == "learned" else f" = {about.get(key)}, this run has {value}"
                raise ValueError(
                    f"{path}: was made with {'other matrices' if not told else key}{told}; "
                    "use the same options, or another --out"
                )

    def batch(self, weights: Weights) -> list[MicroBatch]:
        """The parts of this step's batch; ``weights`` is the model as it is by now."""
        return self.stage.parts(self.step)

    def take_step(self) -> float:
        """One update from one batch; returns the batch's mean loss.

        Raises ``FloatingPointError`` before anything is changed, if loss or gradients are NaN.
        """
        recipe, weights = self.recipe, self.weights(self.learned)

        def learn(part: MicroBatch) -> tuple[float, Weights | Lora]:
            rng = np.random.default_rng([recipe.seed, self.step, part.first_row])
            dropout = Dropout(rate=recipe.dropout, rng=rng) if recipe.dropout else None
            loss, gradients = differentiate(weights, self.config, part.ids, part.loss_of, dropout)
            return loss, lora_gradients(gradients, self.learned) if self.frozen else gradients

        parts = self.batch(weights)
        loss, gradients = add_up(each(learn, parts), [part.share for part in parts])
        length = clip_by_global_norm(gradients, recipe.clip)
        if not math.isfinite(loss) or not math.isfinite(length):
            raise FloatingPointError(
                f"the loss became {loss} and the gradient {length} long at step {self.step}; the "
                "last checkpoint stands. Begin anew with a lower --peak-rate, into another --out"
            )
        rate = learning_rate(self.step, recipe.peak_rate, recipe.warm_up, recipe.steps)
        self.optimizer.step(self.learned, gradients, rate)
        self.step += 1
        keep = min(recipe.ema_decay, self.step / (self.step + 10))
        for (_, mean), (_, new) in zip(self.average.named(), self.learned.named(), strict=True):
            mean += (1 - keep) * (new - mean)
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
        return loss


def read_checkpoint(path: Path) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """What a checkpoint says about itself, and its arrays; ``ValueError`` for other files.

    They take no more memory than the file is large: ``save`` packs nothing.
    """
    if not path.is_file():
        refuse(path, "this is no file")
    try:
        with np.load(path) as saved:
            if any(entry.compress_type != ZIP_STORED for entry in saved.zip.infolist()):
                raise ValueError("it is packed")
            about = json.loads(str(saved["about"]))
            read = {key: saved[key] for key in saved.files}
    except Exception as error:  # NumPy and zipfile raise many kinds for damaged files
        refuse(path, str(error).partition("\n")[0][:200] or type(error).__name__)
    arrays = {key: array for key, array in read.items() if isinstance(array, np.ndarray)}
    if not isinstance(about, dict):
        refuse(path, "it says nothing about itself")
    return about, arrays


def refuse(path: Path, why: str) -> NoReturn:
    """Raise for a file that is no checkpoint that ``save`` has written."""
    raise ValueError(f"{path}: no checkpoint ({why}); remove it to start anew")


def name(weights: Weights) -> str:
    """Eight digits that name these weights and no others."""
    digest = hashlib.sha256()
    for _, array in weights.named():
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:8]


def add_up(results, shares) -> tuple[float, Weights | Lora]:
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
    checkpoint: Path,
    evaluate: Callable[[Weights], Mapping[str, float]],
    report: Callable[[Training, Mapping[str, float] | None], None],
    evaluate_every: int,
) -> None:
    """Run to the last step, with a checkpoint at every evaluation.

    ``evaluate`` takes the averaged weights and returns figures by name, measured on what was held
    out. ``report`` is called after every step with the training, and the figures when there are
    some.
    """
    started = time.monotonic() - training.seconds
    while training.step < training.recipe.steps:
        training.take_step()
        training.seconds = time.monotonic() - started
        figures = None
        if training.step % evaluate_every == 0 or training.step == training.recipe.steps:
            figures = evaluate(training.weights(training.average))
        report(training, figures)
        if figures is not None:
            training.save(checkpoint)
