"""Time and memory of one model: load, read a prompt, decode tokens one by one."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from llama_np.cache import KVCache
from llama_np.config import LlamaConfig
from llama_np.model import forward
from llama_np.sampling import greedy, prefill
from tests.benchmarks.machine import make_data, medians, sample_rates
from tests.benchmarks.resident import Watch, read_from_disk, resident
from weights_tools.load import Model, load_model, open_model

WARM_UP = 3  # tokens that are not timed: memory is looked at while they are decoded


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    folder: Path
    memory: str
    tokens: int
    prompt_length: int

    def __post_init__(self):
        for name in ("tokens", "prompt_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def measure(options: Options) -> dict[str, Any]:
    """Load, prefill, decode: memory first, then each token in turn with the machine's own rates."""
    empty = resident()
    with Watch() as watch:
        start = time.perf_counter()
        model = load_model(options.folder, memory=options.memory)
        load_seconds = time.perf_counter() - start

        cache = make_cache(model.config, options)
        start = time.perf_counter()
        token = read_prompt(model, options.prompt_length, cache)
        prefill_seconds = time.perf_counter() - start

        decoding_from = len(watch.samples)
        for _ in range(WARM_UP):
            token, *_ = decode_one(model, token, cache)

    disk_before = read_from_disk()
    seconds, of_processors, rates = in_turns(model, token, cache, options.tokens)
    disk_after = read_from_disk()
    return {
        "parameters": model.config.count_parameters(),
        "memory": model.memory,
        "held_as": type(model.weights.layers[0].wq).__name__,
        "load_seconds": load_seconds,
        "prompt_length": options.prompt_length,
        "prefill_seconds": prefill_seconds,
        "tokens": options.tokens,
        "disk_bytes_while_decoding": None if disk_before is None else disk_after - disk_before,
        "cache_bytes": cache.nbytes,
        "resident": watch.summary(empty, decoding_from),
        **compare(seconds, of_processors, rates, *read_per_token(model)),
    }


def make_cache(config: LlamaConfig, options: Options) -> KVCache:
    """A cache with room for all that will be decoded, within the context of the model."""
    positions = options.prompt_length + WARM_UP + options.tokens
    if positions > config.context_length:
        raise ValueError(
            f"{options.folder}: a prompt of {options.prompt_length}, {WARM_UP} tokens to warm up "
            f"and {options.tokens} more exceed its context of {config.context_length}; take fewer"
        )
    return KVCache(config, positions)


def in_turns(
    model: Model, token: int, cache: KVCache, n_tokens: int
) -> tuple[list[float], list[float], list[dict[str, float]]]:
    """The seconds of each token, those that all cores worked, and the machine's rates after it."""
    data, seconds, of_processors, rates = make_data(), [], [], []
    sample_rates(data)  # to warm up
    for _ in range(n_tokens):
        token, taken, of_all = decode_one(model, token, cache)
        seconds.append(taken)
        of_processors.append(of_all)
        rates.append(sample_rates(data))
    return seconds, of_processors, rates


def compare(
    seconds: list[float],
    of_processors: list[float],
    rates: list[dict[str, float]],
    n_weights: int,
    n_bytes: int,
) -> dict[str, Any]:
    """Medians with their spread; each ratio is of one token and the samples right after it."""
    pairs = list(zip(seconds, rates, strict=True))
    float32_weights = "float32 matrix-vector"
    return {
        "weights_per_token": n_weights,
        "bytes_per_token": n_bytes,
        "decode": summary(
            {
                "seconds": seconds,
                "processor_seconds": of_processors,
                "weights_per_second": [n_weights / s for s in seconds],
                "bytes_per_second": [n_bytes / s for s in seconds],
            }
        ),
        "machine": summary({name: [rate[name] for rate in rates] for name in rates[0]}),
        "ratios": summary(
            {
                "bytes / memory read": [n_bytes / s / rate["memory read"] for s, rate in pairs],
                "weights / float32 matrix-vector": [
                    n_weights / s / (rate[float32_weights] / 4) for s, rate in pairs
                ],
            }
        ),
    }


def summary(samples: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """``medians``, ready for JSON."""
    return {name: middle._asdict() for name, middle in medians(samples).items()}


def read_prompt(model: Model, length: int, cache: KVCache) -> int:
    """Fill the cache with random tokens; the token that follows them."""
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, length)
    return greedy(prefill(model.weights, model.config, ids, cache))


def decode_one(model: Model, token: int, cache: KVCache) -> tuple[int, float, float]:
    """The next token, the seconds it took, and those that all cores together worked for it."""
    start, worked = time.perf_counter(), time.process_time()
    logits = forward(model.weights, model.config, np.array([token]), cache, last_only=True)
    return greedy(logits[-1]), time.perf_counter() - start, time.process_time() - worked


def read_per_token(model: Model) -> tuple[int, int]:
    """Weights that one token needs, and their bytes: in memory, or in the file they stay in.

    All of them, but of an embedding that is not the output too, only one row.
    """
    in_file = open_model(model.path).stored
    tied = model.config.tied_output
    needed = {name: w for name, w in model.weights.named() if tied or name != "embedding"}
    return sum(math.prod(w.shape) for w in needed.values()), sum(
        w.nbytes if isinstance(w, np.ndarray) else in_file[name].n_bytes
        for name, w in needed.items()
    )
