"""The audit: it makes the mutants it should, finds a hole where there is one, and no other."""

import pytest
from classroom.audit.__main__ import main
from classroom.audit.audit import audit
from classroom.audit.equivalent import EQUIVALENT
from classroom.audit.rewritten import rewritten
from classroom.check.tasks import ORDER, TASKS


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_PROGRESS", str(tmp_path / "none"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [pytest.param(task, marks=[pytest.mark.long] * (task.name == "story")) for task in ORDER],
    ids=lambda task: task.name,
)
def test_no_mutant_passes(task):
    found = audit(task)
    assert found.passing == [] and found.tried > 20


def test_a_hole_is_found():
    """Positions that always are 0, 1, 2: who ignores them would pass."""
    draw = TASKS["angles"].draw
    task = TASKS["angles"]._replace(draw=lambda rng, case: draw(rng, 5 * case), cases=1)
    assert "positions: 0, 1, 2 and so on" in audit(task).passing


def test_the_code_is_changed_everywhere():
    source = (
        "def f(a, b):\n    for i in range(len(a)):\n        if a[i] < b:\n            return -a[1:]"
    )
    texts = [text for _, text in rewritten(source)]
    assert len(texts) == len(set(texts)) > 25
    for part in ("range(len(a) - 1)", "<= b", "return a[1:]", "a[1 + 1:]", "if True", "len(b)"):
        assert any(part in text for text in texts), part


def test_every_excuse_has_a_reason():
    assert all(each.why and each.tasks for each in EQUIVALENT)
    assert len({(each.tasks, each.mutants) for each in EQUIVALENT}) == len(EQUIVALENT)


def test_the_command(capsys, monkeypatch):
    monkeypatch.setenv("LLAMA_PROGRESS", "unset by the command")
    assert main(["to_bytes"]) == 0
    assert "1 tasks in" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["nothing"])
