"""What the exercise of lesson 14 asks for, and inputs to try it on: gradients, and steps."""

import numpy as np

from llama_np.axes import Array
from llama_np.functional import softmax

from .inputs import cases


def d_weight(d_out: Array["T V"], x: Array["T D"]) -> Array["D V"]:
    return x.T @ d_out


def descend(x: Array["D"], output: Array["D V"], target: int, rate: float) -> Array["D V"]:
    d_z = softmax(x @ output)
    d_z[target] -= 1
    return output - rate * np.outer(x, d_z)


def velocity(gradients: Array["N D"], keep: float) -> Array["D"]:
    return keep ** np.arange(len(gradients))[::-1] @ gradients


def adam(w: Array["D"], gradients: Array["N D"], rate: float) -> Array["D"]:
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g * g
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    return w


@cases(5)
def gradient_and_rows(rng, case):
    """Different sizes, one row, as many rows as columns on both sides, more rows than columns."""
    rows, wide, dim = ((5, 7, 9), (1, 4, 3), (4, 4, 4), (9, 3, 2), (3, 5, 6))[case]
    return rng.standard_normal((rows, wide)), 2 * rng.standard_normal((rows, dim))


@cases(6)
def one_row_to_step(rng, case):
    dim, vocab_size, target = ((4, 7, 3), (9, 6, 1), (5, 5, 0), (1, 4, 2), (3, 20, 17), (6, 3, 2))[
        case
    ]
    output = (2 if case == 5 else 0.5) * rng.standard_normal((dim, vocab_size))
    rate = (0.7, 1.6, 0.3, 1.0, 0.02, 0.5)[case]
    return (3 if case == 1 else 1) * rng.standard_normal(dim), output, target, rate


def gradients_in_time(rng, case):
    """Of several steps, or of a single one; the columns are of different size."""
    n, dim = ((4, 6), (1, 3), (5, 5), (11, 4), (6, 1), (3, 10))[case]
    return rng.standard_normal((n, dim)) * 10.0 ** rng.uniform(-1, 1, dim)


@cases(6)
def gradients_and_keep(rng, case):
    return gradients_in_time(rng, case), (0.9, 0.5, 0.8, 0.6, 0.02, 0.7)[case]


@cases(6)
def weights_and_gradients(rng, case):
    """The rates differ; a weight whose gradient is 0, or hardly more than what keeps it from 0/0"""
    gradients = gradients_in_time(rng, case)
    if case == 5:
        gradients[:, 0] = 0
        gradients[:, 1] *= 1e-9
    rate = (0.3, 0.2, 0.5, 1.5, 0.02, 1.0)[case]
    return 2 * rng.standard_normal(gradients.shape[1]), gradients, rate
