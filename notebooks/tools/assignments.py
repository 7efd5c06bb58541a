"""Exercises as source assignments of nbgrader, for ``build.py --nbgrader``.

See https://nbgrader.readthedocs.io: the source has the solutions and the hidden tests in it,
``nbgrader generate_assignment`` makes what learners get, ``nbgrader autograde`` runs what they hand
in. Each function that an exercise asks for gives a point; predictions and measurements give none.
"""

import ast
import difflib
import re
import textwrap
from pathlib import Path

import nbformat
from classroom.folder import SOLUTIONS
from pages import METADATA, LessonError

from weights_tools.writing import replacing

UNGRADED = {"story", "pretrain"}  # on the functions of earlier exercises, in other notebooks
CHECK = re.compile(r'^(?:\w+ = )?check\("(?P<task>\w+)", (?P<function>\w+)\)$', re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)[^)]+\)")  # to a page that learners may not have
STUB = "..."  # what our checks know as not started
CONFIG = f"""c = get_config()
c.CourseDirectory.course_id = "llama"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
"""
TEST = """\
verdict = check("{task}", {function})
### BEGIN HIDDEN TESTS
from classroom.check.examine import examine
from classroom.check.tasks import TASKS

if verdict:  # once more, on other inputs
    verdict = examine(TASKS["{task}"], {function}, seed="hidden")
### END HIDDEN TESTS
assert verdict, "not right yet, see above"
"""


def write_course(exercises: list[Path], folder: Path) -> None:
    """Write ``source/NN_name/NN_name.ipynb`` for each built exercise, and a first config.

    Raises ``LessonError`` where an exercise and its solution do not fit.
    """
    for page in exercises:
        notebook = assignment(nbformat.read(page, as_version=4), page.stem)
        target = folder / "source" / page.stem / page.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as beside:
            beside.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    config = folder / "nbgrader_config.py"
    if not config.exists():
        with replacing(config) as beside:
            beside.write_text(CONFIG, encoding="utf-8")


def assignment(page: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """An exercise with its solutions in place, and a graded cell behind each."""
    cells = []
    for cell in page.cells:
        cell = nbformat.from_dict(cell)
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(r"\1", cell.source)
            cells.append(cell)
            continue
        cell.outputs, cell.execution_count = [], None
        asked = CHECK.search(cell.source)
        if asked is None or asked["task"] in UNGRADED:
            cells.append(cell)
            continue
        rest = cell.source[asked.end() :].strip()
        if rest:
            raise LessonError(f"{name}: cell {cell.id} goes on behind its check")
        cell.source = solved(cell.source[: asked.start()].rstrip(), asked["task"], name)
        cell.metadata.nbgrader = graded(cell.id, solution=True)
        test = nbformat.v4.new_code_cell(
            TEST.format(**asked.groupdict()), id=f"test-{cell.id}"[:64]
        )
        test.metadata.nbgrader = graded(test.id, points=1)
        cells += [cell, test]
    made = nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))
    made.nbformat_minor = 5
    return made


def graded(key: str, *, solution: bool = False, points: int = 0) -> dict:
    """What nbgrader wants to know of a cell (its schema 3)."""
    kind = {"solution": solution, "grade": bool(points), "locked": not solution, "task": False}
    return {"schema_version": 3, "grade_id": key} | kind | ({"points": points} if points else {})


def solved(code: str, task: str, name: str) -> str:
    """The code of a cell with the solution in the place of what is to be filled in.

    Lines that the exercise gives and the solution has too stay outside the marks.
    """
    given = function_of(code, f"my_{task}", name)
    right = function_of((SOLUTIONS / f"s{name}.py").read_text(encoding="utf-8"), task, name)
    if [a.arg for a in given.args.args] != [a.arg for a in right.args.args]:
        raise LessonError(f"{name}: {task} has other parameters in its solution")
    lines = code.split("\n")
    first = given.body[0]
    start = first.end_lineno if is_text(first) else first.lineno - 1
    stub, solution = lines[start : given.end_lineno], body_lines(right, name)
    return "\n".join([*lines[:start], *marked(stub, solution), *lines[given.end_lineno :]])


def function_of(code: str, name: str, page: str) -> ast.FunctionDef:
    """The function of this name in a text of code."""
    for each in ast.parse(code).body:
        if isinstance(each, ast.FunctionDef) and each.name == name:
            return each
    raise LessonError(f"{page}: no function {name}")


def is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(
        getattr(statement.value, "value", None), str
    )


def body_lines(function: ast.FunctionDef, page: str) -> list[str]:
    """The lines of a solution's body, with its comments, indented by four spaces."""
    lines = (SOLUTIONS / f"s{page}.py").read_text(encoding="utf-8").split("\n")
    body = function.body[1:] if is_text(function.body[0]) else function.body
    start = function.body[0].end_lineno if is_text(function.body[0]) else function.lineno
    while not lines[start - 1].rstrip().endswith(":") and not is_text(function.body[0]):
        start += 1  # behind a header of several lines
    text = textwrap.dedent("\n".join(lines[start : body[-1].end_lineno]))
    return textwrap.indent(text, "    ").split("\n")


def marked(stub: list[str], solution: list[str]) -> list[str]:
    """The solution's lines, those that are not in the stub between nbgrader's marks."""
    lines = []
    for kind, _, _, start, end in difflib.SequenceMatcher(None, stub, solution).get_opcodes():
        part = solution[start:end]
        if kind == "equal" or not "".join(part).strip():
            lines += part
            continue
        indent = re.match(" *", next(line for line in part if line.strip()))[0]
        lines += [f"{indent}### BEGIN SOLUTION", *part, f"{indent}### END SOLUTION"]
    return lines
