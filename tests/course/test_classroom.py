"""Checks: each mistake gets its own hint, nothing passes that should not, files are data."""

import csv
import io
import json
import re
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from classroom import check, hand_in, measure, mine, predict, progress
from classroom.__main__ import main
from classroom.check import examine as checking
from classroom.check.calling import changed
from classroom.check.kept_functions import keep, sections, solution
from classroom.check.read_again import place
from classroom.check.tasks import ORDER, TASKS
from classroom.misconceptions import MISCONCEPTIONS, known_for
from classroom.progress import load, note
from classroom.records import names

from llama_np import rms_norm, softmax
from tests.learner import SHORT_STORY, solution_source, write
from weights_tools.writing import alone_in

ASKED = [wrong for wrong in MISCONCEPTIONS if wrong.task]
QUICK = [SHORT_STORY if task.name == "story" else task for task in ORDER]


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "matplotlib.pyplot.show", lambda: None
    )  # no window, where there is a screen
    monkeypatch.setenv("LLAMA_PROGRESS", str(tmp_path / "kept"))
    seeds = count()
    monkeypatch.setattr(checking, "new_generator", lambda *_: np.random.default_rng(next(seeds)))
    return tmp_path / "kept"


# --- hints ---


def test_the_misconceptions_are_many_and_belong_to_tasks():
    assert len({wrong.name for wrong in ASKED}) >= 25
    together = {"story", "pretrain"}  # they put the other tasks' functions together
    assert {wrong.task for wrong in ASKED} == set(TASKS) - together


@pytest.mark.parametrize("wrong", ASKED, ids=lambda wrong: wrong.function.__name__)
def test_every_mistake_is_named_and_never_passes(wrong):
    """Misconceptions call the library, so here nobody watches that."""
    for _ in range(1 if wrong.task == "generate" else 3):
        outcome = checking.examine(TASKS[wrong.task], wrong.function, watched=False)
        assert not outcome.passed and outcome.misconception == wrong.name
        first, second = outcome.lines
        assert first == f"{wrong.task}: {wrong.name}."
        assert second == f"{wrong.why} Read again: {place(wrong.lesson, wrong.cell)}."


