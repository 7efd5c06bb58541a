"""How much memory a model needs, how much there is, and where small arrays lie in it."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .opened import OpenedModel

MODES = "auto", "float32", "mapped"
BLOCK = 1 << 24  # bytes: enough for large pages, little to waste
LARGE = 1 << 28  # bytes: below that nobody needs to hear what was chosen
LINE = 64  # bytes: every array starts at a multiple of this, as the processor reads memory
IN_A_BROWSER = 1 << 30  # bytes: its addresses end at 4 GiB, and a tab on a telephone sooner
SPARE = 1.25  # beside the weights: a matrix while it is widened, the cache, the notebook


def side_by_side() -> Callable[[tuple[int, ...], type], np.ndarray]:
    """``np.empty`` for many arrays: small ones lie one behind another in blocks of 16 MiB.

    For a block of that size NumPy on Linux asks the system for large pages
    (https://numpy.org/doc/stable/reference/global_state.html). They are faster to fill, and BLAS
    gets through a small matrix sooner, than with each in a place of its own.
    """
    room = np.empty(0, np.uint8)

    def take(shape: tuple[int, ...], dtype: type) -> np.ndarray:
        nonlocal room
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if n_bytes > BLOCK // 4:
            return np.empty(shape, dtype)
        if n_bytes > len(room):
            room = np.empty(BLOCK + LINE, np.uint8)
            room = room[-room.ctypes.data % LINE :]
        mine, room = room[:n_bytes], room[-(-n_bytes // LINE) * LINE :]
        return mine.view(dtype).reshape(shape)

    return take


def free_memory(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this process can still take without pushing others out.

    In a container, what its limit leaves: https://docs.kernel.org/admin-guide/cgroup-v2.html
    Python in a browser cannot know: there it is a guess.
    """
    if sys.platform == "emscripten":
        return IN_A_BROWSER
    import psutil  # here, because a browser has none

    free = psutil.virtual_memory().available
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        kinds = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such limit, or it says "max"
        return free
    cached = int(kinds.get("active_file", 0)) + int(kinds.get("inactive_file", 0))  # can be dropped
    return min(free, limit - used + cached)


def as_float32(checkpoint: OpenedModel) -> int:
    """Bytes of all weights in float32."""
    return 4 * sum(math.prod(stored.rows.shape) for stored in checkpoint.stored.values())


def as_stored(checkpoint: OpenedModel) -> int:
    """Bytes of all weights in their file."""
    return sum(stored.n_bytes for stored in checkpoint.stored.values())


def choose_memory(checkpoint: OpenedModel) -> tuple[str, str]:
    """ "float32" or "mapped", and a line that says why; empty for a small model.

    int8 stays mapped: who has quantised a model wants it small, and it streams as fast.
    """
    needed = as_float32(checkpoint)
    memory = "mapped" if any(s.kind == "I8" for s in checkpoint.stored.values()) else "float32"
    if needed < LARGE:
        return memory, ""
    free = free_memory()
    if SPARE * needed > free:
        memory = "mapped"
    stored = f"{in_bytes(as_stored(checkpoint))} in its file"
    wide = f"{in_bytes(needed)} as float32, {in_bytes(free)} of memory free"
    done = "stays in its file (mapped)" if memory == "mapped" else "is widened to float32"
    return memory, f"{checkpoint.path.name}: {stored}, {wide}: {done}"


def in_bytes(n_bytes: int) -> str:
    """A number of bytes for people.

    >>> in_bytes(5_700_000), in_bytes(16_060_522_496)
    ('5.7 MB', '16.1 GB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} B"
