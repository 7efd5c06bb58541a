"""What the exercise of lesson 17 asks for, and inputs to try it on: targets, thin matrices."""

import math

import numpy as np

from llama_np.axes import Array
from llama_np.training.lora import lora_linear_backward
from llama_np.training.loss import IGNORE

from .inputs import cases


def answer_targets(ids: Array["N"], given: int) -> Array["T"]:
    return np.where(np.arange(len(ids) - 1) >= given - 1, ids[1:], IGNORE)


def lora_start(noise: Array["in r"], n_out: int) -> tuple[Array["in r"], Array["r out"]]:
    n_in, rank = noise.shape
    return noise / math.sqrt(n_in), np.zeros((rank, n_out))


def lora_gradients(
    d_out: Array["T out"], x: Array["T in"], a: Array["in r"], b: Array["r out"], scale: float
) -> tuple[Array["in r"], Array["r out"]]:
    w = np.zeros((len(a), b.shape[1]))  # frozen: it has no part in what is asked for
    return lora_linear_backward(d_out, x, w, a, b, scale)[1:]


def merged(
    w: Array["in out"], a: Array["in r"], b: Array["r out"], scale: float
) -> Array["in out"]:
    return w + scale * (a @ b)


# Tokens in the dialog, and how many of them are given.
DIALOGS = ((12, 7), (9, 2), (7, 6), (2, 1), (15, 4), (20, 17))


@cases(len(DIALOGS))
def a_dialog(rng, case):
    """Short and long answers, one of a single token, a dialog of two; no id comes twice."""
    n, given = DIALOGS[case]
    ids = rng.permutation(60)[:n]
    if case in (1, 4):
        ids[given if case == 4 else 0] = 0  # an id like any other
    return ids, given


# Tokens, in, rank, out: none alike; in = out; rank = out; rank = in; all alike; a one each; many;
# and few rows at a wide matrix, where it shows in the memory whether one of its size was formed.
SIZES = ((5, 7, 2, 9), (4, 6, 3, 6), (6, 8, 3, 3), (5, 3, 3, 7), (4, 4, 4, 4), (1, 5, 1, 3),
         (3, 1, 2, 4), (9, 2, 3, 1), (2, 11, 9, 17), (2, 160, 1, 170))  # fmt: skip
SCALES = (2.0, 0.5, 1.6, 4.0, 0.3, 3.0, 0.02, 1.0, 2.5, 0.7)


def bytes_of_product(*arguments) -> int:
    """What the product of the thin matrices takes: the size of the frozen one."""
    *_, a, b, _ = arguments
    return len(a) * b.shape[1] * b.itemsize


@cases(len(SIZES))
def numbers_to_start(rng, case):
    _, n_in, rank, n_out = SIZES[case]
    return 3 * rng.standard_normal((n_in, rank)), n_out


@cases(len(SIZES))
def rows_beside(rng, case):
    tokens, n_in, rank, n_out = SIZES[case]
    shapes = (tokens, n_in), (n_in, n_out), (n_in, rank), (rank, n_out)
    return *(rng.standard_normal(shape) for shape in shapes), SCALES[case]


@cases(len(SIZES))
def behind_a_pair(rng, case):
    tokens, n_in, rank, n_out = SIZES[case]
    shapes = (tokens, n_out), (tokens, n_in), (n_in, rank), (rank, n_out)
    return *(rng.standard_normal(shape) for shape in shapes), SCALES[case]


@cases(len(SIZES))
def a_pair(rng, case):
    return rows_beside(rng, case)[1:]
