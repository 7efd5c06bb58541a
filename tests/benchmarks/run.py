"""The whole comparison: every job in a process of its own, one after another."""

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Collection
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from tests.benchmarks import context, limits, machine, speed, start, text, training
from tests.benchmarks.alone import alone
from tests.benchmarks.rows import Row
from tests.benchmarks.shapes import SHAPES
from tests.benchmarks.speed import Effort
from tests.benchmarks.theirs import installed
from tests.benchmarks.turns import take_turns
from weights_tools.training.stages import Rows
from weights_tools.training.trainer import Hyperparameters
from weights_tools.workers import n_cores

PACKAGES = ("numpy", "tiktoken", "torch", "transformers")
SPEED = ("doll-house", "stories260k", "stories15m", "stories110m", "llama-3.2-1b")
Job = Callable[[], list[Row]]


def machine_rows(repetitions: int) -> list[Row]:
    """What the machine itself can do: the large sizes that the limits of large models come from."""
    data = machine.make_data()
    vector, matrix = limits.MatrixVector(SHAPES["llama-3.2-1b"]), limits.MatrixMatrix()
    rates = {
        "float32 matrix-vector": (vector, "GB/s"),
        "float32 matrix-matrix": (matrix, "GFLOP/s"),
        "memory read": (partial(machine.memory_read, data), "GB/s"),
        "memory copy": (partial(machine.memory_copy, data), "GB/s"),
        "bfloat16 widening": (partial(limits.widening, data), "GB/s"),
    }
    samples = take_turns({name: rate for name, (rate, _) in rates.items()}, repetitions)
    return [
        Row(name, unit, {"limit": [sample / 1e9 for sample in samples[name]]})
        for name, (_, unit) in rates.items()
    ]


def full_jobs() -> dict[str, list[Job]]:
    """Everything, for some minutes."""
    story, large = SHAPES["stories110m"], SHAPES["llama-3.2-1b"]
    loads = {"doll-house": 3, "stories110m": 2, "llama-3.2-1b": 1}
    return {
        "machine": [partial(machine_rows, 5)],
        **{name: [partial(speed.speed_of, name, Effort(5))] for name in SPEED},
        "batch": [partial(context.batch, "stories110m", story, 5)],
        "long-context": [partial(context.long_context, "stories110m", story, 4096, 5)],
        "prefill-memory": [partial(context.prefill_memory, "llama-3.2-1b", large, 8192)],
        "start-up": [partial(start.start_up, 9)],
        "load": [partial(start.load, name, SHAPES[name], n) for name, n in loads.items()],
        "training": [
            partial(
                training.training, "doll-house", SHAPES["doll-house"], Hyperparameters(), Rows(), 5
            )
        ],
        "tokenizer": [partial(text.tokenizer, 5)],
        "lessons": [partial(text.lessons, slice(None))],
    }


def quick_jobs() -> dict[str, list[Job]]:
    """The same on small shapes, in less than a minute: whether it works, not how fast."""
    house, story = SHAPES["doll-house"], SHAPES["stories15m"]
    longer = dataclasses.replace(story, context_length=1024)
    thin = dataclasses.replace(house, n_layers=8)
    effort = Effort(2, prefill=128, decode=8)
    return {
        "machine": [partial(machine_rows, 2)],
        **{name: [partial(speed.speed_of, name, effort)] for name in SPEED[:2]},
        "batch": [partial(context.batch, "stories15m", story, 2)],
        "long-context": [partial(context.long_context, "stories15m", story, 512, 2)],
        "prefill-memory": [partial(context.prefill_memory, "stories15m", longer, 1024)],
        "start-up": [partial(start.start_up, 3)],
        "load": [partial(start.load, "doll-house", house, 1)],
        "training": [
            partial(
                training.training, "a doll-house of 8 blocks", thin, Hyperparameters(), Rows(), 1
            )
        ],
        "tokenizer": [partial(text.tokenizer, 2)],
        "lessons": [partial(text.lessons, slice(1, 2))],
    }


def choose(jobs: dict[str, list[Job]], names: Collection[str]) -> dict[str, list[Job]]:
    """The jobs that are asked for, or all. Raises ``ValueError`` for a name that is none."""
    for name in names:
        if name not in jobs:
            raise ValueError(f"unknown name {name!r}; expected some of {', '.join(jobs)}")
    return {name: work for name, work in jobs.items() if not names or name in names}


def run_jobs(jobs: dict[str, list[Job]], in_process: Callable = alone) -> dict[str, Any]:
    """Rows, what could not be measured and why, and what is worth knowing about the run."""
    started, rows, failed = time.perf_counter(), [], {}
    about = in_process(describe)
    for name, work in jobs.items():
        before = time.perf_counter()
        try:
            for job in work:
                rows += in_process(job)
        except BrokenProcessPool:
            failed[name] = "the process ended early, as it does when memory runs out"
        except Exception as error:  # minutes of measuring are not thrown away for one job
            failed[name] = f"{type(error).__name__}: {error}".rstrip(": ")
        print(f"{name}  {time.perf_counter() - before:.1f} s", file=sys.stderr, flush=True)
    about["seconds"] = round(time.perf_counter() - started)
    return {"about": about, "rows": rows, "not measured": failed}


def describe() -> dict[str, Any]:
    """The machine, the versions, the threads of both sides, in this process."""
    blas = [p for p in threadpool_info() if p["user_api"] == "blas"]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_name(),
        "cores": n_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "blas": ", ".join(f"{p['internal_api']} {p['version']}" for p in blas) or "unknown",
        "blas_threads": machine.blas_threads(),
        "torch_threads": torch_threads() if installed() else None,
    }


def torch_threads() -> int:
    """What PyTorch says of itself once it was told to use as many as NumPy's BLAS."""
    import torch

    torch.set_num_threads(machine.blas_threads())
    return torch.get_num_threads()


def cpu_name() -> str:
    """As Linux tells it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
