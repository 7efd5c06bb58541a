"""Elementwise functions and softmax beside PyTorch's."""

import numpy as np
import pytest

from llama_np.functional import FEW_ROWS, linear, log_softmax, sigmoid, silu, softmax
from tests.checks import agree


@pytest.mark.parametrize("rows", [1, 2, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("lead", [(), (1,), (2, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_linear(torch, normal, dtype, rows, lead, order):
    x, w = normal(*lead, rows, 7, dtype=dtype), normal(7, 5, dtype=dtype)
    ours = linear(x, np.asarray(w, order=order))
    assert ours.flags.c_contiguous
    agree(ours, torch.nn.functional.linear(torch.tensor(x), torch.tensor(w.T)))


def test_softmax(torch, normal, dtype):
    x = normal(2, 3, 11, dtype=dtype) * 5
    agree(softmax(x), torch.softmax(torch.tensor(x), dim=-1))


def test_log_softmax(torch, normal, dtype):
    x = normal(2, 3, 11, dtype=dtype) * 5
    agree(log_softmax(x), torch.log_softmax(torch.tensor(x), dim=-1))


def test_sigmoid(torch, normal, dtype):
    x = normal(3, 11, dtype=dtype) * 5
    agree(sigmoid(x), torch.sigmoid(torch.tensor(x)))


def test_silu(torch, normal, dtype):
    x = normal(3, 11, dtype=dtype) * 5
    agree(silu(x), torch.nn.functional.silu(torch.tensor(x)))


def test_a_hidden_score_gets_the_weight_zero(torch):
    x = np.array([[0.5, -np.inf, 1.0]])
    assert softmax(x)[0, 1] == 0
    agree(softmax(x), torch.softmax(torch.tensor(x), dim=-1))


@pytest.mark.parametrize("function", [softmax, log_softmax, silu, sigmoid])
def test_the_input_stays_as_it_was(function, normal):
    x = normal(3, 4)
    before = x.copy()
    function(x)
    assert np.array_equal(x, before)
