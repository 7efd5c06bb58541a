"""``check("rms_norm", my_rms_norm)``: right, or in one or two lines why not."""

import inspect
import tracemalloc
import typing
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..misconceptions import known_for
from ..progress import note
from ..verdict import show
from .calling import PATIENCE, Call, call, copied, has_blanks
from .compare import describe, same
from .failing_input import smallest
from .kept_functions import keep, only_before, stand_alone
from .read_again import heading, place
from .returned import NAME
from .tasks import TASKS, Task

TRIES = 40  # to find inputs on which all known mistakes differ
STOPPED = (
    "stopped while your function was running. Does its loop end? Something has to change in "
    "every round."
)


FORMED = (
    "the numbers are right, but on the way it makes an array as large as w: put the brackets so "
    "that all that lies between is thin"
)


@dataclass
class Outcome:
    """What a check has found. True if passed; in a notebook it shows nothing by itself."""

    passed: bool
    lines: list[str] = field(default_factory=list)
    misconception: str | None = None
    started: bool = True
    read: tuple[str, str] | None = None  # the lesson and the heading to read again

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return ""

    def _ipython_display_(self) -> None:
        """Nothing: the lines were printed already."""


def check(name: str, function: Callable) -> Outcome:
    """Call a learner's function with random inputs, print what was found, and remember it.

    Works offline. The same answer always gets the same verdict. Nothing that a function raises
    comes out of here, but KeyError does for a name that is no task.
    """
    if name not in TASKS:
        raise KeyError(f"no task {name!r}; there are: {', '.join(TASKS)}")
    try:
        outcome = examine(TASKS[name], function)
        if outcome.passed:
            outcome = file_away(TASKS[name], function, outcome)
    except KeyboardInterrupt:
        outcome = Outcome(False, [f"{name}: {STOPPED}"])
    except BaseException as error:  # an object that raises wherever it is touched
        said = f"what you gave cannot be looked at ({NAME(type(error))}); give a plain function"
        outcome = Outcome(False, [f"{name}: {said}"])
    return tell(name, outcome)


def tell(name: str, outcome: Outcome) -> Outcome:
    """The outcome, shown and remembered."""
    outcome.lines += note(name, outcome)
    show(outcome.passed, outcome.started, outcome.lines, outcome.read)
    return outcome


def file_away(task: Task, function: Callable, outcome: Outcome) -> Outcome:
    """Keep what passes also by itself, on inputs drawn anew; what is wrong there is wrong.

    These inputs depend on the source, so that nobody can write an answer for them.
    """
    alone = stand_alone(function)
    if alone.function is None:
        outcome.lines.append(f"(Not kept for your Llama: {alone.said}.)")
        return outcome
    again = examine(task, alone.function, seed=alone.source)
    why = again.lines[0].partition(": ")[2]
    if again.passed:
        problem = keep(task.name, alone.source)
        outcome.lines += problem
        without = f", {alone.said}" if alone.said else ""
        lost = any(line.startswith("(not saved") for line in problem)
        outcome.lines[0] += "" if lost else f" It is kept as mine.{task.name}{without}."
    elif "NameError: " in why:
        by_itself = f"by itself it fails: {why}. Put all into the function."
        outcome.lines.append(f"(Not kept for your Llama, {by_itself})")
    else:
        return again
    return outcome


def examine(task: Task, function: Callable, watched: bool = True, seed: str = "") -> Outcome:
    """The check without its memory."""
    cases, expected = fresh(task, seed)
    outcome = judge(task, function, cases, expected, watched)
    if not outcome.passed and has_blanks(function):
        return Outcome(False, [f"{task.name}: not started, there is a ... to fill in"], None, False)
    return outcome