BY_LEARNERS = {
    ("rms_norm", "eps stands outside the root"): """
        def my_rms_norm(x, weight, eps):
            return weight * x / (np.sqrt((x**2).mean(-1, keepdims=True)) + eps)""",
    ("rms_norm", "the mean was subtracted first"): """
        def my_rms_norm(x, weight, eps):
            x = x - x.mean(-1, keepdims=True)
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight""",
    ("softmax", "softmax over the wrong axis"): """
        def my_softmax(x):
            e = np.exp(x - x.max(axis=0))
            return e / e.sum(axis=0)""",
    ("softmax", "the largest score was not subtracted"): """
        def my_softmax(x):
            return np.exp(x) / np.exp(x).sum(axis=-1)[:, None]""",
    ("scores", "not divided by sqrt(K)"): """
        def my_scores(q, k):
            return np.einsum("tk,sk->ts", q, k)""",
    ("rotate", "split halves instead of adjacent pairs"): """
        def my_rotate(x, positions, frequencies):
            angle, half = np.outer(positions, frequencies), x.shape[1] // 2
            a, b = x[:, :half], x[:, half:]
            return np.hstack([a * np.cos(angle) - b * np.sin(angle),
                              a * np.sin(angle) + b * np.cos(angle)])""",
    ("frequencies", "degrees, not radians"): """
        def my_frequencies(head_dim, theta):
            return theta ** (-np.arange(0, head_dim, 2) / head_dim) * np.pi / 180""",
    ("causal_mask", "the mask counts the token itself as future"): """
        def my_causal_mask(query_positions, key_positions):
            return np.array([[s < t for s in key_positions] for t in query_positions])""",
    ("attend", "later scores became 0, not minus infinity"): """
        def my_attend(q, k, v, mask):
            return mine.softmax(mine.scores(q, k) * mask) @ v""",
    ("attend", "the mask is not used"): """
        def my_attend(q, k, v, mask):
            return mine.softmax(mine.scores(q, k)) @ v""",
    ("attend_grouped", "tile instead of repeat: head 1 now reads key head 1"): """
        def my_attend_grouped(q, k, v, mask):
            return np.array([mine.attend(q[h], k[h % len(k)], v[h % len(k)], mask)
                             for h in range(len(q))])""",
    ("attention", "divided by sqrt(D), not sqrt(K)"): """
        def my_attention(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
            q, k, v = (mine.split_heads(x @ w, head_dim) for w in (wq, wk, wv))
            q = q * np.sqrt(head_dim) / np.sqrt(x.shape[1])
            q = np.array([mine.rotate(h, positions, frequencies) for h in q])
            k = np.array([mine.rotate(h, positions, frequencies) for h in k])
            return mine.merge_heads(mine.attend_grouped(q, k, v, mask)) @ wo""",
    ("swiglu", "gate and up swapped"): """
        def my_swiglu(x, w_gate, w_up, w_down):
            return (x @ w_gate * mine.silu(x @ w_up)) @ w_down""",
    ("block", "normalised the stream before adding"): """
        def my_block(x, layer, config, positions, frequencies, mask):
            x = mine.rms_norm(x, layer.attn_norm, config.norm_eps)
            x = x + mine.attention(x, layer.wq, layer.wk, layer.wv, layer.wo,
                                   config.head_dim, positions, frequencies, mask)
            x = mine.rms_norm(x, layer.ffn_norm, config.norm_eps)
            return x + mine.swiglu(x, layer.w_gate, layer.w_up, layer.w_down)""",
    ("new_positions", "position of the first new token is one too high"): """
        def my_new_positions(past, n_new):
            return past + 1 + np.arange(n_new)""",
    ("chunk_mask", "the triangle starts in the upper left corner"): """
        def my_chunk_mask(past, n_new):
            return np.tril(np.ones((n_new, past + n_new), dtype=bool))""",
    ("append_keys", "joined along the heads"): """
        def my_append_keys(old, new):
            return np.concatenate([old, new])""",
    ("first_join", "the last pair was never looked at"): """
        def my_first_join(parts, ranks):
            best, place = None, None
            for i in range(len(parts) - 2):
                r = ranks.get(parts[i] + parts[i + 1])
                if r is not None and (best is None or r < best):
                    best, place = r, i
            return place""",
    ("first_join", "of two equal tokens the right one was taken"): """
        def my_first_join(parts, ranks):
            best, place = float("inf"), None
            for i in range(len(parts) - 1):
                r = ranks.get(parts[i] + parts[i + 1], 1e9)
                if r <= best and r < 1e9:
                    best, place = r, i
            return place""",
    ("first_join", "place 0 was taken for none"): """
        def my_first_join(parts, ranks):
            found = [(ranks[a + b], i) for i, (a, b) in enumerate(zip(parts, parts[1:]))
                     if a + b in ranks]
            place = min(found)[1] if found else None
            return place if place else None""",
    ("merge", "place 0 was taken for none"): """
        def my_merge(piece, ranks):
            if piece in ranks:
                return [piece]
            parts = [bytes([b]) for b in piece]
            while i := mine.first_join(parts, ranks):
                parts[i:i + 2] = [parts[i] + parts[i + 1]]
            return parts""",
    ("attend", "the mask came after the softmax"): """
        def my_attend(q, k, v, mask):
            return mine.mask_scores(mine.softmax(mine.scores(q, k)), mask) @ v""",
    ("rms_norm", "the axis is gone: keepdims is missing"): """
        def my_rms_norm(x, weight, eps):
            return x / np.sqrt((x**2).mean(axis=-1) + eps) * weight""",
    ("merge", "a piece that is itself a token was not taken whole"): """
        def my_merge(piece, ranks):
            parts = [bytes([b]) for b in piece]
            while (i := mine.first_join(parts, ranks)) is not None:
                parts[i:i + 2] = [parts[i] + parts[i + 1]]
            return parts""",
    ("keep_top_p", "the order was not undone"): """
        def my_keep_top_p(probabilities, p):
            ordered = np.sort(probabilities)[::-1]
            before = np.cumsum(ordered) - ordered
            kept = np.where(before <= p, ordered, 0)
            return kept / kept.sum()""",
    ("probabilities", "the temperature is not used, or it cancels"): """
        def my_probabilities(logits, temperature):
            p = mine.softmax(logits) / temperature
            return p / p.sum()""",
    ("velocity", "only the first gradient counted"): """
        def my_velocity(gradients, keep):
            v = np.zeros_like(gradients[0])
            for g in gradients:
                v = keep * v + g
                return v""",
    ("d_weight", "x is not transposed"): """
        def my_d_weight(d_out, x):
            return x @ d_out""",
    ("generate", "the stop token became part of the text"): """
        def my_generate(weights, config, ids, n_new, stop_ids):
            new = []
            while len(new) < n_new and not stop_ids & set(new):
                text = np.array([*ids, *new])
                new.append(mine.next_token(mine.forward(weights, config, text)))
            return new""",
}


@pytest.mark.parametrize("task, name", BY_LEARNERS, ids=str)
def test_a_mistake_is_recognised_in_other_words(task, name, capsys):
    outcome = check(task, write(BY_LEARNERS[task, name]))
    assert not outcome and outcome.misconception == name, outcome.lines
    assert f"{task}: {name}." in capsys.readouterr().out
    assert load()[task] == {"passed": False, "tries": 1, "met": [name]}


@pytest.mark.parametrize(
    "task, name", [key for key in BY_LEARNERS if key[0] in ("first_join", "merge")], ids=str
)
def test_a_mistake_at_the_edge_never_passes_by_luck(task, name):
    """The edges are drawn every time."""
    function = write(BY_LEARNERS[task, name])
    found = [checking.examine(TASKS[task], function) for _ in range(8)]
    assert [outcome.misconception for outcome in found] == [name] * 8


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_no_fixed_group_size_passes_by_luck(size):
    function = write(f"def f(head, n_heads, n_kv_heads):\n    return head // {size}")
    assert not any(checking.examine(TASKS["key_head"], function).passed for _ in range(8))


