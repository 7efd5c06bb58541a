"""Every plausible misconception is noticed by a check that the right functions pass."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from classroom.misconceptions import MISCONCEPTIONS

from tests.checks import check_decoding, check_forward, check_top_p
from tests.shape_contracts import replace_everywhere

SOURCES = Path(__file__).parents[2] / "notebooks/source"
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


def test_no_two_are_the_same():
    for of in (lambda w: w.function.__name__, lambda w: (w.name, w.task, w.right)):
        assert len({of(wrong) for wrong in MISCONCEPTIONS}) == len(MISCONCEPTIONS)
