"""The exercises: stubs fail, solutions pass, examples are true, and the story is told."""

import ast
import doctest
import inspect
import re
import shutil

import numpy as np
import pytest
from classroom import check, mine
from classroom.check.calling import call
from classroom.check.final_task import PARTS, doll_house, told
from classroom.check.kept_functions import sections, solution
from classroom.check.tasks import ORDER, TASKS

from tests.course.test_build import NOTEBOOKS, build, pages
from tests.learner import EXERCISES, SHORT_STORY, solution_source, write

SOURCES = sorted((NOTEBOOKS / "source/exercises").glob("*.py"))
LESSONS = dict.fromkeys(task.lesson for task in ORDER)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "matplotlib.pyplot.show", lambda: None
    )  # no window, where there is a screen
    monkeypatch.setenv("LLAMA_PROGRESS", str(tmp_path / "kept"))


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """The folder of a learner who has passed the whole course, in its order, and each outcome."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAMA_PROGRESS", str(folder))
        patch.setitem(TASKS, "story", SHORT_STORY)
        return folder, {task.name: check(task.name, write(solution_source(task))) for task in ORDER}


@pytest.fixture
def everything_solved(solved, tmp_path):
    """Every outcome; the learner's folder may be changed."""
    folder, outcomes = solved
    shutil.copytree(folder, tmp_path / "kept")
    return outcomes


def stubs(source) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name[3:]: node for node in found if node.name.startswith("my_")}


def test_every_lesson_has_an_exercise():
    assert [source.stem for source in SOURCES] == list(LESSONS)
    assert all((NOTEBOOKS / "source" / source.name).exists() for source in SOURCES)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_an_exercise_has_two_to_five_tasks_with_hints_and_something_to_predict(source):
    text = source.read_text(encoding="utf-8")
    asked = [task.name for task in ORDER if task.lesson == source.stem]
    assert list(stubs(source)) == asked and 2 <= len(asked) <= 5
    for name in asked:
        assert f'check("{name}", my_{name})' in text
    assert text.count("<summary>Hint</summary>") == len(asked)
    assert f'predict("{source.stem[:2]}", guess' in text and "<summary>Why</summary>" in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (EXERCISES / link).resolve().with_suffix(".ipynb").exists(), link


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_stub_runs_and_is_not_started(source, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_MODEL", "")
    write(source.read_text(encoding="utf-8"))
    said = capsys.readouterr().out
    for name in stubs(source):
        assert f"{name}: not started" in said
    assert f"predict_{source.stem[:2]}: first write your guess" in said
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("task", ORDER, ids=lambda task: task.name)
def test_the_stub_and_the_solution_take_the_same_arguments_and_the_example_is_true(task):
    (source,) = (path for path in SOURCES if path.stem == task.lesson)
    stub = stubs(source)[task.name]
    right = write(solution_source(task))
    assert [each.arg for each in stub.args.args] == list(inspect.signature(right).parameters)
    doc = ast.get_docstring(stub)
    names = {"np": np, f"my_{task.name}": right}
    examples = doctest.DocTestParser().get_doctest(doc, names, task.name, str(source), 0)
    assert examples.examples or task.name in {"block", "forward", "generate", "story", "pretrain"}
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0


def test_every_solution_passes_and_is_kept(everything_solved, capsys):
    for name, outcome in everything_solved.items():
        assert outcome.lines == [f"{name}: right. It is kept as mine.{name}."] and outcome.passed
    assert list(sections()) == list(TASKS)


@pytest.mark.parametrize("n_new", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_the_story_is_told_by_the_learner_alone(everything_solved, n_new):
    model, prompt = doll_house(), "Once upon a time, there was a little girl named"
    made = call(mine.story, (model, prompt, n_new), [])
    assert made.result == told(model, prompt, n_new) and len(made.result) > 2 * n_new
    assert not made.borrowed and not made.library


def test_a_borrowed_part_is_named(everything_solved, tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, "story", SHORT_STORY)
    kept = tmp_path / "kept/my_llama.py"
    text = kept.read_text(encoding="utf-8")
    kept.write_text(text.replace("# --- rms_norm ---", "# --- nothing ---"), encoding="utf-8")
    assert mine.rms_norm is solution("rms_norm")
    outcome = check("story", write(solution_source(TASKS["story"])))
    assert outcome.lines == ["story: it runs, and these parts are not your own yet: rms_norm"]
    assert "yours (25)" in repr(mine) and "not yours yet (1): rms_norm" in repr(mine)


def test_the_parts_of_a_story_are_those_that_run():
    made = call(solution("story"), (doll_house(), "One day, a zebra", 2), [])
    assert set(made.borrowed) == {*PARTS, "story"}


def test_what_was_kept_is_a_module_that_stands_alone(everything_solved, tmp_path):
    names = {}
    exec((tmp_path / "kept/my_llama.py").read_text(encoding="utf-8"), names)
    assert names["my_silu"](np.zeros(2)).tolist() == [0, 0]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_is_what_the_source_says(source):
    notebook = EXERCISES / f"{source.stem}.ipynb"
    assert build.check(source, notebook) == [] and notebook.stat().st_size < 200_000
    text = notebook.read_text(encoding="utf-8")
    assert "not started" in text and '"error"' not in text and '"stderr"' not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["03_rms_norm", "07_multi_head"])
def test_a_solved_page_runs_in_a_real_kernel(name, tmp_path):
    (source,) = (path for path in SOURCES if path.stem == name)
    page = pages.read_source(source)
    for cell in page.cells:
        for task in ORDER:
            if cell.source.startswith(f"def my_{task.name}("):
                call = f'\n\ncheck("{task.name}", my_{task.name})'
                cell.source = solution_source(task) + call
        cell.source = cell.source.replace("guess = ...", "guess = (4, 5, 6)")
    solved, _ = pages.execute(page, tmp_path, name)
    outputs = [output for cell in solved.cells for output in cell.get("outputs", [])]
    said = [each.get("data", {}).get("text/plain", "") for each in outputs]
    right = [text for text in said if re.fullmatch(r"✓ (\w+): right. It is kept as mine.\1.", text)]
    assert len(right) == sum(task.lesson == name for task in ORDER)
    assert not any("not started" in text for text in said)
