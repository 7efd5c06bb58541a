"""What the exercise of lesson 14 asks for, and inputs to try it on: gradients, and steps."""

import numpy as np

from llama_np.axes import Array
from llama_np.functional import softmax

from .inputs import sizes, whole


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


def gradient_and_rows(rng, case):
    """Three different sizes, then one row, then as many rows as columns on both sides."""
    rows, wide, dim = ((1, 4, 3), (4, 4, 4))[case - 1] if case else sizes(rng, 3)
    return rng.standard_normal((rows, wide)), rng.standard_normal((rows, dim))


def one_row_to_step(rng, case):
    dim, vocab_size = (5, 5) if case == 2 else sizes(rng, 2)
    output = rng.standard_normal((dim, vocab_size)) / 2
    return rng.standard_normal(dim), output, whole(rng, 0, vocab_size), float(rng.uniform(0.1, 2))


def gradients_in_time(rng, case):
    """Of several steps, or of a single one; the columns are of different size."""
    n, dim = (1 if case == 1 else whole(rng, 3, 7)), whole(rng, 3, 7)
    return rng.standard_normal((n, dim)) * 10.0 ** rng.uniform(-1, 1, dim)


def gradients_and_keep(rng, case):
    return gradients_in_time(rng, case), float(rng.uniform(0.5, 0.9))


def weights_and_gradients(rng, case):
    gradients = gradients_in_time(rng, case)
    return rng.standard_normal(gradients.shape[1]), gradients, float(rng.uniform(0.1, 0.5))
