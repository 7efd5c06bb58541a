"""LayerNorm and GELU beside PyTorch's, on the way there and on the way back."""

import numpy as np
import pytest

from llama_np.functional import gelu, gelu_tanh
from llama_np.gpt2.backward import gelu_tanh_backward, layer_norm_backward
from llama_np.norm import layer_norm
from tests.checks import agree

TOLERANCE = 1e-10


def test_layer_norm(torch, normal, dtype):
    x, weight, shift = normal(2, 5, 7, dtype=dtype) + 2, normal(7, dtype=dtype), normal(7)
    shift = shift.astype(dtype)
    theirs = torch.nn.functional.layer_norm(
        torch.tensor(x), (7,), torch.tensor(weight), torch.tensor(shift), 1e-5
    )
    agree(layer_norm(x, weight, shift, 1e-5), theirs)


def test_layer_norm_takes_what_is_the_same_everywhere_away(normal):
    x, weight, shift = normal(5, 7), normal(7), normal(7)
    agree(layer_norm(x + 3, weight, shift, 1e-5), layer_norm(x, weight, shift, 1e-5))


def test_layer_norm_in_half_precision_is_computed_in_float32():
    x = np.array([300.0, -300.0], np.float16)  # 300 * 300 is beyond float16
    normed = layer_norm(x, np.ones(2, np.float16), np.zeros(2, np.float16), 1e-5)
    assert normed.dtype == np.float16
    assert normed.tolist() == [1.0, -1.0]


@pytest.mark.parametrize("ours, how", [(gelu, "none"), (gelu_tanh, "tanh")])
def test_gelu(torch, normal, dtype, ours, how):
    x = normal(3, 11, dtype=dtype) * 3
    before = x.copy()
    agree(ours(x), torch.nn.functional.gelu(torch.tensor(x), approximate=how))
    assert np.array_equal(x, before)


def test_layer_norm_backward(torch, normal):
    d_out, x, weight, shift = normal(2, 5, 7), normal(3, 5, 7)[:2] + 2, normal(7), normal(7)
    leaves = [torch.tensor(each, requires_grad=True) for each in (x, weight, shift)]
    torch.nn.functional.layer_norm(leaves[0], (7,), *leaves[1:], 1e-5).backward(torch.tensor(d_out))
    ours = layer_norm_backward(d_out, x, weight, 1e-5)
    for mine, leaf in zip(ours, leaves, strict=True):
        agree(mine, leaf.grad, TOLERANCE)


def test_gelu_tanh_backward(torch, normal):
    d_out, x = normal(3, 11), normal(4, 11)[1:] * 3
    leaf = torch.tensor(x, requires_grad=True)
    torch.nn.functional.gelu(leaf, approximate="tanh").backward(torch.tensor(d_out))
    agree(gelu_tanh_backward(d_out, x), leaf.grad, TOLERANCE)
