"""Many sequences at once, and long ones: a batch of 8, a far position, the memory of a prompt."""

import dataclasses
import time

import numpy as np

from llama_np.cache import KVCache
from llama_np.config import LlamaConfig
from llama_np.model import forward
from llama_np.sampling import prefill
from llama_np.weights import Weights
from tests.benchmarks import machine
from tests.benchmarks.limits import weights_read
from tests.benchmarks.ours import PROMPT, WARM_UP, prompt_of
from tests.benchmarks.random_weights import random_weights
from tests.benchmarks.resident import Watch, resident
from tests.benchmarks.rows import Row, at_least, at_most
from tests.benchmarks.turns import take_turns

BATCH = 8
BLOCKS = 2  # of a shape that would take minutes with all of them
ALLOWED = 512 * 2**20  # bytes beside weights and cache
BATCHED = {"stories110m": (at_least(4, "limit"),)}
FAR = {"stories110m": (at_most(1.3, "limit"),)}
LEAN = {"llama-3.2-1b": (at_most(1, "limit"),)}


class Writer:
    """Writes one token after another for a batch of sequences, each row the greedy one."""

    def __init__(self, config: LlamaConfig, weights: Weights, ids: np.ndarray, room: int):
        self.config, self.weights = config, weights
        self.cache = KVCache(config, ids.shape[-1] + room)
        self.logits = prefill(weights, config, ids, self.cache)

    def write(self, n: int) -> float:
        """Seconds for ``n`` more tokens of every sequence."""
        start = time.perf_counter()
        for _ in range(n):
            ids = self.logits.argmax(-1)[..., None]
            self.logits = forward(self.weights, self.config, ids, self.cache, last_only=True)
            self.logits = self.logits[..., -1, :]
        return time.perf_counter() - start


def batch(name: str, config: LlamaConfig, repetitions: int, n: int = 12) -> list[Row]:
    """Tokens a second of 8 sequences that are written at once, beside those of one."""
    weights = random_weights(config)
    room = WARM_UP + n * repetitions
    prompts = np.stack([np.roll(prompt_of(config, PROMPT), i) for i in range(BATCH)])
    many, one = (Writer(config, weights, ids, room) for ids in (prompts, prompts[0]))
    many.write(WARM_UP), one.write(WARM_UP)
    samples = take_turns(
        {"ours": lambda: BATCH * n / many.write(n), "limit": lambda: n / one.write(n)}, repetitions
    )
    what = f"decode {name}, {BATCH} sequences at once"
    return [Row(what, "tokens/s", samples, "one sequence", BATCHED.get(name, ()))]


def long_context(name: str, config: LlamaConfig, S: int, repetitions: int, n: int = 8) -> list[Row]:
    """Milliseconds a token behind ``S`` others, beside the time to read weights and cache once."""
    room = WARM_UP + n * repetitions
    config = dataclasses.replace(config, context_length=max(config.context_length, S + room))
    writer = Writer(config, random_weights(config), prompt_of(config, S), room)
    writer.write(WARM_UP)
    data = machine.make_data()
    per_position = writer.cache.nbytes / writer.cache.max_length

    def least() -> float:
        n_bytes = 4 * weights_read(config) + per_position * writer.cache.length
        return 1000 * n_bytes / machine.memory_read(data)

    samples = take_turns({"ours": lambda: 1000 * writer.write(n) / n, "limit": least}, repetitions)
    what = f"decode {name} behind {S} tokens"
    return [Row(what, "ms/token", samples, "weights + cache read", FAR.get(name, ()))]


def prefill_memory(name: str, config: LlamaConfig, T: int) -> list[Row]:
    """The most memory that reading ``T`` tokens takes, beside weights and cache.

    Two blocks of the shape stand for all: what a block needs has gone when the next one starts.
    """
    config = dataclasses.replace(config, n_layers=min(BLOCKS, config.n_layers))
    weights = random_weights(config)
    held = sum(w.nbytes for _, w in weights.named())
    cache = KVCache(config, T)
    with Watch() as watch:
        prefill(weights, config, prompt_of(config, T), cache)
    what = f"prefill {name}, {T} tokens: memory beside weights and cache"
    targets = LEAN.get(name, ())
    if not resident():  # this system does not say
        return [Row(what, "MiB", {}, "allowed", targets)]
    peak = max(sample["RssAnon"] for sample in watch.samples) - held - cache.nbytes
    samples = {"ours": [peak / 2**20], "limit": [ALLOWED / 2**20]}
    return [Row(what, "MiB", samples, "allowed", targets)]
