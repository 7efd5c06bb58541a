"""A short run of ``python -m tests.fuzz``, and what its judge calls a fault."""

import json
import random
import subprocess
import sys

import pytest

from tests.fuzz.__main__ import FAULTS, Tally, table, write_seeds
from tests.fuzz.child import judge, unclear
from tests.fuzz.mutations import mutate
from tests.fuzz.readers import READERS, Reader, Wrong

CASES = 8  # of each reader


@pytest.mark.slow
def test_nothing_gets_through(tmp_path):
    missing = write_seeds(tmp_path, [*READERS])
    names = [name for name in READERS if name not in missing]
    assert len(names) > 10
    command = [sys.executable, "-m", "tests.fuzz.child", ",".join(names), "0", "0", tmp_path]
    done = subprocess.run(
        [*command, tmp_path / "work" / "case", str(CASES)], capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    cases = [case for case in map(json.loads, done.stdout.splitlines()) if case != "ready"]
    assert done.returncode == 0 and len(cases) == CASES * len(names), done.stderr
    assert [case for case in cases if case[1] in FAULTS] == []
    assert {"read", "refused"} == {case[1] for case in cases}


def test_a_case_is_the_same_whenever_it_is_run():
    data = json.dumps({"a": [1, 2, {"b": "c"}]}).encode()
    for name in ("config.json", "a.bin", "b.jsonl", "c.safetensors", "d.pth"):
        once, again = (
            [mutate(name, data, random.Random(i)) for i in range(50)] for _ in range(2)
        )  # fmt: skip
        assert once == again and len(set(once)) > 20


@pytest.mark.parametrize(
    "error, kind",
    [
        (ValueError("{}: cut off; get it again"), "refused"),
        (FileNotFoundError("{} is missing"), "refused"),
        (ValueError("cut off"), "foreign"),
        (ValueError("{}: two\nlines"), "foreign"),
        (ValueError("{}: \x1b[2J"), "foreign"),
        (ValueError("{}" + "x" * 2000), "foreign"),
        (UnicodeDecodeError("utf-8", b"{}", 0, 1, "{}"), "foreign"),
        (KeyError("{}"), "foreign"),
        (MemoryError(), "memory"),
        (Wrong("{}"), "wrong"),
        (None, "read"),
    ],
)
def test_the_judge(error, kind, tmp_path, monkeypatch):
    def read(path):
        if error is not None:
            error.args = tuple(a.format(path) if isinstance(a, str) else a for a in error.args)
            raise error

    monkeypatch.setitem(READERS, "made up", Reader(read, ()))
    assert judge("made up", tmp_path)[0] == kind
    assert unclear(ValueError(f"{tmp_path}: well"), tmp_path) == ""


def test_the_table():
    tally = Tally(slowest=0.5)
    tally.counts.update(read=2, refused=1000)
    lines = table({"gguf": tally})
    assert lines[2] == "| gguf | 1,002 | 1,000 | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 0.50 |"
    assert len({line.count("|") for line in lines}) == 1
