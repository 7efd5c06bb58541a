"""Whatever a learner's function gives or raises, a check ends in a line, soon, in little memory."""

import json
import time

import numpy as np
import pytest
from classroom import check, measure, predict
from classroom.check.examine import STOPPED, Outcome
from classroom.check.returned import MOST, plain
from classroom.progress import load, note
from classroom.records import LARGEST

from tests.fuzz.child import peak
from tests.learner import write

TITLE = "\x1b]0;title\x07\u202e"


class Hostile:
    """Ends the program wherever it is touched."""

    def _end(self, *_, **__):
        raise SystemExit

    __array__ = __iter__ = __len__ = __getitem__ = __eq__ = __ne__ = __bool__ = _end
    __repr__ = __str__ = __float__ = __index__ = __getattr__ = _end
    __hash__ = None


class HostileList(list):
    __iter__ = __len__ = __eq__ = __repr__ = Hostile._end


class HostileText(str):
    split = strip = __eq__ = __repr__ = __str__ = Hostile._end


class HostileArray(np.ndarray):
    __array_ufunc__ = __array_function__ = __eq__ = __repr__ = Hostile._end
    shape = dtype = property(Hostile._end)


class Unnamed(type):
    __name__ = property(Hostile._end)


def raising(kind):
    """A function that raises this kind of error, whose own text may raise in its turn."""

    def function(*_, **__):
        raise kind

    return function


class Untold(Exception):
    def __str__(self):
        raise SystemExit


class Commands(BaseException):
    def __str__(self):
        return TITLE


VALUES = {
    "a number of 5,000 digits": lambda: 10**5000,
    "such numbers": lambda: [-(10**5000)] * 3,
    "an array of 8 TB": lambda: np.broadcast_to(0.0, (10**6, 10**6)),
    "a list of it": lambda: [np.broadcast_to(0.0, (10**6, 10**6))],
    "three of them": lambda: (np.broadcast_to(0.0, (10**6, 10**6)),) * 3,
    "a range": lambda: range(10**12),
    "a long list": lambda: [0] * 10**6,
    "long lists": lambda: [[0] * 1000] * 1000,
    "a long text": lambda: "x" * 10**6,
    "an iterator without end": lambda: iter(int, 1),
    "a list in itself": lambda: (lambda own: (own.append(own), own)[1])([]),
    "an object": Hostile,
    "a list of objects": lambda: [Hostile()],
    "a table of objects": lambda: {1: Hostile()},
    "an array of objects": lambda: np.array([HostileText("a"), 10**5000, None], object),
    "a list of a kind": lambda: HostileList([1]),
    "a text of a kind": lambda: HostileText("a"),
    "an array of a kind": lambda: np.zeros(3).view(HostileArray),
    "a kind without a name": lambda: Unnamed("x", (), {})(),
    "commands": lambda: TITLE,
    "a surrogate": lambda: "\ud800",
}
ERRORS = (SystemExit(3), GeneratorExit(), MemoryError(), StopIteration(), Untold(), Commands())


def told(capsys, ask, *arguments) -> str:
    """What is printed; soon, in little memory, and plain."""
    before, started = peak(), time.process_time()
    outcome = ask(*arguments)
    seconds = time.process_time() - started
    text = capsys.readouterr().out
    assert not outcome or ask is predict
    assert seconds < 4 and peak() - before < 1 << 27
    assert text.replace("\n", "").isprintable() and len(text) < 1500, text
    return text


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("task", ["to_bytes", "causal_mask", "cache_bytes"])
def test_any_value(task, name, capsys):
    """For a list, an array and a number."""
    assert told(capsys, check, task, lambda *_: VALUES[name]()).startswith(f"✗ {task}: ")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_error(error, capsys):
    assert type(error).__name__ in told(capsys, check, "to_bytes", raising(error))


def test_the_stop_button_stops(capsys):
    assert STOPPED in told(capsys, check, "to_bytes", raising(KeyboardInterrupt()))


@pytest.mark.parametrize("make", [Hostile, lambda: Hostile, lambda: None, HostileList, lambda: len])
def test_what_is_no_function(make, capsys):
    told(capsys, check, "to_bytes", make())


@pytest.mark.parametrize("name", VALUES)
def test_any_guess_and_any_measurement(name, capsys):
    told(capsys, predict, "03", VALUES[name](), lambda: 3.0)
    told(capsys, predict, "03", VALUES[name](), lambda: "three")
    told(capsys, measure, "03", VALUES[name](), lambda: 3.0, "because of a sum of five")
    told(capsys, measure, "03", 4.0, lambda: 3.0, VALUES[name]())


def test_what_is_put_into_an_input(capsys):
    my_merge = write(
        """
        def my_merge(piece, ranks):
            ranks.clear()
            ranks[b"a"] = hostile
            return [piece]
        """,
        hostile=Hostile(),
    )
    told(capsys, check, "merge", my_merge)


def test_what_is_just_taken():
    assert len(plain([0] * MOST)) == MOST and plain({1: (2, {3})}) == {1: (2, {3})}
    with pytest.raises(ValueError, match="more than 100,000 entries"):
        plain([0] * (MOST + 1))
    with pytest.raises(ValueError, match="more than 100,000 entries"):
        plain([[0] * (MOST // 2)] * 2)


def test_a_number_that_could_not_be_written_again(tmp_path, monkeypatch):
    """1e999 is read as infinity, and written as a word that is no JSON: all would be lost."""
    monkeypatch.setenv("LLAMA_PROGRESS", str(tmp_path))
    (tmp_path / "progress.json").write_text('{"version": 1, "tasks": {"later": 1e999}}')
    (line,) = note("softmax", Outcome(True, ["softmax: right."]))
    assert "kept as progress.json.bak" in line and load()["softmax"]["passed"]


def test_what_is_not_understood_may_not_make_the_file_too_long(tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_PROGRESS", str(tmp_path))
    tasks = {f"later {i}": [[0] * 9] for i in range(5000)}
    text = json.dumps({"version": 1, "tasks": tasks}, separators=(",", ":"))
    assert len(text) < LARGEST
    (tmp_path / "progress.json").write_text(text)
    assert note("softmax", Outcome(True, ["softmax: right."])) == [] and load()["softmax"]["passed"]
