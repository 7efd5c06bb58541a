"""Working copies: made, brought up to date, begun anew; nothing that a learner wrote is lost."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from classroom import check
from classroom import start as start_module
from classroom.__main__ import main
from classroom.check.tasks import TASKS
from classroom.folder import folder, usual_folder
from classroom.verdict import address

from tests.course.test_build import NOTEBOOKS
from tests.learner import solution_source, write

PAGE = "03_rms_norm.ipynb"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course of its own, which an update may change."""
    course = tmp_path / "course" / "notebooks"
    (course / "exercises").mkdir(parents=True)
    for page in (PAGE, f"exercises/{PAGE}", "04_single_head_attention.ipynb"):
        shutil.copy(NOTEBOOKS / page, course / page)
    (course / "TEACHING.md").write_text("guide")
    change(
        course / "04_single_head_attention.ipynb",
        "see [the guide](TEACHING.md) and [03](03_rms_norm.ipynb)",
    )
    monkeypatch.setattr("classroom.start.COURSE", course)
    return course


def change(page: Path, text: str) -> None:
    found = json.loads(page.read_text(encoding="utf-8"))
    found["cells"][0]["source"] = [text]
    page.write_text(json.dumps(found), encoding="utf-8")


def first(page: Path) -> str:
    return "".join(json.loads(page.read_text(encoding="utf-8"))["cells"][0]["source"])


def run(*arguments) -> int:
    return main(["start", *map(str, arguments)])


def test_pages_are_copied_and_lead_where_they_led(course, tmp_path, capsys):
    mine = tmp_path / "my work"
    assert run(mine) == 0
    said = capsys.readouterr().out
    assert "3 pages copied" in said and f'jupyter lab "{mine / PAGE}"' in said
    assert (mine / ".gitignore").read_text() == "*\n"
    text = first(mine / "04_single_head_attention.ipynb")
    guide = re.search(r"\]\((.*TEACHING.md)\)", text)[1]
    assert (mine / guide).read_text() == "guide" and "](03_rms_norm.ipynb)" in text


def test_an_update_replaces_what_was_only_run_and_keeps_what_was_written(course, tmp_path, capsys):
    mine = tmp_path / "mine"
    run(mine)
    ran = json.loads((mine / PAGE).read_text(encoding="utf-8"))
    ran["metadata"]["saved"] = "by an editor"
    (mine / PAGE).write_text(json.dumps(ran), encoding="utf-8")
    change(mine / "exercises" / PAGE, "my own words")
    for page in (PAGE, f"exercises/{PAGE}"):
        change(course / page, "newer")
    capsys.readouterr()
    assert run(mine) == 0
    said = capsys.readouterr().out
    assert "1 newer than before" in said and first(mine / PAGE) == "newer"
    assert (
        f"exercises/{PAGE} has changed in the course; yours stays, see 03_rms_norm (new).ipynb"
        in said
    )
    assert first(mine / "exercises" / PAGE) == "my own words"
    assert first(mine / "exercises/03_rms_norm (new).ipynb") == "newer"
    run(mine)
    assert "yours stays" not in capsys.readouterr().out  # said once
    assert not (mine / "exercises/03_rms_norm (new 2).ipynb").exists()


def test_work_done_where_the_course_lies_goes_along_and_is_not_lost(course, tmp_path, capsys):
    git = ["git", "-C", str(course), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "course"]):
        subprocess.run([*git, *command], check=True)
    change(course / PAGE, "my own words")
    mine = tmp_path / "mine"
    run(mine)
    run(mine)  # nothing has changed: no second copy beside the first
    assert not list(mine.rglob("*(new)*"))
    subprocess.run([*git, "checkout", "-q", "--", "."], check=True)
    capsys.readouterr()
    assert run(mine) == 0 and first(mine / PAGE) == "my own words"
    assert "yours stays" not in capsys.readouterr().out
    change(course / PAGE, "newer")
    run(mine)
    assert "yours stays" in capsys.readouterr().out and first(mine / PAGE) == "my own words"


def test_a_page_is_begun_anew_as_often_as_one_likes(course, tmp_path, capsys):
    mine = tmp_path / "mine"
    run(mine)
    for words in ("first try", "second try"):
        change(mine / "exercises" / PAGE, words)
        assert run(mine, "--again", "03") == 0
    assert first(mine / "exercises/03_rms_norm (old).ipynb") == "first try"
    assert first(mine / "exercises/03_rms_norm (old 2).ipynb") == "second try"
    assert first(mine / "exercises" / PAGE) == first(course / "exercises" / PAGE)
    assert run(mine, "--again", "99") == 1
    assert "no page '99'; there are: 03" in capsys.readouterr().err


def test_a_folder_that_is_something_else_is_refused(course, tmp_path, capsys):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("do not touch")
    for where, why in (
        (full, "not with working copies"), (course, "the course itself"),
        (course.parent, "the course itself"), (course / "exercises/x", "within the course's"),
        (full / "thesis.txt", "not with working copies"),
    ):  # fmt: skip
        assert run(where) == 1
        assert why in capsys.readouterr().err
    assert [each.name for each in full.iterdir()] == ["thesis.txt"]


def test_a_mark_that_is_damaged_costs_no_work(course, tmp_path):
    mine = tmp_path / "mine"
    run(mine)
    change(mine / PAGE, "my own words")
    (mine / ".course.json").write_text("{")
    assert run(mine) == 0 and first(mine / PAGE) == "my own words"


def test_progress_lies_with_the_copies(course, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    run(mine)
    monkeypatch.delenv("LLAMA_PROGRESS", raising=False)
    monkeypatch.chdir(mine / "exercises")
    assert folder() == mine
    assert check("silu", write(solution_source(TASKS["silu"])))
    assert {"progress.json", "my_llama.py"} <= {each.name for each in mine.iterdir()}
    assert address("03", "Step 4. Epsilon, inside the root") == (
        "../03_rms_norm.ipynb#Step-4.-Epsilon%2C-inside-the-root"
    )
    monkeypatch.chdir(tmp_path)
    assert folder() == usual_folder() and address("05", "").endswith("notebooks/05_rope.ipynb")


def test_nobody_with_a_home_can_work_too(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "home", nobody)
    usual_folder.cache_clear()
    assert usual_folder().name == "llama_np"
    usual_folder.cache_clear()


def test_every_page_of_the_course_is_copied():
    assert start_module.pages()[0] == "00_start_here.ipynb"
    assert len(start_module.pages()) == len([*NOTEBOOKS.glob("[0-9]*.ipynb")]) + len(
        [*(NOTEBOOKS / "exercises").glob("[0-9]*.ipynb")]
    )