def test_where_to_read_again_is_said_by_its_heading():
    assert place("03", "eps-why") == 'lesson 03, "Step 4. Epsilon, inside the root"'
    assert place("04", "scale-answer") == place("04", "scale-why")
    assert not any("Experiment" in place(wrong.lesson, wrong.cell) for wrong in MISCONCEPTIONS)
    assert place("04", "scale-why") == 'lesson 04, "Step 4. Scores: how well a key fits a query"'


# --- nothing passes that should not ---


@pytest.mark.parametrize("task", QUICK, ids=lambda task: task.name)
def test_a_constant_does_not_pass(task):
    """Not even one that happens to be right in one of the cases."""
    _, expected = checking.fresh(task)
    for constant in [*expected, None, 0, ""]:
        assert not checking.examine(task, lambda *args, c=constant: c).passed


@pytest.mark.parametrize("task", QUICK, ids=lambda task: task.name)
def test_calling_the_library_does_not_pass(task):
    right = task.reference
    if "classroom" in right.__code__.co_filename:  # it calls the library itself, or one must not
        right = lambda *args: (rms_norm(np.ones((1, 2)), np.ones(2), 1.0), task.reference(*args))[1]  # noqa: E731
    outcome = checking.examine(task, lambda *args: right(*args))
    assert "this calls the library's" in outcome.lines[0] and not outcome.passed


@pytest.mark.parametrize("task", QUICK, ids=lambda task: task.name)
def test_calling_the_solution_does_not_pass(task):
    outcome = checking.examine(task, solution(task.name))
    assert "this calls the solution" in outcome.lines[0] or "library" in outcome.lines[0]
    outcome = checking.examine(task, lambda *args: getattr(mine, task.name)(*args))
    assert f"mine.{task.name} is not there yet" in outcome.lines[0] and not outcome.passed


def test_a_later_function_is_no_way_round():
    outcome = check("scores", write("def my_scores(q, k):\n    return mine.attend(q, k, k, 1)"))
    assert "mine.attend is not there yet" in outcome.lines[0]
    with pytest.raises(AttributeError, match="no task 'atend'"):
        _ = mine.atend


def test_the_profiler_is_given_back():
    seen = []
    before = sys.getprofile()
    sys.setprofile(watch := lambda *args: seen.append(1))
    check("silu", lambda x: 1 / 0)
    after = sys.getprofile()
    sys.setprofile(before)
    assert after is watch


# --- what is said ---


SAID = {
    "def my_rms_norm(x, weight, eps):\n    ...": "not started",
    "def my_rms_norm(x, weight, eps):\n    y = ...\n    return x / y": "not started",
    "def my_rms_norm(x, weight, eps):\n    pass": "it returned None: is a return missing?",
    "def my_rms_norm(x, weight, eps):\n    return (x * weight).tolist()": "got a list: np.array",
    "def my_rms_norm(x, weight, eps):\n    return x.T": "wrong shape: expected (",
    "def my_rms_norm(x, weight, eps):\n    return x * np.nan": "NaN (not a number) in",
    "def my_rms_norm(x, weight, eps):\n    return x * 1j": "expected float64, got complex128",
    "def my_rms_norm(x, weight, eps):\n    return x[..., :].round(9)": "differs by up to",
    "def my_rms_norm(x, weight, eps):\n    x *= weight\n    return x": "changed its input x",
    "def my_rms_norm(x, weight, eps):\n    y = x\n    return y @ y": (
        "line 3 of my_rms_norm (return y @ y): ValueError: matmul"
    ),
    "def my_rms_norm(x):\n    return x": "TypeError: my_rms_norm() takes 1 positional argument",
    "def my_rms_norm(x, weight, eps):\n    return 'x'": "expected an array, got a text",
}


@pytest.mark.parametrize("source, says", SAID.items(), ids=lambda text: text[-30:])
def test_what_is_wrong_is_said_in_one_line(source, says, capsys):
    outcome = check("rms_norm", write(source))
    assert not outcome.passed
    assert says in outcome.lines[0] and outcome.lines[0].startswith("rms_norm: ")
    assert all(line.startswith("It was called with x of shape") for line in outcome.lines[1:])
    sign = "✗" if outcome.started else "○"
    assert (
        capsys.readouterr().out
        == "\n".join([f"{sign} {outcome.lines[0]}", *outcome.lines[1:]]) + "\n"
    )
    assert outcome.started == ("not started" not in says)


@pytest.mark.parametrize("at", [1, "b"])
def test_an_array_changed_inside_a_list_or_a_dictionary_is_noticed(at):
    before, after = (
        [np.zeros(2), np.ones((2, 3))] if at == 1 else {"a": np.zeros(2), "b": np.ones((2, 3))}
        for _ in range(2)
    )
    assert not changed(before, after)
    after[at][0, 1] = 5
    assert changed(before, after)


