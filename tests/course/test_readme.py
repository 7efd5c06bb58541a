"""What the README promises: links lead somewhere, code runs, CI runs the same commands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "weights_tools/doll_house/MODEL_CARD.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_repository_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / page).parent.joinpath(link.partition("#")[0]).exists(), link


def test_the_example_runs(monkeypatch):
    monkeypatch.delenv("LLAMA_MODEL", raising=False)
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S
    )
    names = {}
    exec(code, names)
    assert names["logits"].shape == (len(names["ids"]), names["model"].config.vocab_size)


@pytest.mark.parametrize("words", ["bin/jupyter execute", "tests/requirements.txt &&"])
def test_ci_finds_the_commands(words):
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if words in line]
    assert len(found) == 1 and ".venv/bin/" in found[0]
    assert words in (ROOT / ".ci/run").read_text(encoding="utf-8")
