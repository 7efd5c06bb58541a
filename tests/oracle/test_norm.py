"""RMSNorm beside PyTorch's."""

import numpy as np

from llama_np.norm import rms_norm
from tests.checks import agree


def test_rms_norm(torch, normal, dtype):
    x, weight = normal(2, 5, 7, dtype=dtype), normal(7, dtype=dtype)
    theirs = torch.nn.functional.rms_norm(torch.tensor(x), (7,), torch.tensor(weight), 1e-5)
    agree(rms_norm(x, weight, 1e-5), theirs)


def test_eps_counts_where_rows_are_small(torch, normal, dtype):
    x, weight = 1e-3 * normal(5, 7, dtype=dtype), np.ones(7, dtype)
    theirs = torch.nn.functional.rms_norm(torch.tensor(x), (7,), torch.tensor(weight), 1e-5)
    agree(rms_norm(x, weight, 1e-5), theirs)


def test_a_row_of_zeros_stays_zero():
    assert np.array_equal(rms_norm(np.zeros((2, 3)), np.ones(3), 1e-5), np.zeros((2, 3)))


def test_squares_of_half_precision_do_not_overflow():
    x = np.array([300.0, -300.0], np.float16)  # 300 * 300 is beyond float16
    normed = rms_norm(x, np.ones(2, np.float16), 1e-5)
    assert normed.dtype == np.float16
    assert normed.tolist() == [1.0, -1.0]


def test_half_precision_is_computed_in_float32(normal):
    x, weight = normal(5, 7, dtype=np.float16), np.ones(7, np.float16)
    wide = rms_norm(x.astype(np.float32), weight.astype(np.float32), 1e-5)
    assert np.array_equal(rms_norm(x, weight, 1e-5), wide.astype(np.float16))
