"""Calling a learner's function, and seeing what happened: its result, or why there is none."""

import ast
import copy
import inspect
import linecache
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np

import llama_np
import weights_tools
from llama_np.weights import Weights

from ..folder import SOLUTIONS
from .returned import NAME, clean, plain

LIBRARY = tuple(f"{Path(each.__file__).parent}{os.sep}" for each in (llama_np, weights_tools))
DATA = {"config.py", "weights.py", "lazy_matrix.py", "axes.py"}  # what an exercise is given to read
GIVEN = {"split_pieces"}  # functions that an exercise gives
PATIENCE = 100_000_000  # calls of functions, and returns: a minute or more; a story takes some 5 %
ENDLESS = (
    "it seems not to end: it has called other functions {:,} times. Something has to change in "
    "every round of a loop."
)


class TooLong(BaseException):
    """Ends a call whose patience is over."""


@dataclass
class Call:
    """One call: its result, or the fault that ended it, and whose functions ran meanwhile."""

    result: object = None
    error: type | None = None
    fault: str | None = None
    library: list[str] = field(default_factory=list)
    borrowed: list[str] = field(default_factory=list)


def has_blanks(function: Callable) -> bool:
    """Whether a line of the code still is a ``...`` to be filled in: alone, or to be kept.

    Not one in an index, an argument or a tuple, and not one that a ``return`` stands before.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except KeyboardInterrupt:
        raise
    except BaseException:  # no source, or an object that does not want to be looked at
        return False
    return any(is_blank(line) for node in ast.walk(tree) for line in reached(node))


def reached(node: ast.AST) -> Iterator[ast.stmt]:
    """The lines of a block, up to the first that leaves it."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        for line in block if isinstance(block, list) else []:
            yield line
            if isinstance(line, ast.Return | ast.Raise | ast.Continue | ast.Break):
                break


def is_blank(line: ast.stmt) -> bool:
    value = getattr(line, "value", None)
    if not isinstance(line, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return):
        return False
    return isinstance(value, ast.Constant) and value.value is ...


def copied(value):
    """A copy of whatever a function could change; configs and tokenizers are handed over."""
    if isinstance(value, np.ndarray | list | dict | set):
        return copy.deepcopy(value)
    if isinstance(value, Weights):
        return value.map(np.copy)
    if is_dataclass(value) and all(isinstance(a, np.ndarray) for a in vars(value).values()):
        return replace(value, **{name: a.copy() for name, a in vars(value).items()})
    return value


def changed(before, after) -> bool:
    """Whether an argument is no longer what it was."""
    if isinstance(before, np.ndarray):
        return not np.array_equal(before, after, equal_nan=before.dtype.kind == "f")
    if isinstance(before, Weights):
        both = zip(before.named(), after.named(), strict=True)
        return any(changed(a, b) for (_, a), (_, b) in both)
    if is_dataclass(before):
        return any(changed(old, vars(after)[name]) for name, old in vars(before).items())
    if isinstance(before, dict) and holds_arrays(before.values()):
        same_names = before.keys() == after.keys()
        return not same_names or any(changed(old, after[name]) for name, old in before.items())
    if isinstance(before, list) and holds_arrays(before):
        return len(before) != len(after) or any(map(changed, before, after))
    return isinstance(before, list | dict | set) and before != after


def holds_arrays(values) -> bool:
    """Arrays have no single answer to whether they are equal."""
    return any(isinstance(value, np.ndarray) for value in values)


def surely_changed(before, after) -> bool:
    """``changed``, also where what was put into an argument cannot be compared."""
    try:
        return changed(before, after)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return True


def call(
    function: Callable,
    arguments: tuple,
    names: list[str],
    watched: bool = True,
    patience: int = PATIENCE,
) -> Call:
    """Call a function with copies of its arguments, and look at what it does.

    The result is in types of Python and NumPy: what an object of the learner's does when it is
    printed or compared, it does in here. KeyboardInterrupt, the stop button, comes out.
    """
    made, given = Call(), [copied(a) for a in arguments]
    try:
        with np.errstate(all="ignore"), watching(made, watched, patience) as still:
            made.result = plain(function(*given))
            if not still():
                made.fault = "your function turns Python's profiler off: leave it as it is"
    except KeyboardInterrupt:
        raise
    except TooLong:
        made.fault = ENDLESS.format(patience // 2)
    except BaseException as error:  # whatever it is, it is the learner's, and is told to them
        made.error, made.fault = type(error), tell_error(function, error)
    for name, old, new in zip(names, arguments, given, strict=False):
        if not made.fault and surely_changed(old, new):
            made.fault = f"your function changed its input {name}: work on a copy of it"
    return made


@contextmanager
def watching(made: Call, watched: bool, patience: int) -> Iterator[Callable[[], bool]]:
    """Note who runs, in threads begun meanwhile too; gives a way to ask if nobody ended that."""
    before, in_threads = sys.getprofile(), threading.getprofile()
    profile = watcher(made, watched, patience)
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield lambda: sys.getprofile() is profile
    finally:
        sys.setprofile(before)
        threading.setprofile(in_threads)


def watcher(made: Call, watched: bool, patience: int) -> Callable:
    """A profile function that notes functions of the library and of the solutions."""

    events = count()

    def profile(frame, event, argument):
        if next(events) > patience:  # counted, not timed: the same verdict on every machine
            raise TooLong
        if event != "call" or not watched or not (whose := owner(frame.f_code.co_filename)):
            return
        name = frame.f_code.co_name
        if not name.startswith("<") and name not in GIVEN:
            getattr(made, whose).append(name)

    return profile


@cache
def owner(file: str) -> str | None:
    """Whose code a file holds: "library", "borrowed" or, of no interest here, None."""
    path = Path(file)
    if path.parent == SOLUTIONS:
        return "borrowed"
    return "library" if file.startswith(LIBRARY) and path.name not in DATA else None


def tell_error(function: Callable, error: BaseException) -> str:
    """An exception in one line, with the line of the learner's function where it happened."""
    try:
        text = str.__str__(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException:  # an exception that cannot even be printed
        text = "(it cannot be printed)"
    said = clean(f"{NAME(type(error))}: {text}".rstrip(": "), 300)
    code, trace, line = getattr(function, "__code__", None), error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code is code:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line is None:
        return said
    text = clean(linecache.getline(code.co_filename, line), 100)
    shown = f" ({text})" if text else ""
    return f"line {line - code.co_firstlineno + 1} of {code.co_name}{shown}: {said}"
