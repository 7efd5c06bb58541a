"""The teacher's guide: it covers every lesson, its numbers add up, and what it names is there."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "notebooks/TEACHING.md").read_text(encoding="utf-8")
LESSONS = [f"{n:02}" for n in range(19)]
SECTIONS = dict(re.findall(r"^### (\d\d) (.*?)(?=^##)", GUIDE, re.S | re.M))


def commands():
    """Every line of the guide's shell blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE, re.S)
    return [line for block in blocks for line in block.splitlines()]


def test_every_lesson_has_its_section():
    assert list(SECTIONS) == LESSONS
    assert {path.stem[:2] for path in (ROOT / "notebooks/source").glob("[0-9]*.py")} <= {*SECTIONS}


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_section_has_what_a_teacher_needs(lesson):
    heads = re.findall(r"^\*\*(.*?)\*\*", SECTIONS[lesson], re.M)
    assert heads == ["Aim.", "Ask.", "Ask.", "Often thought.", "Draw."]
    for question in re.findall(r"\*\*Ask\.\*\*(.*?)\n\n", SECTIONS[lesson], re.S):
        assert "?" in question and re.search(r"\*[^*]{10,}\*$", question), question
    (aim,) = re.findall(r"\*\*Aim\.\*\* (.*?)\n\n", SECTIONS[lesson], re.S)
    assert len(re.findall(r"[.?](?:\s|$)", aim)) == 1


def test_the_lecture_takes_its_time():
    lecture = GUIDE.partition("### One lecture")[2].partition("### A day")[0]
    assert sum(map(int, re.findall(r"^\| (\d+) \|", lecture, re.M))) == 90


def test_the_six_weeks_have_every_lesson_once():
    weeks = GUIDE.partition("### Six weeks")[2].partition("\n## ")[0]
    named = re.findall(r"^\| \d \| ([\d, ]+) \|", weeks, re.M)
    assert re.findall(r"\d\d", " ".join(named)) == LESSONS


def test_the_day_runs_forward():
    day = GUIDE.partition("### A day's workshop")[2].partition("### Six weeks")[0]
    times = re.findall(r"^\| (\d+):(\d\d) to (\d+):(\d\d) \|", day, re.M)
    minutes = [int(h) * 60 + int(m) for row in times for h, m in (row[:2], row[2:])]
    assert len(times) > 6 and minutes == sorted(minutes)


def test_links_lead_somewhere():
    headings = re.findall(r"^#+ (.*)", GUIDE, re.M)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    for link in re.findall(r"\]\(([^)]+)\)", GUIDE):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            assert (ROOT / "notebooks" / link.partition("#")[0]).exists(), link


def test_what_the_commands_name_is_there():
    text = "\n".join(commands())
    assert "-m pip wheel -r requirements.txt setuptools -w wheelhouse" in text
    assert "--no-index --find-links wheelhouse -r requirements.txt" in text
    for path in re.findall(r"\b(?:notebooks|tests)/[\w./]+\.(?:py|txt)", GUIDE):
        assert (ROOT / path).exists(), path
    # nothing that these commands make is ever committed
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"wheelhouse/", "notebooks/slides/", ".venv/"} <= {*ignored}


def test_the_code_is_python_and_the_warm_up_prints_what_is_said(capsys):
    warm_up, colab = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    ast.parse(colab)
    exec(warm_up, {})
    assert "".join(capsys.readouterr().out.split()) == "[[7.10.][15.22.]][3.7.](2,1,2)"


def test_launch_files():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert "pip install -r requirements.txt" in container["postCreateCommand"]
    assert (ROOT / ".binder/requirements.txt").read_text().split() == ["-r", "../requirements.txt"]
    version = (ROOT / ".binder/runtime.txt").read_text().strip().removeprefix("python-")
    assert container["image"].endswith(f":{version}")
