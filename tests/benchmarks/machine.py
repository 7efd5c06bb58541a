"""What the machine itself can do: the rates that a model's speed is judged by.

Each function takes ``data``, a large float32 array that no cache holds (see ``make_data``), and
returns one sample of a rate. What a machine can do wanders, on a rented one to the double and back
within seconds, so take samples in turns with what they are compared with.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_info

from weights_tools.workers import n_cores

SIDE = 8192  # of the square matrix that ``data`` is: 256 MiB
BLOCK = 4 * 2**20  # bytes that one call reads: long beside the call, so that threads overlap
PASSES = 16  # over ``data`` in one sample: some tenths of a second, so that threads spread out
SMALL_SIDE = 2048  # of the matrices multiplied with each other


class Median(NamedTuple):
    """The middle of some samples, and how far they spread."""

    median: float
    low: float
    high: float


def make_data() -> np.ndarray:
    """256 MiB of ones, as a matrix."""
    return np.ones((SIDE, SIDE), np.float32)


def blas_threads() -> int:
    """Threads that NumPy's matrix products use."""
    return max((p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"), default=1)


def memory_read(data: np.ndarray, threads: int | None = None) -> float:
    """Bytes a second that ``threads`` threads read (default: one on every core).

    Each thread reduces its own part by OR, eight bytes at a time: the least that NumPy can do with
    a number, so that memory is what it waits for. Dot products, maxima and strided reads are no
    faster; sums of float32 are slower.
    """
    parts = np.array_split(data.ravel().view(np.uint64), threads or n_cores())

    def read(block: np.ndarray) -> None:
        np.bitwise_or.reduce(block)

    return PASSES * data.nbytes / seconds_on_threads(read, [blocks(part) for part in parts])


def memory_copy(data: np.ndarray) -> float:
    """Bytes a second that all cores copy, each byte read once and written once."""
    halves = data.reshape(2, -1)
    parts = np.array_split(halves, n_cores(), axis=1)

    def copy(block: np.ndarray) -> None:
        np.copyto(block[1], block[0])

    return PASSES * halves[0].nbytes / seconds_on_threads(copy, [blocks(part) for part in parts])


def matvec(data: np.ndarray) -> float:
    """Bytes of float32 weights a second in a matrix-vector product, BLAS on all its threads.

    The matrix lies as a model's do, (out, in), and is used transposed.
    """
    x = np.ones(data.shape[1], np.float32)
    start = time.perf_counter()
    for _ in range(PASSES):
        x @ data.T
    return PASSES * data.nbytes / (time.perf_counter() - start)


def matmul(data: np.ndarray) -> float:
    """Floating-point operations a second in a float32 matrix product, BLAS on all its threads."""
    a, b = data.ravel()[: 2 * SMALL_SIDE**2].reshape(2, SMALL_SIDE, SMALL_SIDE)
    start = time.perf_counter()
    a @ b  # two matrices: NumPy does only half the work for a @ a.T
    return 2 * SMALL_SIDE**3 / (time.perf_counter() - start)


def memory_read_one_thread(data: np.ndarray) -> float:
    """Bytes a second that one thread reads."""
    return memory_read(data, threads=1)


RATES: dict[str, tuple[Callable[[np.ndarray], float], str]] = {  # name: sample, unit
    "float32 matrix-vector": (matvec, "B/s"),
    "float32 matrix-matrix": (matmul, "FLOP/s"),
    "memory read": (memory_read, "B/s"),
    "memory read, one thread": (memory_read_one_thread, "B/s"),
    "memory copy": (memory_copy, "B/s"),
}


def sample_rates(data: np.ndarray) -> dict[str, float]:
    """One sample of every rate."""
    return {name: sample(data) for name, (sample, _) in RATES.items()}


def blocks(part: np.ndarray) -> list[np.ndarray]:
    """``part`` cut along its last axis into pieces of ``BLOCK`` bytes."""
    step = max(1, BLOCK * part.shape[-1] // part.nbytes)
    return [part[..., i : i + step] for i in range(0, part.shape[-1], step)]


def seconds_on_threads(work: Callable[[np.ndarray], None], parts: Sequence[Sequence]) -> float:
    """How long ``PASSES`` times ``work`` on every block of every part takes, a thread for a part.

    One pass before that is not counted: threads start on one core, and the system needs a while to
    spread them.
    """
    together = threading.Barrier(len(parts))

    def passes(part: Sequence[np.ndarray]) -> tuple[float, float]:
        for block in part:
            work(block)
        together.wait()
        start = time.perf_counter()
        for _ in range(PASSES):
            for block in part:
                work(block)
        return start, time.perf_counter()

    with ThreadPoolExecutor(len(parts)) as pool:
        starts, ends = zip(*pool.map(passes, parts), strict=True)
    return max(ends) - min(starts)


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, Median]:
    """The median of each list of samples, with the lowest and the highest.

    >>> medians({"rate": [3.0, 1.0, 2.0]})
    {'rate': Median(median=2.0, low=1.0, high=3.0)}
    """
    return {
        name: Median(float(np.median(values)), min(values), max(values))
        for name, values in samples.items()
    }
