"""The tool that makes wrong code: each change is one, is code, and finds tests near it."""

import ast

import pytest

from tests import mutants
from tests.mutants import FAILED, ROOT, chosen, mutants_of

SOURCE = '''"""A module."""
def keep(x: int = 1, *, axis=-1, help="é"):
    """Words."""
    if x < 2 and not axis:
        raise ValueError(f"no {x + 1}")
    y = f(x, axis, axis=axis)[1:x].T
    y.copy()
    return y - 1.0 if x in (3,) else -x
'''


def test_the_kinds_of_change():
    found = {(m.kind, m.apply(SOURCE)) for m in mutants_of("a.py", SOURCE)}
    lines = {line for _, changed in found for line in changed.splitlines()}
    for line in (
        'def keep(x: int = 2, *, axis=-1, help="é"):',
        "    if (x <= 2) and not axis:",
        "    if (x < 2 or not axis):",
        "        pass",
        "    y = f(axis, x, axis=axis)[1:x].T",
        "    y = f(x, axis, axis=0)[1:x].T",
        "    y = f(x, axis, axis=axis)[1 + 1:x].T",
        "    y = f(x, axis, axis=axis)[1:x]",
        "    y",
        "    return (y + 1.0) if x in (3,) else -x",
        "    return y - 1.05 if x in (3,) else -x",
        "    return y - 1.0 if (x not in (3,)) else -x",
        "    return y - 1.0 if x in (3,) else x",
    ):
        assert line in lines, line
    assert not any("no {x + 2}" in line or "x: str" in line for line in lines)


def test_every_change_is_code():
    paths = "llama_np/rope.py", "llama_np/sampling.py", "weights_tools/commands/verify.py"
    sources = {path: (ROOT / path).read_text() for path in paths}
    found = [m for path, source in sources.items() for m in mutants_of(path, source)]
    assert len(found) > 300
    some = chosen(found, 60, seed=5)
    assert some == chosen(found, 60, seed=5) != chosen(found, 60, seed=6)
    assert len({mutant.kind for mutant in some}) >= 9
    for mutant in some:
        changed = mutant.apply(sources[mutant.path])
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(sources[mutant.path])), mutant
        assert mutant.diff(sources[mutant.path])


def test_the_nearest_tests_come_first():
    assert mutants.tests_for("llama_np/rope.py", 3)[:2] == [
        "llama_np/rope.py",
        "tests/unit/test_rope.py",
    ]
    assert "tests/formats/test_gguf_file.py" in mutants.tests_for(
        "weights_tools/formats/gguf_file.py", 3
    )


@pytest.mark.parametrize(
    "line, name",
    [
        ("FAILED a/b.py::t[1 - 1] - assert [1] == [2]", "a/b.py::t[1 - 1]"),
        ("FAILED a/b.py::t - assert [1]", "a/b.py::t"),
        ("FAILED a/b.py::t", "a/b.py::t"),
        ("ERROR a/b.py - ImportError: no", "a/b.py"),
    ],
)
def test_the_name_of_what_failed(line, name):
    assert FAILED.search(f"x\n{line}\ny")[1] == name
