"""Every plausible misconception is noticed by a check that the right functions pass."""

import importlib
import re
from types import ModuleType

import numpy as np
import pytest
from classroom.check.read_again import SOURCES, heading
from classroom.misconceptions import MISCONCEPTIONS

from tests.checks import check_decoding, check_forward, check_top_p
from tests.shape_contracts import replace_everywhere

CHECKS = {"model.forward": check_decoding, "sampling.keep_top_p": check_top_p}  # else the first
IN_THE_LIBRARY = [wrong for wrong in MISCONCEPTIONS if wrong.right]


def find(right: str):
    module, name = right.split(".")
    found = importlib.import_module(f"llama_np.{module}")
    assert isinstance(found, ModuleType)
    return getattr(found, name)


@pytest.mark.parametrize("check", [check_forward, *CHECKS.values()], ids=lambda c: c.__name__)
def test_the_right_one_passes(check):
    check()


@pytest.mark.parametrize("wrong", IN_THE_LIBRARY, ids=lambda wrong: wrong.function.__name__)
def test_the_wrong_one_is_noticed(wrong, monkeypatch):
    replace_everywhere(monkeypatch, find(wrong.right), wrong.function)
    assert find(wrong.right) is wrong.function
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match="Not equal to tolerance"):
        CHECKS.get(wrong.right, check_forward)()


@pytest.mark.parametrize("wrong", MISCONCEPTIONS, ids=lambda wrong: wrong.function.__name__)
def test_each_says_why_it_is_wrong_and_where_to_read_again(wrong):
    assert wrong.why.endswith(".") and len(wrong.why) <= 130
    assert len(wrong.name) <= 60 and not wrong.name.endswith(".")
    assert wrong.right or wrong.task
    (source,) = SOURCES.glob(f"{wrong.lesson}_*.py")
    assert re.search(rf'^# %% .*key="{wrong.cell}"', source.read_text(encoding="utf-8"), re.M)


# Cells that end one step and begin the next: a reader is sent to the next one.
TWO_STEPS = {
    "04/mix-why": "Step 6. The mix: what is handed over",
    "05/one-pair-note": "Step 3. A frequency for every pair",
    "06/apply-why": "Step 3. Scores, masked, pattern",
    "06/mask-why": "Step 2. The mask",
    "17/count-read": "Step 3. Gradients that never form the large one",
    "17/loss-read": "Step 2. LoRA: two thin matrices beside a frozen one",
    "18/alone-read": "Step 5. The loss",
    "18/bt-read": "Step 3. The reward inside a model",
    "18/bt-why": "Step 2. From rewards to preferences",
    "18/loss-read": "Step 6. The gradient",
}


def test_a_reader_is_not_sent_to_the_step_after():
    """What is explained above the heading in a cell stands under another heading."""
    found = {}
    for lesson, cell in {(wrong.lesson, wrong.cell) for wrong in MISCONCEPTIONS}:
        (source,) = SOURCES.glob(f"{lesson}_*.py")
        _, _, text = source.read_text(encoding="utf-8").partition(f'key="{cell}"')
        above, mark, _ = text.partition("\n# %% ")[0].partition("\n# ## ")
        if mark and re.search(r"^# \w", above, re.M):
            found[f"{lesson}/{cell}"] = heading(lesson, cell)
    assert found == TWO_STEPS


HEADINGS = {
    ("mask_scores", "a large negative number instead of minus infinity"): "Minus infinity",
    ("mask_scores", "later scores became 0, not minus infinity"): "Minus infinity",
    ("attend", "weights set to zero after the softmax"): "Minus infinity",
    ("attention", "values were turned too"): "only the distance",
    ("attention", "only the queries were turned"): "only the distance",
    ("forward", "the mask is not used"): "mask is taken away",
    ("velocity", "nothing was forgotten"): "The mistake",
    ("lora_start", "A and B are both zero"): "Gradients that never",
    ("preference", "the powers were taken of the rewards themselves"): "rewards to preferences",
}


@pytest.mark.parametrize("task, name", HEADINGS, ids=str)
def test_where_to_read_again_speaks_of_it(task, name):
    (wrong,) = (each for each in MISCONCEPTIONS if (each.task, each.name) == (task, name))
    assert HEADINGS[task, name] in heading(wrong.lesson, wrong.cell)


def test_no_two_are_the_same():
    for of in (lambda w: w.function.__name__, lambda w: (w.name, w.task, w.right)):
        assert len({of(wrong) for wrong in MISCONCEPTIONS}) == len(MISCONCEPTIONS)
