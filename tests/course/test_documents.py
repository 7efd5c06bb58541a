"""README, guide and cards: links lead somewhere, code runs, what commands name is there."""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README, GUIDE = (
    (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "notebooks/TEACHING.md")
)
PAGES = [
    "README.md", "notebooks/TEACHING.md", "tests/README.md", "weights_tools/README.md",
    "weights_tools/doll_house/MODEL_CARD.md",
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)", text, re.M)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for file, _, anchor in (link.partition("#") for link in links):
        assert (ROOT / page).parent.joinpath(file).exists(), file
        assert file or anchor in anchors, anchor


def test_the_readme_lists_every_lesson():
    stems = [path.stem for path in sorted((ROOT / "notebooks/source").glob("[0-9]*.py"))]
    assert re.findall(r"^\| \[.*\]\(notebooks/(\w+)\.ipynb\)", README, re.M) == stems


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for path in re.findall(r"\b(?:notebooks|tests)/[\w./]+\.(?:py|txt|po|md)\b", text):
        assert (ROOT / path).exists(), path


def test_the_example_runs(monkeypatch):
    monkeypatch.delenv("LLAMA_MODEL", raising=False)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names = {}
    exec(code, names)
    assert names["logits"].shape == (len(names["ids"]), names["model"].config.vocab_size)


def test_the_guides_code_is_python_and_the_warm_up_prints_what_is_said(capsys):
    warm_up, colab = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
    ast.parse(colab)
    exec(warm_up, {})
    assert "".join(capsys.readouterr().out.split()) == "[[7.10.][15.22.]][3.7.](2,1,2)"


def test_nothing_that_the_guides_commands_make_is_ever_committed():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"wheelhouse/", "notebooks/slides/", ".venv/"} <= {*ignored}


@pytest.mark.parametrize("words", ["bin/jupyter execute", "tests/requirements.txt &&"])
def test_ci_finds_the_commands(words):
    found = [line for line in README.splitlines() if words in line]
    assert len(found) == 1 and ".venv/bin/" in found[0]
    assert words in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_launch_files():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert "pip install -r requirements.txt" in container["postCreateCommand"]
    assert (ROOT / ".binder/requirements.txt").read_text().split() == ["-r", "../requirements.txt"]
    version = (ROOT / ".binder/runtime.txt").read_text().strip().removeprefix("python-")
    assert container["image"].endswith(f":{version}")
