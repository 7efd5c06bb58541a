"""Exercises for nbgrader: what learners would see, and that solutions pass and blanks do not."""

import re
from pathlib import Path

import assignments
import build
import nbformat
import pytest
from classroom.check.tasks import ORDER, TASKS
from pages import NOTEBOOKS, LessonError

EXERCISES = sorted((NOTEBOOKS / "exercises").glob("[0-9]*.ipynb"))


def make(page: Path) -> nbformat.NotebookNode:
    return assignments.assignment(nbformat.read(page, as_version=4), page.stem)


def graded(notebook):
    return [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]


def released(source: str) -> str:
    """As nbgrader's ClearSolutions and ClearHiddenTests leave it."""
    source = re.sub(
        r"( *)### BEGIN SOLUTION\n.*?### END SOLUTION", r"\1...", source, flags=re.DOTALL
    )
    return re.sub(
        r" *### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n", "", source, flags=re.DOTALL
    )


def run(notebook, change=lambda source: source, until=None):
    """Run the cells that come before a graded one, and it; other faults are not its business."""
    names: dict = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and (
            cell.id == "setup" or cell.metadata.get("nbgrader") or "import" in cell.source
        ):
            exec(compile(change(cell.source), cell.id, "exec"), names)
        if until is not None and cell.id == until:
            return


@pytest.mark.parametrize("page", EXERCISES, ids=lambda page: page.stem)
def test_every_function_asked_for_gives_a_point(page):
    notebook = make(page)
    nbformat.validate(notebook)
    tasks = [task.name for task in ORDER if task.lesson == page.stem]
    asked = [name for name in tasks if name not in assignments.UNGRADED]
    tests = graded(notebook)
    assert [re.search(r'check\("(\w+)"', cell.source)[1] for cell in tests] == asked
    assert all(cell.metadata.nbgrader["points"] == 1 for cell in tests)
    keys = [c.metadata.nbgrader["grade_id"] for c in notebook.cells if "nbgrader" in c.metadata]
    assert len(set(keys)) == len(keys) == 2 * len(asked)
    for cell in notebook.cells:
        assert cell.source.count("### BEGIN") == cell.source.count("### END")
        assert not (cell.cell_type == "markdown" and ".ipynb)" in cell.source)
        assert not cell.get("outputs")


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["01_tokens", "03_rms_norm", "10_logits"])
def test_solutions_pass_and_blanks_do_not(stem, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    notebook = make(NOTEBOOKS / "exercises" / f"{stem}.ipynb")
    run(notebook)
    first = graded(notebook)[0]
    with pytest.raises(AssertionError, match="not right yet"):
        run(notebook, released, until=first.id)


def test_what_is_given_stays_and_the_solution_goes():
    notebook = make(NOTEBOOKS / "exercises" / "12_generation.ipynb")
    (cell,) = (cell for cell in notebook.cells if "def my_forward" in cell.source)
    shown = released(cell.source)
    assert "mine.block(" in cell.source and "mine.block(" not in shown
    assert "    for layer in weights.layers:\n        ...\n    return mine.logits" in shown


def test_the_hidden_test_is_another_one():
    """Whoever has the answers of the visible test by heart has not those of the hidden one."""
    from classroom.check.examine import fresh

    (cell, _) = graded(make(NOTEBOOKS / "exercises" / "03_rms_norm.ipynb"))
    assert 'seed="hidden"' in cell.source and "hidden" not in released(cell.source)
    cases, other = fresh(TASKS["row_sizes"])[0], fresh(TASKS["row_sizes"], "hidden")[0]
    assert any(
        a.shape != b.shape or (a != b).any() for (a,), (b,) in zip(cases, other, strict=True)
    )


def test_the_command_writes_a_course(tmp_path, capsys):
    assert build.main(["--nbgrader", str(tmp_path / "my course"), "03"]) == 0
    made = tmp_path / "my course"
    assert [path.name for path in made.rglob("*.ipynb")] == ["03_rms_norm.ipynb"]
    assert 'code_stub = {"python": "..."}' in (made / "nbgrader_config.py").read_text()
    (made / "nbgrader_config.py").write_text("mine")
    build.main(["--nbgrader", str(made), "03"])
    assert (made / "nbgrader_config.py").read_text() == "mine"
    assert "generate_assignment 03_rms_norm" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        build.main(["--nbgrader", str(made), "--slides"])


def test_a_solution_that_does_not_fit_is_said():
    with pytest.raises(LessonError, match="other parameters"):
        assignments.solved("def my_silu(y):\n    ...", "silu", "08_feed_forward")
    with pytest.raises(LessonError, match="no function my_silu"):
        assignments.solved("x = 1", "silu", "08_feed_forward")
