"""Runs cases of one reader, each told in a line: ``python -m tests.fuzz.child`` is started by us.

A process of its own can be stopped when it hangs, and may take no more memory than it is given.
"""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

from weights_tools.formats import gguf_blocks  # noqa: F401  (imported once, before any limit)

from .mutations import mutate
from .readers import READERS, Wrong

MEMORY = 1 << 30  # bytes on top of what a child takes at its start
GREW = 1 << 28  # bytes that the largest of some hundred kilobytes of file may cost
LARGEST = 1 << 22  # bytes of a changed file, holes apart
SLOW = 3.0  # seconds of processor time for a file of some hundred kilobytes
LONGEST = 1200  # characters of an error; the path of the folder counts
OWN = ("llama_np", "weights_tools", "classroom", "tests")


def bound_memory() -> None:
    """Where the system has such a bound: on data, because mapped files cost nothing."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (peak() + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak() -> int:
    """The most bytes that this process has had so far."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # fmt: skip  # noqa: E501


def prepare(name: str, seed: int, case: int, folders: Path, work: Path) -> list[str]:
    """Write the files of a case into ``work``; what was done to which."""
    reader, rng = READERS[name], random.Random(f"{seed} {name} {case}")
    whole = rng.choice(sorted((folders / name).iterdir()))
    if work.exists():
        shutil.rmtree(work)
    shutil.copytree(whole, work)
    names = sorted({f for pattern in reader.files for f in work.rglob(pattern) if f.is_file()})
    done = [whole.name]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        file = rng.choice(names)
        if rng.random() < 0.01:
            done.append(f"{file.name}: {replace(file, rng)}")
        elif file.is_file() and file.stat().st_size < LARGEST:
            file.write_bytes(mutate(file.name, file.read_bytes(), rng)[:LARGEST])
            done.append(file.name)
    return done


def replace(file: Path, rng: random.Random) -> str:
    """Something else than a file in its place, or a hole of any size behind it."""
    kind = rng.choice(("hole", "nothing", "folder", "queue", "endless"))
    if kind == "hole":
        with contextlib.suppress(OSError):  # more than the file system allows
            os.truncate(file, file.stat().st_size + 2 ** rng.randrange(12, 42))
        return kind
    if file.is_dir():
        return kind
    file.unlink(missing_ok=True)
    if kind == "folder":
        file.mkdir()
    elif kind == "queue" and hasattr(os, "mkfifo"):
        os.mkfifo(file)
    elif kind == "endless" and Path("/dev/zero").exists():
        file.symlink_to("/dev/zero")
    return kind


def judge(name: str, work: Path) -> tuple[str, str]:
    """What became of the case, and where it is not well, what happened."""
    silent = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(silent):
            warnings.simplefilter("error")
            READERS[name].read(work / READERS[name].entry)
        return "read", ""
    except Wrong as error:
        return "wrong", where(error)
    except MemoryError as error:
        return "memory", where(error)
    except (ValueError, OSError) as error:
        fault = unclear(error, work, READERS[name].named)
        return ("foreign", f"{fault}: {where(error)}") if fault else ("refused", "")
    except Exception as error:
        return "foreign", where(error)


def unclear(error: Exception, work: Path, named: bool = True) -> str:
    """Why this is none of our own errors: one line in plain text that names what was opened."""
    text = str(error)
    ours = type(error).__module__.partition(".")[0] in OWN
    if not ours and type(error) not in (ValueError, FileNotFoundError, OSError, PermissionError):
        return type(error).__name__
    if not text.replace(str(work), "").isprintable():
        return "not one printable line"
    if len(text) > LONGEST:
        return f"{len(text)} characters"
    if named and str(work) not in text:
        return "no file named"
    return ""


def where(error: BaseException) -> str:
    """The error, and the last line of ours that it came through."""
    lines = traceback.extract_tb(error.__traceback__)
    ours = [line for line in lines if any(f"{os.sep}{own}{os.sep}" in line.filename for own in OWN)]
    last = (ours or lines)[-1]
    return ascii(f"{Path(last.filename).name}:{last.lineno} {type(error).__name__}: {error}"[:300])


def main(name: str, seed: int, first: int, folders: Path, work: Path, count: int) -> None:
    """Cases from ``first`` on, a line of JSON for each; until all are done or we are stopped."""
    bound_memory()
    print(json.dumps("ready"), flush=True)
    for case in range(first, first + count):
        done = prepare(name, seed, case, folders, work)
        before, started = peak(), time.process_time()
        kind, said = judge(name, work)
        seconds, grew = time.process_time() - started, peak() - before
        if kind in ("read", "refused") and seconds > SLOW:
            kind, said = "slow", f"{seconds:.1f} s of processor time, then {kind}"
        if kind in ("read", "refused") and grew > GREW:
            kind, said = "memory", f"{grew >> 20} MiB more, then {kind}"
        print(json.dumps([case, kind, seconds, said, done]), flush=True)


if __name__ == "__main__":
    names, seed, first, folders, work, count = sys.argv[1:]
    for name in names.split(","):
        main(name, int(seed), int(first), Path(folders), Path(work), int(count))
