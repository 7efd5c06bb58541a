"""Elementwise functions and softmax: the few curves that a Llama, or a GPT-2, is made of."""

import math

import numpy as np

from .axes import Array

FEW_ROWS = 32  # up to here the product turned round is the faster one


def linear(x: Array["... in"], w: Array["in out"]) -> Array["... out"]:
    """x @ w, where all leading axes of ``x`` together are the rows of one product.

    The same numbers as ``x @ w``. But that takes a batch apart and reads ``w`` anew for each
    sequence; here it is read once for all of them. A few rows go turned round, as (w^T @ x^T)^T,
    which BLAS computes sooner.

    PyTorch: ``torch.nn.functional.linear(x, w.T)``.

    >>> linear(np.ones((2, 1, 3)), np.ones((3, 4))).shape
    (2, 1, 4)
    """
    if x.ndim > 2:
        return linear(x.reshape(-1, x.shape[-1]), w).reshape(*x.shape[:-1], w.shape[-1])
    if not isinstance(w, np.ndarray):
        return x @ w  # it may stream from a file
    if 1 < len(x) <= FEW_ROWS:
        return np.ascontiguousarray(w.T.dot(x.T).T)
    return x.dot(w)  # what x @ w does, with less ado: a microsecond counts for one row


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
    wide = x.astype(np.promote_types(x.dtype, np.float32), copy=False)
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


def gelu(x: Array["..."]) -> Array["..."]:
    """Another smooth gate: x times the share of a bell curve that lies below x.

    gelu(x) = x / 2 * (1 + erf(x / sqrt(2)))

    NumPy has no erf. The one in ``math`` is called number by number here: exact and slow. GPT-2
    itself uses ``gelu_tanh``.

    PyTorch: ``torch.nn.functional.gelu(x)``. Source: https://arxiv.org/abs/1606.08415, section 2.

    >>> gelu(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).round(7).tolist()
    [-0.0455003, -0.1586553, 0.0, 0.8413447, 1.9544997]
    """
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return (0.5 * x * (1 + erf(x / math.sqrt(2)))).astype(x.dtype, copy=False)


def gelu_tanh(x: Array["..."]) -> Array["..."]:
    """``gelu`` as GPT-2 computes it: nearly the same curve, made of tanh.

    gelu_tanh(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))

    PyTorch: ``torch.nn.functional.gelu(x, approximate="tanh")``; "gelu_new" in transformers.
    Source: ``gelu`` in https://github.com/openai/gpt-2/blob/master/src/model.py

    >>> gelu_tanh(np.array([-2.0, -1.0, 0.0, 1.0, 2.0])).round(7).tolist()
    [-0.0454023, -0.158808, 0.0, 0.841192, 1.9545977]
    """
    bent = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    return 0.5 * x * (1 + bent)
