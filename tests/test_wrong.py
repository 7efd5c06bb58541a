"""Every plausible misconception is noticed by a check that the right functions pass."""

import importlib
from types import ModuleType

import numpy as np
import pytest

from .shape_contracts import replace_everywhere
from .wrong import WRONG


def find(right: str):
    module, name = right.split(".")
    found = importlib.import_module(f"llama_np.{module}")
    assert isinstance(found, ModuleType)
    return getattr(found, name)


@pytest.mark.parametrize("check", {wrong.check for wrong in WRONG}, ids=lambda c: c.__name__)
def test_the_right_one_passes(check):
    check()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.function.__name__)
def test_the_wrong_one_is_noticed(wrong, monkeypatch):
    replace_everywhere(monkeypatch, find(wrong.right), wrong.function)
    assert find(wrong.right) is wrong.function
    with np.errstate(all="ignore"), pytest.raises(AssertionError, match="Not equal to tolerance"):
        wrong.check()


def test_each_says_why_it_is_wrong():
    assert all(wrong.function.__doc__ for wrong in WRONG)
    assert len({wrong.function.__name__ for wrong in WRONG}) == len(WRONG)
