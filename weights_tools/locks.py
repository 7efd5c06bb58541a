"""One writer at a time, by a lock of the operating system: it ends with the process that holds it.

So a process that is killed never stands in the way of the next, whatever it has left behind. The
calls: https://docs.python.org/3/library/fcntl.html#fcntl.flock and
https://docs.python.org/3/library/msvcrt.html#msvcrt.locking
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if os.name == "nt":
    import msvcrt

    def take(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
elif sys.platform == "emscripten":  # Python in a browser has no fcntl, and is the only process

    def take(file: int) -> None:
        pass
else:
    import fcntl

    def take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


PAUSE = 0.02  # seconds between two looks at a lock that somebody holds


@contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[bool]:
    """Within, this process alone holds the lock ``path``, a file that is gone afterwards.

    Gives False where somebody else still holds it after ``wait`` seconds, and True where the file
    system knows no locks. Raises ``OSError`` where the file cannot be made.
    """
    until = time.monotonic() + wait
    while (held := try_lock(path)) is None and time.monotonic() < until:
        time.sleep(PAUSE)
    if held is None:
        yield False
        return
    try:
        yield True
    finally:
        release(path, held)


def try_lock(path: Path) -> int | None:
    """The open file that holds the lock; None where somebody else does."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            take(file)
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except FileNotFoundError:
            pass  # whoever held it before has just taken the file away: it locks nothing any more
        except (BlockingIOError, PermissionError):
            os.close(file)
            return None
        except OSError:
            return file
        os.close(file)


def release(path: Path, file: int) -> None:
    """Take the file away, first where an open one can be: nobody may lock what is to vanish."""
    if os.name != "nt":
        with suppress(OSError):
            path.unlink()
    os.close(file)
    if os.name == "nt":
        with suppress(OSError):  # somebody else has opened it meanwhile
            path.unlink()
