"""The command ``decode``: one model in a process of its own, with what surrounds its numbers."""

import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tests.benchmarks.alone import alone
from tests.benchmarks.machine import blas_threads
from tests.benchmarks.measure import Options, measure
from weights_tools.memory import free_memory
from weights_tools.workers import n_cores

READ_BLOCK = 2**24


def run_decode(options: Options) -> dict[str, Any]:
    """Everything ``decode`` prints: the model's numbers, the machine's, and their ratios."""
    return {
        "folder": str(options.folder),
        "file_bytes": read_once(options.folder),
        "free_memory": free_memory(),
        "cores": n_cores(),
        "blas_threads": blas_threads(),
        "load_average_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        **in_its_own_process(options),
    }


def read_once(folder: Path) -> int:
    """Bring the files of a model into the page cache; how many bytes they are."""
    n_bytes, block = 0, bytearray(READ_BLOCK)
    for path in sorted(folder.glob("*")) if folder.is_dir() else [folder]:
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while n := file.readinto(block):
                    n_bytes += n
    return n_bytes


def in_its_own_process(options: Options) -> dict[str, Any]:
    """``measure`` in a fresh process, so that the memory it holds is the model's alone."""
    try:
        return alone(measure, options)
    except (BrokenProcessPool, MemoryError):
        raise ValueError(
            f"{options.folder}: the measuring process ended early, as it does when memory "
            "runs out; try --memory mapped"
        ) from None
