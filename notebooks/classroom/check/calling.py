"""Calling a learner's function, and seeing what happened: its result, or why there is none."""

import ast
import copy
import inspect
import linecache
import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

import llama_np
import weights_tools
from llama_np.weights import Weights

from ..folder import SOLUTIONS

LIBRARY = tuple(f"{Path(each.__file__).parent}{os.sep}" for each in (llama_np, weights_tools))
DATA = {"config.py", "weights.py", "lazy_matrix.py", "axes.py"}  # what an exercise is given to read
GIVEN = {"split_pieces"}  # functions that an exercise gives


@dataclass
class Call:
    """One call: its result, or the fault that ended it, and whose functions ran meanwhile."""

    result: object = None
    error: type | None = None
    fault: str | None = None
    library: list[str] = field(default_factory=list)
    borrowed: list[str] = field(default_factory=list)


def has_blanks(function: Callable) -> bool:
    """Whether the code still has a ``...`` to be filled in; one in an index is none."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    parts = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    in_index = {id(inner) for part in parts for inner in ast.walk(part)}
    return any(
        isinstance(node, ast.Constant) and node.value is ... and id(node) not in in_index
        for node in ast.walk(tree)
    )


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
    return isinstance(before, list | dict | set) and before != after


def call(function: Callable, arguments: tuple, names: list[str], watched: bool = True) -> Call:
    """Call a function with copies of its arguments, and look at what it does."""
    made, given = Call(), [copied(a) for a in arguments]
    before = sys.getprofile()
    try:
        with np.errstate(all="ignore"):
            if watched:
                sys.setprofile(watcher(made))
            made.result = function(*given)
    except Exception as error:  # whatever it is, it is the learner's, and is told to them
        sys.setprofile(before)
        made.error, made.fault = type(error), tell_error(function, error)
    finally:
        sys.setprofile(before)
    for name, old, new in zip(names, arguments, given, strict=False):
        if made.error is None and changed(old, new):
            made.fault = f"your function changed its input {name}: work on a copy of it"
    return made


def watcher(made: Call) -> Callable:
    """A profile function that notes functions of the library and of the solutions."""

    def profile(frame, event, argument):
        if event != "call" or not (whose := owner(frame.f_code.co_filename)):
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


def tell_error(function: Callable, error: Exception) -> str:
    """An exception in one line, with the line of the learner's function where it happened."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    code, trace, line = getattr(function, "__code__", None), error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code is code:
            line = trace.tb_lineno
        trace = trace.tb_next
    if line is None:
        return said
    text = linecache.getline(code.co_filename, line).strip()
    shown = f" ({text})" if text else ""
    return f"line {line - code.co_firstlineno + 1} of {function.__name__}{shown}: {said}"
