"""Mutated files for everything that reads files from outside, as many as the time allows.

    python -m tests.fuzz gguf --seconds 60
    python -m tests.fuzz all --seconds 30 --keep /tmp/cases

Each case is a small valid file, changed by accident or design, and opened as a learner would open
it. It may be refused in one line of ours, or read. Whatever else comes is a fault, told with the
number from which it can be made again: ``--seed S --case I``. What the columns mean: ``COLUMNS``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

from .child import prepare
from .readers import READERS

PATIENCE = 30.0  # seconds by the clock until a case hangs: the machine may be busy
CASES = 2000  # that one child does before the next one takes its place
COLUMNS = {
    "refused": "one line of ours that names the file",
    "read": "and what came of it holds",
    "wrong": "read, and what came of it cannot be",
    "foreign": "another exception than ours, or one without the file's name or in several lines",
    "slow": "more than 3 s of processor time",
    "hang": "no end within 30 s",
    "memory": "256 MiB more than before, or over the limit",
    "crash": "the process ended",
}
FAULTS = [*COLUMNS][2:]


@dataclass
class Tally:
    """The cases of one reader so far."""

    counts: Counter = field(default_factory=Counter)
    slowest: float = 0.0
    told: set[str] = field(default_factory=set)


class Child:
    """A process that runs cases from a number on."""

    def __init__(self, name: str, seed: int, first: int, folders: Path, work: Path, count: int):
        command = [sys.executable, "-m", "tests.fuzz.child", name, str(seed), str(first)]
        command += [str(folders), str(work), str(count)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        self.lines: Queue[str] = Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def answer(self):
        """What the child says next; None where it has ended. Raises ``Empty`` where it hangs."""
        line = self.lines.get(timeout=PATIENCE)
        return json.loads(line) if line else None

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def write_seeds(folders: Path, names: list[str]) -> list[str]:
    """The valid files of each reader; returns the readers for which a package is missing."""
    missing = []
    for name in names:
        for make in READERS[name].seeds:
            folder = folders / name / make.__name__
            folder.mkdir(parents=True)
            try:
                make(folder)
                is_read(name, folder, folders / "work" / name)
            except BaseException as error:  # pytest's Skipped is no Exception
                if isinstance(error, KeyboardInterrupt) or not is_missing(error):
                    raise
                shutil.rmtree(folders / name)
                missing.append(name)
                print(f"{name}: left out, {error}", file=sys.stderr)
                break
    return missing


def is_read(name: str, seed: Path, work: Path) -> None:
    """A file that is refused as it is would show nothing once it is changed."""
    shutil.copytree(seed, work)
    READERS[name].read(work / READERS[name].entry)
    shutil.rmtree(work)


def is_missing(error: BaseException) -> bool:
    return isinstance(error, ModuleNotFoundError) or type(error).__name__ == "Skipped"


def fuzz(name: str, seed: int, seconds: float, folders: Path, keep: Path | None = None) -> Tally:
    """Run cases of one reader until the time is over."""
    tally, started, case = Tally(), time.monotonic(), 0
    work = folders / "work" / name
    while (left := seconds - (time.monotonic() - started)) > 0:
        child = Child(name, seed, case, folders, work, CASES)
        case = follow(child, name, seed, case, time.monotonic() + left, tally, work, keep)
    return tally


def follow(
    child: Child, name: str, seed: int, case: int, until: float, tally: Tally, work: Path,
    keep: Path | None,
) -> int:  # fmt: skip
    """Count what one child says until it ends; the number of the case that comes next."""
    try:
        child.answer()  # that it is ready
        while time.monotonic() < until:
            try:
                said = child.answer()
            except Empty:
                said = [case, "hang", PATIENCE, "", []]
            if said is None and child.process.wait() == 0:
                return case
            if said is None:
                said = [case, "crash", 0.0, f"exit status {child.process.returncode}", []]
            number, kind, took, why, done = said
            tally.counts[kind] += 1
            tally.slowest = max(tally.slowest, took)
            case = number + 1
            if kind in FAULTS:
                tell(name, seed, number, kind, why, done, tally, work, keep)
            if kind in ("hang", "crash"):
                return case
    finally:
        child.stop()
    return case


def tell(name, seed, case, kind, why, done, tally, work, keep) -> None:
    """One line for each fault of a new sort; its files are kept where that is asked for."""
    sort = f"{kind} {why.split(': ')[0]}" if kind != "hang" else f"hang {case}"
    if sort in tally.told:
        return
    tally.told.add(sort)
    print(f"{name} --seed {seed} --case {case}: {kind} {why} {done}", flush=True)
    if keep:
        # The child is at the next case by now: this one is made again.
        again(name, seed, case, work.parents[1], keep / f"{name}-{seed}-{case}")


def again(name: str, seed: int, case: int, folders: Path, work: Path) -> None:
    """Write the files of one case."""
    work.parent.mkdir(parents=True, exist_ok=True)
    prepare(name, seed, case, folders, work)


def table(tallies: dict[str, Tally]) -> list[str]:
    """A row for each reader, for a page in Markdown."""
    heads = ["reader", "cases", *COLUMNS, "slowest, s"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name, tally in tallies.items():
        counts = [tally.counts.total(), *(tally.counts[kind] for kind in COLUMNS)]
        lines.append(f"| {name} | {' | '.join(f'{n:,}' for n in counts)} | {tally.slowest:.2f} |")
    whole = sum((tally.counts for tally in tallies.values()), Counter())
    counts = [whole.total(), *(whole[kind] for kind in COLUMNS)]
    return [*lines, f"| all | {' | '.join(f'{n:,}' for n in counts)} | |"]


def main(argv: list[str] | None = None) -> int:
    """0, or 1 where anything got through."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("reader", choices=[*READERS, "all"], metavar="READER",
                        help=f"all, or one of {', '.join(READERS)}")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=30, metavar="N", help="for each reader")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="other cases")
    parser.add_argument("--case", type=int, metavar="I", help="this one alone, with what it says")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to write what got through")
    args = parser.parse_args(argv)
    if args.case is not None and args.reader == "all":
        parser.error("--case needs one READER")
    names = [*READERS] if args.reader == "all" else [args.reader]
    tallies = {}
    with tempfile.TemporaryDirectory(prefix="fuzz") as temporary:
        folders = Path(temporary)
        missing = write_seeds(folders, names)
        names = [name for name in names if name not in missing]
        if not names:
            return 1
        if args.case is not None:
            return one(names[0], args.seed, args.case, folders, args.keep)
        for name in names:
            tallies[name] = fuzz(name, args.seed, args.seconds, folders, args.keep)
            print(table({name: tallies[name]})[2], flush=True)
    print("\n" + "\n".join(table(tallies)))
    return int(any(tally.counts[kind] for tally in tallies.values() for kind in FAULTS))


def one(name: str, seed: int, case: int, folders: Path, keep: Path | None) -> int:
    """A single case, with its traceback."""
    work = (keep or folders) / f"{name}-{seed}-{case}"
    again(name, seed, case, folders, work)
    READERS[name].read(work / READERS[name].entry)
    print("read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
