"""``agree`` must be able to say no."""

import numpy as np
import pytest

from llama_np.attention import attend
from llama_np.lesson import agree, source


@pytest.mark.parametrize(
    "by_hand, named",
    [
        (np.zeros(3), np.zeros(4)),
        (np.array([1.0, 2.0]), np.array([1.0, 2.001])),
        (np.array([np.nan]), np.array([1.0])),
        (np.array([np.nan]), np.array([np.nan])),
        (np.array([-np.inf]), np.array([0.0])),
        (np.array([200_000, 5]), np.array([200_000, 6])),
        (np.array([True]), np.array([False])),
        (np.array([0.0]), np.array([-np.inf])),
    ],
)
def test_what_differs_is_refused(by_hand, named):
    with pytest.raises(AssertionError, match="differ"):
        agree(by_hand, named)


def test_what_is_the_same_is_accepted(capsys):
    agree(np.array([1.0, -np.inf]), np.array([1.0 + 1e-7, -np.inf]))
    agree(np.array([1000.0]), np.array([1000.005]))  # measured against the largest number
    assert capsys.readouterr().out.count("they agree") == 2


def test_source_shows_the_code_without_the_docstring():
    text = repr(source(attend))
    assert text.startswith("def attend(") and "softmax(masked)" in text
    assert "PyTorch" not in text and '"""' not in text
