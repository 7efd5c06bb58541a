"""``agree`` must be able to say no."""

import numpy as np
import pytest
from classroom import agree, numerical_gradient, source

from llama_np.attention import attend


@pytest.mark.parametrize(
    "by_hand, named",
    [
        (np.zeros(3), np.zeros(4)),
        (np.array([1.0, 2.0]), np.array([1.0, 2.001])),
        (np.array([1e-6]), np.array([9e-6])),  # small numbers, and far apart
        (np.array([1e-4]), np.array([0.0])),
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
    agree(np.array([1e-6, 2e-15]), np.array([1e-6, 0.0]))
    agree(np.array([2e-15]), np.array([0.0]))
    assert capsys.readouterr().out.count("they agree") == 4


def test_source_shows_the_code_without_the_docstring():
    text = repr(source(attend))
    assert text.startswith("def attend(") and "softmax(masked)" in text
    assert "PyTorch" not in text and '"""' not in text


def test_a_slope_by_trying_leaves_its_argument_alone():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    slopes = numerical_gradient(lambda x: float((x**3).sum()), x, [(0, 1), (1, 0)])
    np.testing.assert_allclose(slopes, [12, 27], rtol=1e-8)
    assert x.tolist() == [[1, 2], [3, 4]]


def test_a_slope_by_trying_needs_float64():
    with pytest.raises(ValueError, match="needs float64, not float32"):
        numerical_gradient(lambda x: float(x.sum()), np.ones(2, np.float32), [(0,)])
