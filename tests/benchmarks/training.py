"""Tokens a second that the trainer learns from, beside PyTorch taking the same step."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from llama_np.config import LlamaConfig
from llama_np.workers import n_cores
from weights_tools.training.corpus import Stream
from weights_tools.training.train import Recipe, Training

from .rows import Row, at_least
from .theirs import installed
from .turns import take_turns

TARGETS = {"doll-house": (at_least(1.0, "theirs"),)}


class Rates:
    """One step at a time, of ours and of theirs, over the same stream of random tokens."""

    def __init__(self, config: LlamaConfig, recipe: Recipe):
        tokens = np.random.default_rng(0).integers(0, config.vocab_size, 1 << 17, np.int32)
        self.stream, self.recipe = Stream([tokens], 0), recipe
        self.training = Training(config, recipe)
        self.theirs, self.their_steps = None, 0
        if installed():
            from .torch_step import TorchStep

            self.theirs = TorchStep(config, self.training.weights, recipe)

    def our_rate(self) -> float:
        """As ``train`` takes a step: BLAS on one thread, the parts of a batch on all cores."""
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_cores()) as pool:
            start = time.perf_counter()
            self.training.take_step(self.stream, pool)
        return self.recipe.tokens_per_step / (time.perf_counter() - start)

    def their_rate(self) -> float:
        """PyTorch with all threads inside each operation, as it is by default."""
        start = time.perf_counter()
        recipe = self.recipe
        ids, targets = self.stream.batch(self.their_steps, recipe.tokens_per_step, recipe.row)
        self.theirs.take_step(ids, targets)
        self.their_steps += 1
        return recipe.tokens_per_step / (time.perf_counter() - start)


def training(name: str, config: LlamaConfig, recipe: Recipe, repetitions: int) -> list[Row]:
    """The recipe that made the doll-house: its shape, its batch, dropout, clipping, averaging."""
    rates = Rates(config, recipe)
    samplers = {"ours": rates.our_rate}
    if rates.theirs:
        samplers["sdpa"] = rates.their_rate
    take_turns(samplers, 1)
    samples = take_turns(samplers, repetitions)
    what = f"train {name}, {recipe.tokens_per_step} tokens a step"
    return [Row(what, "tokens/s", samples, targets=TARGETS.get(name, ()))]
