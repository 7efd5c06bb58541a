"""Trying every mutant of a task on the inputs of its check."""

import ast
import time
from collections.abc import Iterator
from typing import NamedTuple

from ..check.calling import call
from ..check.compare import describe
from ..check.examine import fresh, parameters
from ..check.kept_functions import only_before, run, solution
from ..check.tasks import ORDER, Task
from ..folder import SOLUTIONS
from .equivalent import EQUIVALENT, Equivalent
from .rewritten import rewritten
from .wrapped import wrapped

PATIENCE, FOR_A_TEXT = 100_000, 10_000_000  # calls that a mutant may make, if it has no end


class Found(NamedTuple):
    """What became of the mutants of one task."""

    tried: int
    equivalent: list[Equivalent]  # what is known of each that passes and may
    passing: list[str]  # a teacher would call these wrong: the inputs lack a case


def source_of(task: Task) -> str:
    text = (SOLUTIONS / f"s{task.lesson}.py").read_text(encoding="utf-8")
    nodes = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    return next(ast.unparse(node) for node in nodes if node.name == task.name)


def mutants(task: Task, cases: list[tuple], expected: list) -> Iterator[tuple[str, object]]:
    """Every mutant of a task's solution: what was changed, and the function."""
    for what, source in rewritten(source_of(task)):
        yield what, run.__wrapped__(source, "<mutant>", 0)
    yield from wrapped(solution(task.name), parameters(task), cases, expected)


def passes(task: Task, function, cases: list[tuple], expected: list) -> bool:
    """The verdict of a check, given up at the first case that fails."""
    optional = any(each is None for each in expected)
    patience = FOR_A_TEXT if task.lesson == "12_generation" else PATIENCE
    with only_before(task.name):
        for arguments, right in zip(cases, expected, strict=True):
            made = call(function, arguments, parameters(task), watched=False, patience=patience)
            if made.fault or describe(made.result, right, task.tolerance, "", optional):
                return False
    return True


def audit(task: Task) -> Found:
    """Try every mutant of a task."""
    cases, _ = fresh(task)
    expected = [task.reference(*case) for case in cases]
    if not passes(task, solution(task.name), cases, expected):
        raise ValueError(f"{task.name}: its own solution does not pass")
    found = Found(0, [], [])
    for what, function in mutants(task, cases, expected):
        found = found._replace(tried=found.tried + 1)
        if passes(task, function, cases, expected):
            known = next((each for each in EQUIVALENT if each.covers(task.name, what)), None)
            found.equivalent.append(known) if known else found.passing.append(what)
    return found


def report(tasks: list[Task]) -> Iterator[str]:
    """Lines for people, the last with the sums; indented are those that should not be there."""
    all_found, started = [], time.monotonic()
    for task in tasks:
        found = audit(task)
        all_found.append(found)
        yield f"{task.name}: {found.tried} mutants, {len(found.equivalent)} of them equivalent"
        yield from (f"    PASSES  {what}" for what in found.passing)
    used = {each for found in all_found for each in found.equivalent}
    if tasks == ORDER:
        yield from (f"    of no use  {each}" for each in EQUIVALENT if each not in used)
    tried = sum(found.tried for found in all_found)
    equivalent = sum(len(found.equivalent) for found in all_found)
    passing = sum(len(found.passing) for found in all_found)
    yield (
        f"{tried} mutants of {len(tasks)} tasks in {time.monotonic() - started:.0f} s: "
        f"{tried - equivalent - passing} fail, {equivalent} are equivalent, {passing} pass"
    )
