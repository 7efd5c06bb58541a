"""``mine.softmax``: the learner's own function once it has passed, until then the solution's.

What passes is kept as source in ``my_llama.py``, section by section. The file is the learner's own;
it is run again when one of its functions is asked for.
"""

import __future__

import ast
import inspect
import io
import linecache
import math
import os
import re
import sys
import textwrap
import tokenize
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.tokenizer.bpe import split_pieces

from ..folder import SOLUTIONS, folder, in_turn, put_aside, write
from .final_task import PARTS
from .returned import clean
from .tasks import TASKS

SECTION = re.compile(r"^# --- (\w+) ---\n", re.M)
HEADER = """\
\"\"\"My Llama: the functions that have passed their checks. Written by ``check``.\"\"\"

from __future__ import annotations

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
    inside = within_functions(text)
    starts = [each for each in SECTION.finditer(text) if each.start() not in inside]
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return {
        match[1]: (text[match.end() : end].rstrip() + "\n", file, text[: match.end()].count("\n"))
        for match, end in zip(starts, ends, strict=True)
    }


def within_functions(text: str) -> set[int]:
    """Where lines begin that belong to a function, and so open no section."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return set()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return {at for node in body for at in starts[node.lineno : node.end_lineno]}


@cache
def run(source: str, file: str, above: int) -> Callable:
    """A function from its source, which may use what ``HEADER`` imports and nothing else."""
    linecache.checkcache(file)
    names = {"np": np, "math": math, "mine": mine, "split_pieces": split_pieces}
    lazy = __future__.annotations.compiler_flag  # whatever an annotation names need not be there
    exec(compile("\n" * above + source, file, "exec", lazy, dont_inherit=True), names)
    return names[definition(source).name]


def definition(source: str) -> ast.FunctionDef:
    """The one function that a source defines."""
    (function,) = ast.parse(source).body
    if not isinstance(function, ast.FunctionDef):
        raise ValueError("not a function")
    return function


class Alone(NamedTuple):
    """A function by itself, or None; and what to say of it."""

    source: str
    function: Callable | None
    said: str


def stand_alone(function: Callable) -> Alone:
    """A function run from its source alone, without its decorators where these are not in it."""
    if getattr(function, "__name__", "") == "<lambda>":
        return Alone("", None, "a lambda has no name; write it with def")
    if not (source := find_source(function)):
        return Alone("", None, f"the source of this {type(function).__name__} cannot be read")
    try:
        found = definition(source)
    except (SyntaxError, ValueError):
        return Alone("", None, "it is not one function that begins with def")
    plain = "\n".join(source.splitlines()[found.lineno - 1 :])
    decorated = plain != source
    for text, said in ((source, ""), (plain, "without what stands above its def"))[: 1 + decorated]:
        try:
            return Alone(text, run(text, "<kept>", 0), said)
        except Exception as error:
            why = clean(f"{type(error).__name__}: {error}", 100)
    return Alone("", None, f"its first line fails by itself, {why}")


def find_source(function: Callable) -> str:
    """The text of a function, as far left as it goes; "" where there is none."""
    try:
        source = inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError, ValueError):  # compiled, or run by a %%magic
        source = from_cells(getattr(function, "__name__", ""))
    try:
        return to_the_left(source)
    except (SyntaxError, tokenize.TokenError):
        return ""


def from_cells(name: str) -> str:
    """The last definition of a function in what was run in this notebook, magics left out."""
    if "IPython" not in sys.modules or (shell := sys.modules["IPython"].get_ipython()) is None:
        return ""
    for cell in reversed(shell.history_manager.input_hist_raw):
        lines = ["" if re.match(r"\s*[%!?]", line) else line for line in cell.splitlines()]
        text = "\n".join(lines)
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        for node in reversed(tree.body):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                first = min([node, *node.decorator_list], key=lambda each: each.lineno)
                return "\n".join(lines[first.lineno - 1 : node.end_lineno])
    return ""


def to_the_left(source: str) -> str:
    """A source without indentation; comments, which may stand anywhere, go with the code.

    >>> to_the_left("  def f():\\n# one\\n    return 1\\n")
    'def f():\\n  # one\\n  return 1'
    """
    lines = source.splitlines()
    wide = len(source) - len(source.lstrip(" "))
    after = "    "  # how far the code next to a comment is indented
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token in reversed(tokens):
        row, column = token.start
        if token.type == tokenize.COMMENT:
            if not lines[row - 1][:column].strip() and column <= wide and row > 1:
                lines[row - 1] = f"{after}{lines[row - 1].lstrip()}"
        elif token.string.strip() and not token.line[:column].strip() and column > wide:
            after = token.line[:column]
    return textwrap.dedent("\n".join(lines)).strip()


def keep(name: str, source: str) -> list[str]:
    """File a function that has passed; what to say where it cannot be written.

    Functions stand in the order of their tasks; those of no task (any more) come last.
    """
    return in_turn(Path(path()), lambda: put(name, source))


def put(name: str, source: str) -> list[str]:
    """Read the file, put one function into it and write it again."""
    kept = {key: section[0].strip() for key, section in sections().items()} | {name: source}
    aside = []
    if len(kept) == 1 and is_strange(Path(path())):
        aside = put_aside(Path(path()), "no section of it can be read")
    order = sorted(kept, key=lambda key: PLACES.get(key, len(PLACES)))
    parts = [f"# --- {key} ---\n\n\n{kept[key]}\n" for key in order]
    return aside + write(Path(path()), HEADER + "\n\n".join(parts))


def is_strange(file: Path) -> bool:
    """Whether a file holds something, and not what ``check`` has written."""
    try:
        return bool(file.read_bytes().strip()) and not sections()
    except OSError:
        return False


@cache
def solution(name: str) -> Callable:
    """The function that ships for a task."""
    file = SOLUTIONS / f"s{TASKS[name].lesson}.py"
    names = {"__name__": file.stem}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names)
    return names[name]
