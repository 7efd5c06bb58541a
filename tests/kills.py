"""A command that is killed whenever it is about to change something on the disk.

The command runs in a forked process that counts what it does there: files opened to be written,
writes, fsyncs and renames, folders made and files removed. At a given count it ends at once by
``os._exit``, as after ``kill -9``: nothing is tidied up, no buffer is written; a write is cut in
the middle. Clocks stand still, so that the bytes of two runs can be compared.
"""

import builtins
import io
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}
TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT
KILLED = 77  # the exit status by which a killed process is told from one that has failed


class Count:
    """Counts changes; the one with the given number is the end."""

    def __init__(self, last: int):
        self.last, self.so_far = last, 0

    def one_more(self) -> bool:
        """Whether it is the last."""
        self.so_far += 1
        return self.so_far == self.last

    def or_die(self) -> None:
        if self.one_more():
            os._exit(KILLED)

    def hear(self, event: str, about: tuple) -> None:
        if event in CHANGES or (event == "open" and about[2] & TO_WRITE):
            self.or_die()


class Written(io.FileIO):
    """A file in which the last write is cut in the middle.

    Of a file's writes the first two and then every 16th count: the state between them is the same,
    part of a file under its temporary name.
    """

    count: Count
    writes = 0

    def write(self, data) -> int:
        self.writes += 1
        if (self.writes <= 2 or self.writes % 16 == 0) and self.count.one_more():
            super().write(memoryview(data).cast("B")[: len(data) // 2])
            os._exit(KILLED)
        return super().write(data)


def count_writes(count: Count) -> None:
    """From now on every write of this process is counted."""
    as_before, fsync = builtins.open, os.fsync
    kind = type("Written", (Written,), {"count": count})

    def open_counted(
        file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **more
    ):
        if isinstance(file, int) or not set(mode) & set("wax+"):
            return as_before(file, mode, buffering, encoding, errors, newline, **more)
        raw = kind(file, mode.replace("b", "").replace("t", ""))
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def fsync_counted(file) -> None:
        count.or_die()
        fsync(file)

    builtins.open = io.open = open_counted
    os.fsync = fsync_counted


def in_a_process(run: Callable[[], int | None], last: int = 0) -> int:
    """The exit status of ``run`` in a forked process that is killed at its ``last`` change."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
        moment = time.localtime(10**9)
        time.localtime = lambda *_: moment
        time.monotonic = lambda: 0.0
        if last:
            count = Count(last)
            count_writes(count)
            sys.addaudithook(count.hear)
        status = run() or 0
    finally:
        os._exit(status)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below, with what is in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def kill_everywhere(
    run: Callable[[], int | None], prepare: Callable[[], Path], at: Iterable[int]
) -> tuple[int, list[str]]:
    """How often ``run`` was killed, and after which kills the same again led elsewhere.

    ``prepare`` makes the state to begin with, and returns the folder in which all happens. ``at``:
    the changes to be killed at, 1 for the first, up to where a run comes to its end before.
    """
    folder = prepare()
    assert in_a_process(run) == 0
    expected = contents(folder)
    fine = {0, in_a_process(run)}  # some refuse a folder that is there already
    kills, wrong = 0, []
    for last in at:
        folder = prepare()
        status = in_a_process(run, last)
        if status == 0:
            break
        kills += 1
        left = sorted(contents(folder))
        again = in_a_process(run) if status == KILLED else status
        found = contents(folder)
        if again not in fine or found != expected:
            differ = sorted(k for k in found.keys() | expected if found.get(k) != expected.get(k))
            wrong.append(f"killed at {last}, left {left}: status {again}, {differ}")
    return kills, wrong
