"""How much memory this process holds, and how much it reads from disk, as Linux counts it."""

import threading
from pathlib import Path
from statistics import median

INTERVAL = 0.01  # seconds between two looks; a peak shorter than this may be missed


def numbers_in(file: str, unit: int = 1) -> dict[str, int]:
    """The ``name: number`` lines of a file under /proc; empty where there is no such file."""
    try:
        lines = Path(file).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # not Linux, or not allowed
        return {}
    fields = [line.replace(":", " ").split() for line in lines]
    return {f[0]: int(f[1]) * unit for f in fields if len(f) > 1 and f[1].isdigit()}


def resident() -> dict[str, int]:
    """Bytes in memory: RssAnon, what the process wrote itself; RssFile, what is mapped from files.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
    """
    found = numbers_in("/proc/self/status", 1024)
    return {name: found[name] for name in ("RssAnon", "RssFile") if name in found}


def read_from_disk() -> int | None:
    """Bytes that this process made the disk read so far, page faults of mapped files included."""
    return numbers_in("/proc/self/io").get("read_bytes")


class Watch:
    """Looks at ``resident()`` again and again from a thread while the ``with`` block runs."""

    def __enter__(self) -> "Watch":
        self.samples: list[dict[str, int]] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()
        return self

    def look(self) -> None:
        """Until the block ends."""
        while resident() and not self.ended.wait(INTERVAL):
            self.samples.append(resident())

    def __exit__(self, *error) -> None:
        self.ended.set()
        self.thread.join()
        self.samples += filter(None, [resident()])

    def summary(self, empty: dict[str, int], steady_from: int) -> dict[str, dict[str, float]]:
        """What was held before the block, at most, and typically from a given sample on."""
        return {
            name: {
                "empty": empty[name],
                "peak": max(sample[name] for sample in self.samples),
                "decoding": median(sample[name] for sample in self.samples[steady_from:]),
            }
            for name in empty
        }
