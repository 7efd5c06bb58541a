"""The backward pass of the two parts of GPT-2 that Llama has not: LayerNorm and GELU.

Like ``backward.py``: ``d_x`` is how much the loss grows per unit of growth in ``x``.
"""

import math

import numpy as np

from ..axes import Array


def layer_norm_backward(
    d_out: Array["... D"], x: Array["... D"], weight: Array["D"], eps: float
) -> tuple[Array["... D"], Array["D"], Array["D"]]:
    """Back through ``layer_norm``; returns d_x, d_weight, d_shift.

    With r = 1 / sqrt(variance + eps) and n = (x - mean(x)) r, the normalised row:
    d_weight = sum over tokens of d_out n,  d_shift = sum over tokens of d_out,
    d_x = r (g - mean(g) - n mean(g n))  where g = d_out weight.
    What is taken away: moving a row up or stretching it changes nothing.

    PyTorch: what ``backward()`` makes of ``torch.nn.functional.layer_norm``.
    """
    centred = x - x.mean(axis=-1, keepdims=True)
    r = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    n = centred * r
    g = d_out * weight
    up, along = g.mean(axis=-1, keepdims=True), np.mean(g * n, axis=-1, keepdims=True)
    every_token = tuple(range(x.ndim - 1))
    return r * (g - up - n * along), (d_out * n).sum(every_token), d_out.sum(every_token)


def gelu_tanh_backward(d_out: Array["..."], x: Array["..."]) -> Array["..."]:
    """Back through ``gelu_tanh``.

    With t = tanh(u) and u = c (x + 0.044715 x^3), c = sqrt(2 / pi):
    d_x = d_out ((1 + t) / 2 + x / 2 (1 - t^2) c (1 + 3 * 0.044715 x^2))

    PyTorch: what ``backward()`` makes of ``torch.nn.functional.gelu(x, approximate="tanh")``.

    >>> gelu_tanh_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(7).tolist()
    [-0.0829641, 0.5, 1.0829641]
    """
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x * x * x))
    slope = c * (1 + 3 * 0.044715 * x * x)
    return d_out * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)
