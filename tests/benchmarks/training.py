"""Tokens a second that the trainer learns from, beside PyTorch taking the same step."""

import time

import numpy as np

from llama_np.config import LlamaConfig
from llama_np.weights import initialize
from tests.benchmarks.rows import Row, at_least
from tests.benchmarks.theirs import installed
from tests.benchmarks.turns import take_turns
from weights_tools.training.corpus import Stream
from weights_tools.training.stages import Pretraining, Rows
from weights_tools.training.trainer import Hyperparameters, Training

TARGETS = {"doll-house": (at_least(1.0, "theirs"),)}


class Rates:
    """One step at a time, of ours and of theirs, over the same stream of random tokens."""

    def __init__(self, config: LlamaConfig, recipe: Hyperparameters, rows: Rows):
        tokens = np.random.default_rng(0).integers(0, config.vocab_size, 1 << 17, np.int32)
        self.stream, self.rows = Stream([tokens], 0), rows
        stage = Pretraining(self.stream, rows, recipe.steps, config.vocab_size)
        start = initialize(config, np.random.default_rng(recipe.seed))
        self.training = Training(config, recipe, stage, start)
        self.theirs, self.their_steps = None, 0
        if installed():
            from tests.benchmarks.torch_step import TorchStep

            self.theirs = TorchStep(config, start, recipe)

    def our_rate(self) -> float:
        """As ``train`` takes a step: BLAS on one thread, the parts of a batch on all cores."""
        start = time.perf_counter()
        self.training.take_step()
        return self.rows.tokens_per_step / (time.perf_counter() - start)

    def their_rate(self) -> float:
        """PyTorch with all threads inside each operation, as it is by default."""
        start = time.perf_counter()
        rows = self.rows
        ids, targets = self.stream.batch(self.their_steps, rows.tokens_per_step, rows.row)
        self.theirs.take_step(ids, targets)
        self.their_steps += 1
        return rows.tokens_per_step / (time.perf_counter() - start)


def training(
    name: str, config: LlamaConfig, recipe: Hyperparameters, rows: Rows, repetitions: int
) -> list[Row]:
    """The recipe that made the doll-house: its shape, its batch, dropout, clipping, averaging."""
    rates = Rates(config, recipe, rows)
    samplers = {"ours": rates.our_rate}
    if rates.theirs:
        samplers["sdpa"] = rates.their_rate
    take_turns(samplers, 1)
    samples = take_turns(samplers, repetitions)
    what = f"train {name}, {rows.tokens_per_step} tokens a step"
    return [Row(what, "tokens/s", samples, targets=TARGETS.get(name, ()))]
