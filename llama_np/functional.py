"""Elementwise functions and softmax: the few curves that a Llama is made of."""

import numpy as np

from .shapes import Array


def linear(x: Array["... in"], w: Array["in out"]) -> Array["... out"]:
    """x @ w, where all leading axes of ``x`` together are the rows of one product.

    The same numbers as ``x @ w``. But that takes a batch apart and reads ``w`` anew for each
    sequence; here it is read once for all of them.

    PyTorch: ``torch.nn.functional.linear(x, w.T)``.

    >>> linear(np.ones((2, 1, 3)), np.ones((3, 4))).shape
    (2, 1, 4)
    """
    if x.ndim <= 2:
        return x @ w
    return (x.reshape(-1, x.shape[-1]) @ w).reshape(*x.shape[:-1], w.shape[-1])


def softmax(x: Array["... S"]) -> Array["... S"]:
    """Turn each row of scores into weights that are positive and sum to one.

    softmax(x)_i = exp(x_i) / sum_j exp(x_j)

    The largest score of the row is subtracted first. That changes nothing in exact arithmetic and
    keeps exp from overflowing. The sum is taken in float32 at least: in 16 bits it would stop
    growing. A score of minus infinity gets the weight zero; a row in which every score is minus
    infinity has no answer and becomes NaN.

    PyTorch: ``torch.softmax(x, dim=-1)``.

    >>> softmax(np.array([0.0, np.log(3.0), -np.inf])).round(6).tolist()
    [0.25, 0.75, 0.0]
    """
    wide = x.astype(np.result_type(x.dtype, np.float32), copy=False)
    weights = wide - wide.max(axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights.astype(x.dtype, copy=False)


def log_softmax(x: Array["... V"]) -> Array["... V"]:
    """Logarithm of softmax, in nats, exact even where the softmax itself would round to zero.

    log_softmax(x)_i = x_i - log sum_j exp(x_j)

    PyTorch: ``torch.log_softmax(x, dim=-1)``.

    >>> log_softmax(np.array([0.0, 1000.0])).tolist()
    [-1000.0, 0.0]
    """
    shifted = x - x.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def sigmoid(x: Array["..."]) -> Array["..."]:
    """Squash any number into the range from 0 to 1: 1 / (1 + exp(-x)).

    Written with tanh, which saturates where exp(-x) would overflow.

    PyTorch: ``torch.sigmoid(x)``.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    half = x * 0.5
    np.tanh(half, out=half)
    half *= 0.5
    half += 0.5
    return half


def silu(x: Array["..."]) -> Array["..."]:
    """A smooth gate: near zero for negative numbers, near x for positive ones.

    silu(x) = x * sigmoid(x)

    PyTorch: ``torch.nn.functional.silu(x)``. Source: https://arxiv.org/abs/1702.03118, section 2
    (there called SiL); Swish with beta 1 in https://arxiv.org/abs/1710.05941.

    >>> silu(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).round(7).tolist()
    [-0.2384058, -0.2689414, 0.0, 0.7310586, 1.7615942]
    """
    gated = sigmoid(x)
    gated *= x
    return gated
