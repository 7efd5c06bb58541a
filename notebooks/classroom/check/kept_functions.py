"""``mine.softmax``: the learner's own function once it has passed, until then the solution's.

What passes is kept as source in ``my_llama.py``, section by section. The file is the learner's own;
it is run again when one of its functions is asked for.
"""

import ast
import inspect
import linecache
import math
import os
import re
import textwrap
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from llama_np.tokenizer.bpe import split_pieces

from ..folder import SOLUTIONS, folder, write
from .final_task import PARTS
from .tasks import TASKS

SECTION = re.compile(r"^# --- (\w+) ---\n", re.M)
HEADER = """\
\"\"\"My Llama: the functions that have passed their checks. Written by ``check``.\"\"\"

import math

import numpy as np

from llama_np.tokenizer.bpe import split_pieces
from classroom import mine

"""
PLACES = {name: place for place, name in enumerate(TASKS)}
_asked = [None]  # the task whose check is running: only tasks before it may be used


@contextmanager
def only_before(name: str):
    """While a check runs, ``mine`` offers what comes before it in the course."""
    _asked.append(name)
    try:
        yield
    finally:
        _asked.pop()


class Mine:
    """The functions of the course so far, by the names of their tasks."""

    def __getattr__(self, name: str) -> Callable:
        if name not in TASKS:
            raise AttributeError(f"no task {name!r}; there are: {', '.join(TASKS)}")
        asked = _asked[-1]
        if asked and PLACES[name] >= PLACES[asked]:
            raise AttributeError(f"mine.{name} is not there yet: {asked} comes before it")
        found = own(name) or solution(name)
        return for_one_head(found) if name == "rotate" else found

    def __dir__(self) -> list[str]:
        return list(TASKS)

    def __repr__(self) -> str:
        """Which parts of a Llama are the learner's, a few to a line."""
        kept = sections()
        groups = {
            "yours": [name for name in PARTS if name in kept],
            "not yours yet": [name for name in PARTS if name not in kept],
        }
        lines = (f"{key} ({len(names)}): {' '.join(names)}" for key, names in groups.items())
        return "\n".join(textwrap.fill(line, 88, subsequent_indent="    ") for line in lines)


mine = Mine()


def own(name: str) -> Callable | None:
    """The learner's function of that name, if it was kept."""
    section = sections().get(name)
    return None if section is None else run(*section)


@cache
def for_one_head(rotate: Callable) -> Callable:
    """``rotate``, which says so where it fails because it was given all heads at once."""

    def rotate_one_head(x, *rest, **named):
        try:
            return rotate(x, *rest, **named)
        except (ValueError, IndexError):
            if np.ndim(x) == 2:
                raise
        raise ValueError("mine.rotate takes one head: turn q[h] for each h")

    return rotate_one_head


def path() -> str:
    return str(folder() / "my_llama.py")


def sections() -> dict[str, tuple[str, str, int]]:
    """Name: its source, the file, and the number of lines before it."""
    file = path()
    try:
        found = os.stat(file)
    except OSError:
        return {}
    return parse(file, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1)  # a model asks many thousand times
def parse(file: str, changed: int, size: int) -> dict[str, tuple[str, str, int]]:
    """The sections of a file in one of its states."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    starts = [*SECTION.finditer(text)]
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return {
        match[1]: (text[match.end() : end].rstrip() + "\n", file, text[: match.end()].count("\n"))
        for match, end in zip(starts, ends, strict=True)
    }


@cache
def run(source: str, file: str, above: int) -> Callable:
    """A function from its source, which may use what ``HEADER`` imports and nothing else."""
    linecache.checkcache(file)
    names = {"np": np, "math": math, "mine": mine, "split_pieces": split_pieces}
    exec(compile("\n" * above + source, file, "exec"), names)
    return names[name_of(source)]


def name_of(source: str) -> str:
    """The name of the one function that a source defines."""
    (function,) = ast.parse(source).body
    if not isinstance(function, ast.FunctionDef):
        raise ValueError("not a function")
    return function.name


def stand_alone(function: Callable) -> tuple[str, Callable | None]:
    """A function's source, and what it is when run from that alone; None where it cannot be."""
    try:
        source = textwrap.dedent(inspect.getsource(function)).strip()
        return source, run(source, "<kept>", 0)
    except Exception:  # no source, a lambda, or an import of its own
        return "", None


def keep(name: str, source: str) -> list[str]:
    """File a function that has passed; what to say where it cannot be written.

    Functions stand in the order of their tasks; those of no task (any more) come last.
    """
    kept = {key: section[0].strip() for key, section in sections().items()} | {name: source}
    order = sorted(kept, key=lambda key: PLACES.get(key, len(PLACES)))
    parts = [f"# --- {key} ---\n\n\n{kept[key]}\n" for key in order]
    return write(Path(path()), HEADER + "\n\n".join(parts))


@cache
def solution(name: str) -> Callable:
    """The function that ships for a task."""
    file = SOLUTIONS / f"s{TASKS[name].lesson}.py"
    names = {"__name__": file.stem}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
    return names[name]