def test_numbers_lists_and_texts_have_words_of_their_own():
    for task, source, says in (
        ("scores", "def f(q, k):\n    return q", "wrong shape: expected T S = ("),
        ("key_head", "def f(h, n, m):\n    return h / (n // m)", "got the float"),
        ("key_head", "def f(h, n, m):\n    return -1", "expected "),
        ("merge", "def f(piece, ranks):\n    return piece.decode()", "expected a list, got a text"),
        ("merge", "def f(piece, ranks):\n    return [piece] * 9", "entries, got 9"),
        ("to_bytes", "def f(text):\n    return [-1] * len(text.encode())", "differs first at [0]"),
        ("decode", "def f(ids, tokens):\n    return 'x'", "expected '"),
        (
            "causal_mask",
            "def f(q, k):\n    return (k <= q[:, None]) * 1",
            "expected bool, got int64",
        ),
    ):
        assert says in check(task, write(source)).lines[0]


NUMBER = ": `//` stays whole only between whole numbers, as in `n_heads // n_kv_heads`"
AT_0 = "def f(parts, ranks):\n    return {}"
SMALL = {
    ("key_head", "def f(h, n, m):\n    return h // (n / m)"): NUMBER,
    ("first_join", AT_0.format("0")): "expected None, got the whole number 0",
    ("first_join", AT_0.format("0 if len(parts) > 9 else -1")): "got the whole number -1",
    ("first_join", "def f(parts, ranks):\n    pass"): "it returned None: is a return missing?",
    ("first_join", "def f(parts, ranks):\n    return 0 if len(parts) == 8 else None"): (
        ", got None"
    ),
    ("scores", "def f(q, k):\n    return q[0] @ k[0]"): "an array, got the single number",
    ("scores", "def f(q, k):\n    return (2 * x for x in q)"): (
        "expected an array, got a generator: np.array(list(...)) makes one"
    ),
    ("lora_linear", "def f(x, w, a, b, scale):\n    return x @ (w + scale * a @ b)"): (
        "an array as large as w"
    ),
    ("lora_gradients", """
        def f(d_out, x, a, b, scale):
            d_w = x.T @ d_out
            return scale * d_w @ b.T, scale * a.T @ d_w"""): "an array as large as w",
    ("keep_top_k", "def f(p, k):\n    top = np.sort(p)[-k:]\n    return top / top.sum()"): (
        "wrong shape: expected V = (7,), got (2,)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "right",
    [
        "(w.T @ x.T).T + scale * x @ a @ b",
        "np.einsum('ti,io->to', x, w) + scale * np.einsum('ti,ir,ro->to', x, a, b)",
        "x.astype(np.float32) @ w.astype(np.float32) + scale * x @ a @ b",
    ],
)
def test_what_stays_thin_passes(right):
    function = write(f"def f(x, w, a, b, scale):\n    return {right}")
    assert checking.examine(TASKS["lora_linear"], function).lines == ["lora_linear: right."]


@pytest.mark.parametrize("task, source", SMALL, ids=lambda text: text[-30:])
def test_the_message_fits_what_came_back(task, source):
    assert SMALL[task, source] in check(task, write(source)).lines[0]


def test_a_short_input_that_fails_is_shown():
    outcome = check("first_join", write(AT_0.format("len(parts) - 2")))
    first, second = outcome.lines
    assert first.startswith("first_join: expected ")
    assert second.startswith("It was called with parts=[b'") and "ranks={" in second
    assert len(second) < 130
    half = write("def f(head, n_heads, n_kv_heads):\n    return head // 2")
    assert "called with head=" in check("key_head", half).lines[1]
    assert check("silu", lambda x: x).lines[1] == "It was called with x of shape (1, 1)."


def test_a_loop_without_an_end_can_be_stopped():
    """The stop button raises KeyboardInterrupt inside the learner's function."""
    stopped = write("def f(piece, ranks):\n    while piece:\n        raise KeyboardInterrupt")
    outcome = check("merge", stopped)
    assert not outcome and outcome.lines == [f"merge: {checking.STOPPED}"]
    assert "Does its loop end?" in checking.STOPPED
    assert check("merge", write(solution_source(TASKS["merge"])))


def test_all_heads_at_once_are_refused_by_name():
    source = """
        def my_attention(x, wq, wk, wv, wo, head_dim, positions, frequencies, mask):
            q = mine.split_heads(x @ wq, head_dim)
            return mine.rotate(q, positions, frequencies)"""
    said = check("attention", write(source)).lines[0]
    assert "line 3 of my_attention" in said
    assert "mine.rotate takes one head: turn q[h] for each h" in said


def test_an_outcome_shows_nothing_in_a_notebook():
    outcome = check("silu", lambda x: x)
    assert repr(outcome) == "" and outcome._ipython_display_() is None and not outcome


def test_an_unknown_task_is_an_error():
    with pytest.raises(KeyError, match="no task 'rmsnorm'; there are: next_token"):
        check("rmsnorm", softmax)


def test_a_function_that_leans_on_others_is_not_kept(capsys):
    half = "def half(x):\n    return x / 2\n\n\n"
    silu = "def my_silu(x):\n    return 2 * half(x) / (1 + np.exp(-x))"
    outcome = check("silu", write(half + silu))
    assert outcome.passed and "by itself it fails" in outcome.lines[1]
    assert "name 'half' is not defined" in outcome.lines[1] and "silu" not in sections()


def test_what_is_wrong_when_run_by_itself_is_not_done():
    """``offset`` is 0 in the notebook, and 1 in the source alone."""
    source = "def my_silu(x):\n    return x / (1 + np.exp(-x)) + globals().get('offset', 1)"
    outcome = check("silu", write(source, offset=0))
    assert not outcome.passed and "differs by up to 1" in outcome.lines[0]
    assert not load()["silu"]["passed"] and "silu" not in sections()


def test_a_lambda_is_not_kept():
    outcome = check("silu", lambda x: x / (1 + np.exp(-x)))
    assert outcome.passed and "Not kept" in outcome.lines[1] and "silu" not in sections()


def test_a_function_is_kept_and_replaced(kept):
    for body in ("x / (1 + np.exp(-x))", "x * (1 / (1 + np.exp(-x)))"):
        assert check("silu", write(f"def my_silu(x):\n    return {body}"))
        assert body in (kept / "my_llama.py").read_text(encoding="utf-8")
        assert mine.silu(np.zeros(1)).tolist() == [0]
    assert len(sections()) == 1


def test_a_function_of_a_task_that_is_gone_stays_in_the_file(kept):
    kept.mkdir()
    (kept / "my_llama.py").write_text("# --- hide ---\n\n\ndef my_hide(x):\n    return x\n")
    assert check("silu", write(solution_source(TASKS["silu"])))
    text = (kept / "my_llama.py").read_text(encoding="utf-8")
    assert "def my_hide(x):" in text.partition("def my_silu")[2]


def test_an_error_in_a_kept_function_shows_its_line(kept):
    assert check("silu", write("def my_silu(x):\n    y = 1 + np.exp(-x)\n    return x / y"))
    with pytest.raises(TypeError) as caught:
        mine.silu("x")
    last = caught.traceback[-1]
    lines = (kept / "my_llama.py").read_text(encoding="utf-8").splitlines()
    assert lines[last.lineno].strip() == "y = 1 + np.exp(-x)"


# --- predictions and progress ---


def test_a_guess_is_compared_once_it_is_there(capsys):
    def truth():
        return (2, 3)

    assert not predict("00", ..., lambda: 1 / 0)
    assert predict("00", (2, 3), truth) and "right" in capsys.readouterr().out
    assert predict("00", 7, truth) and "it is (2, 3)" in capsys.readouterr().out
    assert "right" in predict("01", "Rows", lambda: "rows").lines[0]
    assert "right" in predict("01", 3.99, lambda: 4.0).lines[0]
    assert "it is 4." in predict("01", "much", lambda: 4.0).lines[0]
    noisy = predict("01", 10, lambda: np.float64(1.0000000000000002)).lines[0]
    assert noisy == "predict_01: you said 10, it is 1."
    assert "it is (2, 0.5)" in predict("01", 7, lambda: (np.int64(2), np.float64(0.5))).lines[0]
    assert load()["predict_00"]["passed"]


def test_a_measured_number_is_not_given_away_and_needs_its_reason():
    assert not measure("07", ..., lambda: 1 / 0, "nothing has been measured here yet")
    wrong = measure("07", "much", lambda: 4.0, "the keys are the same for both").lines[0]
    assert "not it" in wrong and "4" not in wrong
    assert "whole sentence" in measure("07", 4.05, lambda: 4.0, "so").lines[0]
    assert measure("07", 4.05, lambda: 4.0, "the keys are the same for both")
    assert load()["measure_07"] == {"passed": True, "tries": 3, "met": []}


def test_progress_counts_tries_until_it_is_done(kept, capsys):
    silu = write(solution_source(TASKS["silu"]))
    check("silu", write("def my_silu(x):\n    ..."))
    assert not kept.exists()
    check("silu", write("def my_silu(x):\n    return np.maximum(x, 0)"))
    check("silu", silu)
    check("silu", silu)
    check("silu", write("def my_silu(x):\n    return x"))
    assert load()["silu"] == {"passed": True, "tries": 2, "met": ["relu, with its corner"]}
    progress()
    told = capsys.readouterr().out
    assert f"1 of {len(names())} done" in told and 'hand_in("Your Name.json")' in told


def test_a_file_that_is_damaged_is_begun_anew(kept):
    kept.mkdir()
    (kept / "progress.json").write_text("{")
    (kept / "my_llama.py").write_bytes(b"\xff")
    assert load() == {} and sections() == {}
    assert check("silu", write(solution_source(TASKS["silu"])))
    assert list(load()) == ["silu"] == list(sections())


def test_what_is_not_understood_stays_as_small_as_it_came(kept):
    kept.mkdir()
    deep = '{"version": 1, "tasks": {"later": ' + "[" * 800 + "]" * 800 + "}}"
    (kept / "progress.json").write_text(deep)
    check("silu", write(solution_source(TASKS["silu"])))
    written = (kept / "progress.json").read_text()
    assert "[" * 800 in written and len(written) < len(deep) + 300
    assert len(written.splitlines()) == 4  # a task on each line


def test_a_folder_that_cannot_be_written_is_said(kept):
    kept.write_text("a file")
    outcome = check("silu", write(solution_source(TASKS["silu"])))
    assert outcome.passed and "(not saved: progress.json cannot be written" in outcome.lines[-1]


def test_two_pages_that_are_checked_at_once_lose_no_record(kept):
    passed = SimpleNamespace(started=True, passed=True, misconception=None)
    tasks = [task.name for task in ORDER[:8]]
    begin = threading.Barrier(2)

    def work(own):
        begin.wait()
        for name in own:
            assert note(name, passed) == []
            assert keep(name, solution_source(TASKS[name])) == []

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (tasks[::2], tasks[1::2])))
    assert list(load()) == tasks == list(sections())
    assert sorted(path.name for path in kept.iterdir()) == ["my_llama.py", "progress.json"]