def judge(
    task: Task,
    function: Callable,
    cases: list[tuple],
    expected: list,
    watched: bool = True,
    patience: int = PATIENCE,
) -> Outcome:
    """Whether a function gives what is expected on these inputs, and if not, why."""
    names, calls = parameters(task), []
    try:
        with only_before(task.name):
            for arguments in cases:
                calls.append(call(function, arguments, names, watched, patience))
                if fault := forbidden(task, calls[-1]):
                    return Outcome(False, [f"{task.name}: {fault}"])
    except KeyboardInterrupt:
        return Outcome(False, [f"{task.name}: {STOPPED}"])
    faults = compare(task, calls, expected)
    if not any(faults):
        if task.unformed and forms_it(task, function, cases[-1], names):
            return Outcome(False, [f"{task.name}: {FORMED}"])
        return Outcome(True, [f"{task.name}: right."])
    if wrong := recognise(task, cases, calls):
        read = f"{wrong.why} Read again: {place(wrong.lesson, wrong.cell)}."
        again = wrong.lesson, heading(wrong.lesson, wrong.cell)
        return Outcome(False, [f"{task.name}: {wrong.name}.", read], wrong.name, read=again)
    fault, *given = smallest(names, cases, faults)
    return Outcome(False, [f"{task.name}: {fault}", *given])


def forms_it(task: Task, function: Callable, arguments: tuple, names: list[str]) -> bool:
    """Whether a call takes memory for an array that is not to be formed."""
    taken = []

    def measured(*given):
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        result = function(*given)
        taken.append(tracemalloc.get_traced_memory()[1] - before)
        return result

    running = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        call(measured, arguments, names)
    finally:
        if not running:
            tracemalloc.stop()
    return any(each >= task.unformed(*arguments) for each in taken)


def compare(task: Task, calls: list[Call], expected: list) -> list[str | None]:
    """What is wrong in each case; None where nothing is."""
    optional = any(e is None for e in expected) and any(c.result is not None for c in calls)
    return [
        c.fault or describe(c.result, e, task.tolerance, axes(task), optional)
        for c, e in zip(calls, expected, strict=True)
    ]


def forbidden(task: Task, made: Call) -> str | None:
    """What makes a call worthless, whatever its result is."""
    if made.library:
        return f"this calls the library's {made.library[0]}: write the step yourself, with NumPy"
    if task.name in made.borrowed:
        return "this calls the solution: write the step yourself, you can read it afterwards"
    if made.error is None and task.name == "story" and made.borrowed:
        parts = ", ".join(dict.fromkeys(made.borrowed))
        return f"it runs, and these parts are not your own yet: {parts}"
    return made.fault if made.error is None else None  # what was raised may still be known


def fresh(task: Task, seed: str = "") -> tuple[list[tuple], list]:
    """New inputs and the right results, which are not all the same: no constant can pass.

    Each known mistake gives a result of its own on them.
    """
    rng = new_generator(task.name, seed)
    for _ in range(TRIES):
        cases = [task.draw(rng, case) for case in range(getattr(task.draw, "cases", task.cases))]
        expected = [task.reference(*map(copied, case)) for case in cases]
        constant = [expected[0]] * len(cases)
        results = [expected, constant, *(answers(w.function, cases) for w in known_for(task.name))]
        pairs = ((a, b) for i, a in enumerate(results) for b in results[:i])
        if not any(alike(a, b, task.tolerance) for a, b in pairs):
            break
    return cases, expected


def new_generator(*words: str) -> np.random.Generator:
    """The same numbers at every check of a task; a test puts its seeds here."""
    return np.random.default_rng(zlib.crc32(" ".join(words).encode()))


def answers(function: Callable, cases: list[tuple]) -> list:
    """What a known mistake makes of the cases; where it fails, the kind of its error."""
    results = []
    for case in cases:
        try:
            with np.errstate(all="ignore"):
                results.append(function(*map(copied, case)))
        except (ValueError, IndexError) as error:
            results.append(type(error))
    return results


def alike(some: list, others: list, tolerance: float) -> bool:
    return all(same(a, b, tolerance) for a, b in zip(some, others, strict=True))


def recognise(task: Task, cases: list[tuple], calls: list[Call]):
    """The known mistake that gives just these results, if there is exactly one."""
    if all(made.error for made in calls):
        return None
    results = [made.error or made.result for made in calls]
    found = [
        wrong
        for wrong in known_for(task.name)
        if alike(results, answers(wrong.function, cases), task.tolerance)
    ]
    return found[0] if len(found) == 1 else None


def parameters(task: Task) -> list[str]:
    return list(inspect.signature(task.reference).parameters)


def axes(task: Task) -> str:
    """The axes of the result, as the reference's signature states them."""
    hint = typing.get_type_hints(inspect.unwrap(task.reference), include_extras=True).get("return")
    stated = getattr(hint, "__metadata__", ("",))[0]
    return stated.replace("... ", "") if isinstance(stated, str) else ""
