"""A scaling law: how the loss on new text falls with parameters and with tokens."""

from itertools import product
from typing import NamedTuple

import numpy as np

from llama_np.axes import Array

EXPONENTS = np.round(np.arange(0.05, 1.501, 0.01), 2)  # those that a fit tries


class Law(NamedTuple):
    """loss(N, D) = floor + A / N^alpha + B / D^beta, in nats per token.

    ``floor`` remains however large the model and the text are. Source: Hoffmann et al. 2022,
    https://arxiv.org/abs/2203.15556, equation 2.
    """

    floor: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters, tokens):
        """The loss that the law expects; numbers or arrays."""
        by_size = self.A / np.power(parameters, self.alpha)
        return self.floor + by_size + self.B / np.power(tokens, self.beta)


def fit(parameters: Array["R"], tokens: Array["R"], losses: Array["R"]) -> Law:
    """The law with the least squared error over R runs.

    For a given pair of exponents it is a sum of three known columns, so that the other three
    numbers follow from linear least squares; all pairs of ``EXPONENTS`` are tried. Floor, A and B
    must not be negative. Raises ``ValueError`` for fewer than five runs, or where no law fits.

    >>> true = Law(floor=1.5, A=30.0, alpha=0.3, B=200.0, beta=0.5)
    >>> N, D = np.meshgrid([1e4, 4e4, 1.6e5], [1e5, 1e6])
    >>> fit(N.ravel(), D.ravel(), true.loss(N, D).ravel()).alpha
    0.3
    """
    if len(losses) < 5:
        raise ValueError(f"a law of five numbers needs at least five runs, got {len(losses)}")
    best, least = None, np.inf
    for alpha, beta in product(EXPONENTS, EXPONENTS):
        columns = np.stack([np.ones(len(losses)), parameters**-alpha, tokens**-beta], axis=-1)
        scale = columns.max(axis=0)  # the columns are of very different size
        floor, A, B = np.linalg.lstsq(columns / scale, losses, rcond=None)[0] / scale
        law = Law(floor, A, alpha, B, beta)
        error = ((law.loss(parameters, tokens) - losses) ** 2).sum()
        if error < least and min(floor, A, B) > -1e-9:  # rounding
            best, least = law, error
    if best is None:
        raise ValueError("no law fits: the losses do not fall with parameters and tokens")
    return Law(*map(float, best))