def test_a_page_does_not_wait_for_ever(kept, monkeypatch):
    monkeypatch.setattr("classroom.folder.PATIENCE", 0.01)
    with alone_in(kept):
        outcome = check("silu", write(solution_source(TASKS["silu"])))
    told = "(not saved: progress.json cannot be written, another process is writing here)"
    assert outcome.passed and told in outcome.lines


# --- a class ---


def record(passed=True, tries=1, met=()):
    return {"passed": passed, "tries": tries, "met": list(met)}


def handed_in(folder, name, at="2026-11-28 18:00", **tasks):
    file = folder / (name if "." in name else f"{name}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"version": 1, "handed_in": at, "tasks": tasks}))


def the_class(folder):
    """The page's own data."""
    page = (folder / "class.html").read_text(encoding="utf-8")
    return json.loads(re.search(r"const data = (.+);\n", page)[1])


def table(folder):
    with (folder / "class.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_class_is_put_into_one_table(tmp_path, kept, capsys, monkeypatch):
    outside = "eps stands outside the root"
    handed_in(tmp_path, "Anna", rms_norm=record(tries=3, met=[outside]), silu=record())
    handed_in(tmp_path, "Łukasz Żak", rms_norm=record(passed=False, met=[outside]))
    check("silu", write(solution_source(TASKS["silu"])))
    monkeypatch.chdir(tmp_path)
    hand_in("Zoe")
    shutil.rmtree(kept)
    assert main(["collect", str(tmp_path)]) == 0
    assert "3 students" in capsys.readouterr().out
    anna, zoe, third = table(tmp_path)
    assert [anna["student"], zoe["student"], third["student"]] == ["Anna", "Zoe", "Łukasz Żak"]
    assert anna["rms_norm"] == "done (3 tries)" and third["rms_norm"] == "open (1 try)"
    assert (zoe["rms_norm"], zoe["silu"], zoe["done"]) == ("", "done (1 try)", "1")
    assert anna["handed in"] == "2026-11-28 18:00" and zoe["handed in"]
    assert list(anna) == ["student", "handed in", "done", *names()]
    mistakes = (tmp_path / "mistakes.csv").read_text(encoding="utf-8-sig").splitlines()
    assert mistakes == ["task,mistake,students", f"rms_norm,{outside},2"]
    data = the_class(tmp_path)
    assert [each[0] for each in data["students"]] == ["Anna", "Zoe", "Łukasz Żak"]
    assert data["mistakes"] == [["rms_norm", outside, 2]]
    assert data["students"][0][2][names().index("rms_norm")] == [True, 3]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Anna.JSON", "Anna"),
        ("Anna.json.txt", "Anna"),
        ("Ana Lim_123_assignsubmission_file_/progress.json", "Ana Lim"),
        ("Ana Lim_123_assignsubmission_file/hand in.json", "Ana Lim"),
        ("Ana Lim_123_assignsubmission_file_progress.json", "Ana Lim"),
        ("limana_9_8_progress.json", "limana"),
        ("limana_LATE_9_8_progress-2.json", "limana"),
        ("group one/Anna.json", "Anna"),
        ("Jose\u0301.json", "José"),
        ("می\u200cخواهم.json", "می\u200cخواهم"),
        ("李明.json", "李明"),
    ],
)
def test_whose_a_file_is(file, name, tmp_path):
    handed_in(tmp_path, file, silu=record())
    assert main(["collect", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert [row["student"] for row in table(tmp_path / "out")] == [name]


def test_files_of_one_name_in_folders_belong_to_the_folders(tmp_path):
    for student in ("Anna", "Ben"):
        handed_in(tmp_path, f"{student}/progress.json", silu=record())
    assert main(["collect", str(tmp_path)]) == 0
    assert [row["student"] for row in table(tmp_path)] == ["Anna", "Ben"]


def test_of_two_files_of_a_student_the_later_counts(tmp_path, capsys):
    handed_in(tmp_path, "lim_1_2_a.json", at="2026-11-28 09:00", silu=record(passed=False))
    handed_in(tmp_path, "lim_1_3_a-1.json", at="2026-11-28 10:00", silu=record())
    assert main(["collect", str(tmp_path)]) == 0
    assert [row["silu"] for row in table(tmp_path)] == ["done (1 try)"]
    assert "lim_1_2_a.json: left out, lim_1_3_a-1.json is later" in capsys.readouterr().out


def test_two_people_of_one_name_are_two(tmp_path, capsys):
    for number, passed in ((11, True), (12, False)):
        folder = f"John Smith_{number}_assignsubmission_file_"
        handed_in(tmp_path, f"{folder}/a.json", silu=record(passed=passed))
    (tmp_path / "all.zip").write_bytes(b"PK")
    assert main(["collect", str(tmp_path)]) == 0
    assert [row["student"] for row in table(tmp_path)] == ["John Smith (11)", "John Smith (12)"]
    assert the_class(tmp_path)["left_out"] == [
        "all.zip: left out, not a .json file; unpack it first"
    ]


@pytest.mark.parametrize(
    "name", ["", ".json", "progress.json", "sub/progress", "Your Name.json", "your name"]
)
def test_a_hand_in_has_a_name_of_its_own(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="expected a name for the file"):
        hand_in(name)
    assert not list(tmp_path.rglob("*.json"))


def test_what_is_sent_and_what_is_not_in_it_is_said(tmp_path, monkeypatch, capsys):
    check("silu", write(solution_source(TASKS["silu"])))
    progress()
    assert "send the teacher that file" in (said := capsys.readouterr().out)
    assert "no sentence of yours and no guess" in said
    monkeypatch.chdir(tmp_path)
    hand_in("Zoe")
    assert "Send this file to your teacher. No code is in it" in capsys.readouterr().out


def test_a_file_of_progress_that_names_nobody_is_no_student(tmp_path, capsys):
    for name in ("progress", "progress (1)", "Lea Learner", "Ben/progress"):
        handed_in(tmp_path, f"{name}.json", silu=record())
    assert main(["collect", str(tmp_path)]) == 0
    assert [row["student"] for row in table(tmp_path)] == ["Ben", "Lea Learner"]
    assert capsys.readouterr().out.count("left out, it names nobody") == 2


def test_a_second_download_is_the_same_student(tmp_path, capsys):
    for name in ("Lea Learner", "Lea Learner (1)", "Lea Learner(2)"):
        handed_in(tmp_path, f"{name}.json", silu=record())
    handed_in(tmp_path, "Lea Learner (3).json", rms_norm=record())
    assert main(["collect", str(tmp_path)]) == 0
    assert [row["student"] for row in table(tmp_path)] == ["Lea Learner", "Lea Learner (3)"]
    assert "(1).json: left out, the same as Lea Learner.json" in capsys.readouterr().out


def test_an_empty_hand_in_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    hand_in("~/Zoe")
    assert (tmp_path / "Zoe.json").is_file() and "Nothing is in it" in capsys.readouterr().out


def test_a_student_counts_once_and_no_mistake_of_another_task(tmp_path):
    outside = "eps stands outside the root"
    tasks = {"rms_norm": record(met=[outside] * 6000), "silu": record(met=[outside])}
    handed_in(tmp_path, "Anna", **tasks)
    assert main(["collect", str(tmp_path)]) == 0
    assert the_class(tmp_path)["mistakes"] == [["rms_norm", outside, 1]]


def test_nothing_in_a_name_ends_the_page(tmp_path):
    handed_in(tmp_path, "A</script><script>alert(1)".replace("/", "∕"), silu=record())
    assert main(["collect", str(tmp_path)]) == 0
    page = (tmp_path / "class.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1 and "default-src 'none'" in page


def test_what_is_no_json_is_listed(tmp_path, capsys):
    handed_in(tmp_path, "Anna", silu=record())
    (tmp_path / "my\x1b[31m_llama.py").write_text("")
    assert main(["collect", str(tmp_path)]) == 0 and main(["collect", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("left out") == 2 and "my?[31m_llama.py: left out, not a .json" in said


BAD = {
    "huge": " " * 300_000,
    "deep": "[" * 100_000,
    "digits": '{"version": 1, "tasks": {"silu": ' + "9" * 5000 + "}}",
    "empty": "",
    "list": "[]",
    "nan": '{"version": NaN, "tasks": {}}',
    "version": '{"version": 2, "tasks": {}}',
    "more": '{"version": 1, "tasks": {}, "code": "import os"}',
    "tasks": '{"version": 1, "tasks": []}',
    "bool": json.dumps({"version": 1, "tasks": {"silu": record(tries=True)}}),
    "many": json.dumps({"version": 1, "tasks": {"silu": record(tries=10**9)}}),
    "negative": json.dumps({"version": 1, "tasks": {"silu": record(tries=-1)}}),
    "truth": json.dumps({"version": 1, "tasks": {"silu": record(passed="yes")}}),
    "types": json.dumps({"version": 1, "tasks": {"silu": record(met=[1])}}),
    "null": json.dumps({"version": 1, "tasks": {"silu": None}}),
    "date": json.dumps({"version": 1, "handed_in": "=1+1", "tasks": {}}),
    "time": json.dumps({"version": 1, "handed_in": 3, "tasks": {}}),
    "=1+1": json.dumps({"version": 1, "tasks": {}}),
    "@x": json.dumps({"version": 1, "tasks": {}}),
    "-2": json.dumps({"version": 1, "tasks": {}}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_file_is_reported_and_left_out(name, tmp_path, capsys):
    handed_in(tmp_path, "Anna", silu=record())
    (tmp_path / f"{name}.json").write_text(BAD[name])
    assert main(["collect", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"{name}.json: left out, " in said and "1 student," in said
    assert [row["student"] for row in table(tmp_path / "out")] == ["Anna"]


def test_what_the_course_does_not_know_is_left_out_and_the_rest_counts(tmp_path):
    unknown = {"=cmd": record(), "silu": record(met=["=cmd|' /C calc'!A0"])}
    handed_in(tmp_path, "Anna", **unknown)
    assert main(["collect", str(tmp_path)]) == 0
    assert table(tmp_path)[0]["silu"] == "done (1 try)"
    assert all("cmd" not in file.read_text(encoding="utf-8") for file in tmp_path.glob("*.[ch]*"))


def test_what_is_no_file_or_no_text_is_left_out(tmp_path, capsys):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe{}")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    assert main(["collect", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("left out") == 2 and "no file of progress here" in said
    with pytest.raises(SystemExit):
        main(["collect", str(tmp_path / "nowhere")])


def test_every_mistake_can_be_handed_in(tmp_path):
    tasks = {task: record(met=[wrong.name for wrong in known_for(task)]) for task in TASKS}
    handed_in(tmp_path, "A", **tasks)
    assert main(["collect", str(tmp_path)]) == 0


# --- a file that is not as expected ---


def done(kept, **more):
    """A file with twenty tasks done, and something else in it."""
    kept.mkdir(exist_ok=True)
    tasks = {name: record() for name in names()[:20]} | more
    text = json.dumps({"version": 1, "tasks": tasks})
    (kept / "progress.json").write_text(text, encoding="utf-8")
    return text


SILU = solution_source(TASKS["silu"])


def test_what_another_version_of_the_course_wrote_stays(kept):
    done(kept, later=record(), swiglu=record(met=["reworded", "gate and up swapped"]), merge=3)
    assert check("silu", write(SILU)).lines == ["silu: right. It is kept as mine.silu."]
    tasks = json.loads((kept / "progress.json").read_text())["tasks"]
    assert tasks["later"] == record() and tasks["merge"] == 3 and len(load()) == 21
    assert tasks["swiglu"]["met"] == ["reworded", "gate and up swapped"]
    assert load()["swiglu"]["met"] == ["gate and up swapped"]


def test_a_byte_order_mark_is_no_fault(kept):
    (kept / "progress.json").write_text(done(kept), encoding="utf-8-sig")
    assert len(check("silu", write(SILU)).lines) == 1 and len(load()) == 21


@pytest.mark.parametrize("text", ["{", '{"version": 2, "tasks": {}}', "[]"])
def test_an_unreadable_file_is_kept_under_another_name(kept, text):
    kept.mkdir()
    for name in ("progress.json.bak", "progress.json.bak1"):
        (kept / "progress.json").write_text(text)
        said = check("silu", write(SILU)).lines[-1]
        assert "progress.json cannot be read: not " in said and f"kept as {name}, and beg" in said
        assert (kept / name).read_text() == text and list(load()) == ["silu"]


def test_functions_that_cannot_be_read_are_kept_under_another_name(kept):
    kept.mkdir()
    (kept / "my_llama.py").write_bytes(b"\xff my notes")
    outcome = check("silu", write(SILU))
    assert outcome.lines[0] == "silu: right. It is kept as mine.silu."
    assert "my_llama.py cannot be read" in outcome.lines[1]
    assert (kept / "my_llama.py.bak").read_bytes() == b"\xff my notes"


# --- what a learner sees ---


def test_a_verdict_has_a_sign_and_on_a_terminal_a_colour(capsys, monkeypatch):
    check("silu", lambda x: x)
    check("silu", write("def f(x):\n    ..."))
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("✗ silu: differs") and said[-1].startswith("○ silu: not started")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    check("silu", write(SILU))
    assert "\033[32m✓\033[0m silu: right" in capsys.readouterr().out


def test_a_console_without_such_signs_gets_letters(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out := io.BytesIO(), "ascii"))
    check("silu", lambda x: "ü")
    sys.stdout.flush()
    assert out.getvalue().startswith(b"!! silu: expected an array")


def test_in_a_notebook_the_cell_to_read_again_is_a_link(monkeypatch):
    shown = []
    monkeypatch.setattr("classroom.verdict.in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    check(
        "softmax",
        write("def f(x):\n    e = np.exp(x - x.max(axis=0))\n    return e / e.sum(axis=0)"),
    )
    assert '<b style="color: #b3261e">✗</b> softmax: softmax over' in shown[0]["text/html"]
    link = re.search(r'<a href="([^"]*)"[^>]*>lesson 04, "Step [^<]*</a>', shown[0]["text/html"])
    assert (
        link[1].partition("#")[0].endswith("04_single_head_attention.ipynb") and "#Step-" in link[1]
    )
    check("silu", write("def f(x):\n    raise ValueError('<script>')"))
    assert "<script>" not in shown[1]["text/html"] and "<script>" in shown[1]["text/plain"]
