"""What a long run says on its way: the line of progress, the tally of tokens, the log."""

import csv
import io
from types import SimpleNamespace

import pytest

from weights_tools.commands import generate as generate_module
from weights_tools.commands.generate import Tally
from weights_tools.progress import Progress, time
from weights_tools.training.trainer import Hyperparameters
from weights_tools.training.training_log import draw_curve, write_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that stands still until it is moved: ``clock.now += 1``."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


def shown(progress, clock, times):
    """What is written at these times, by how much is done then."""
    for done, now in times.items():
        clock.now = 100.0 + now
        progress.show(done, "steps")
    return progress.stream.getvalue()


def test_a_line_now_and_then_where_there_is_no_terminal(clock):
    times = {1: 10, 2: 20, 3: 39.9, 4: 40, 5: 50}
    told = shown(Progress(5, io.StringIO()), clock, times).splitlines()
    assert told == [
        "[====                    ] 1/5  steps  0:40 left",
        "[===================     ] 4/5  steps  0:10 left",
        "[========================] 5/5  steps  0:00 left",
    ]


def test_one_line_on_a_terminal_is_written_over(clock):
    told = shown(Progress(3, Terminal()), clock, {1: 60, 2: 60.1, 3: 60.2})
    first, last = told.split("\r\x1b[K")[1:]
    assert first == "[========                ] 1/3  steps  2:00 left"
    assert last == "[========================] 3/3  steps  0:00 left\n"


def test_nothing_is_shown_of_what_is_over_soon(clock):
    assert shown(Progress(4, io.StringIO(), quiet=2.0), clock, {1: 0, 2: 1, 4: 1.9}) == ""
    clock.now = 100.0
    assert "2/4" in shown(Progress(4, io.StringIO(), quiet=2.0), clock, {1: 1, 2: 2.5})


def test_a_run_that_goes_on_counts_its_own_pace(clock):
    """Two steps in ten seconds since it was started again; 47 are to come."""
    told = shown(Progress(100, io.StringIO()), clock, {52: 5, 53: 40}).splitlines()
    assert told[0].endswith("52/100  steps  4:00 left")
    assert told[1].endswith("53/100  steps  15:40 left")


def test_a_word_between_leaves_the_line_whole(clock):
    for stream, told in ((Terminal(), "\r\x1b[Khello\n"), (io.StringIO(), "hello\n")):
        Progress(3, stream).say("hello")
        assert stream.getvalue() == told
    forced = Progress(9, io.StringIO())
    for done in (1, 2):
        forced.show(done, "x", force=True)
    assert forced.stream.getvalue().count("\n") == 2


# --- tokens ---


def test_a_tally_counts_and_times_what_comes_through(monkeypatch):
    ticks = iter([10.0, 10.5, 12.0])
    monkeypatch.setattr(generate_module.time, "perf_counter", lambda: next(ticks))
    tally = Tally()
    assert list(tally.through(iter("abcde"), skip=2)) == list("abcde")
    assert (tally.count, tally.first, tally.last) == (3, 10.0, 12.0)
    assert str(tally) == "3 tokens, 1 tokens/s"


def test_a_tally_of_one_or_none_tells_no_pace():
    tally = Tally()
    assert str(tally) == "0 tokens"
    assert list(tally.through(iter([7]))) == [7] and str(tally) == "1 token"


# --- the log of a run ---


def training(step, steps=20):
    recipe = Hyperparameters(steps=steps, peak_rate=0.5, warm_up=10)
    seen = {"tokens": str(step * 64), "epoch": f"{step / 8:.3f}"}
    return SimpleNamespace(
        step=step, recipe=recipe, stage=SimpleNamespace(seen=lambda _: seen), loss=2 / step,
        seconds=step * 1.5,
    )  # fmt: skip


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_log_has_a_line_for_every_evaluation(tmp_path):
    path = tmp_path / "log.csv"
    for step in (5, 10, 15):
        write_line(path, training(step), {"held_out": 1 / step, "different": step})
    assert rows_of(path)[1] == {
        "step": "10", "tokens": "640", "epoch": "1.250", "learning_rate": "5.000e-01",
        "train_loss": "0.2000", "held_out": "0.1000", "different": "10", "seconds": "15",
    }  # fmt: skip
    # gone on from a checkpoint before
    write_line(path, training(10), {"held_out": 7.0, "different": 4})
    assert [(row["step"], row["held_out"]) for row in rows_of(path)] == [
        ("5", "0.2000"), ("10", "7.0000")
    ]  # fmt: skip
    draw_curve(tmp_path)
    assert (tmp_path / "loss_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "text", ["step;train_loss\n1;2\n", "", "step,loss\n1,2\n", "step,train_loss\n1,2,3\n"]
)
def test_a_log_that_somebody_saved_in_another_way_is_kept_aside(tmp_path, text, capsys):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    write_line(path, training(10), {"held_out": 7.0})
    assert path.read_text(encoding="utf-8").startswith("step,")
    if text:
        assert (tmp_path / "log (old 0).csv").read_text(encoding="utf-8") == text
        assert "kept as log (old 0).csv" in capsys.readouterr().err
    path.unlink()
    draw_curve(tmp_path)  # nothing to draw, and no fault
    assert not (tmp_path / "loss_curve.png").exists()
