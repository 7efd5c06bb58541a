"""What the exercise of lesson 13 asks for, and inputs to try it on: the parts of GPT-2."""

from llama_np.axes import Array
from llama_np.functional import gelu_tanh

from .inputs import cases, norm, whole


def gelu_feed_forward(
    x: Array["T D"],
    w_up: Array["D F"],
    b_up: Array["F"],
    w_down: Array["F D"],
    b_down: Array["D"],
) -> Array["T D"]:
    return gelu_tanh(x @ w_up + b_up) @ w_down + b_down


def add_positions(rows: Array["T D"], table: Array["C D"], past: int) -> Array["T D"]:
    return rows + table[past : past + len(rows)]


def pool_heads(w: Array["D Hq*K"], head_dim: int, n_kv_heads: int) -> Array["D Hkv*K"]:
    heads = w.reshape(len(w), n_kv_heads, -1, head_dim)  # D Hkv G K
    return heads.mean(axis=2).reshape(len(w), -1)


def norm_with_shift(rng, case):
    """The rows of the exercise on RMSNorm, far from 0 in the middle, and a large shift."""
    x, weight, eps = norm(rng, case)
    return x, weight, 4 * rng.standard_normal(x.shape[-1]), eps or 1.0  # one column: 0 by 0


norm_with_shift.cases = norm.cases


@cases(8)
def two_layers(rng, case):
    """All sizes apart; one row; all sizes the same; narrow and wide streams, one unit and many."""
    rows, dim, wide = (
        (4, 5, 7), (3, 8, 6), (1, 4, 9), (5, 5, 5), (6, 3, 10), (10, 1, 2), (3, 9, 1), (2, 12, 3)
    )[case]  # fmt: skip
    shapes = (rows, dim), (dim, wide), (wide,), (wide, dim), (dim,)
    return tuple(rng.standard_normal(shape) for shape in shapes)


@cases(9)
def rows_and_places(rng, case):
    """From the beginning, further on, up to the last place, a single row or place; squares."""
    rows, dim, places, past = (
        (4, 5, 9, 0), (3, 4, 12, whole(rng, 2, 6)), (5, 6, 5, 0), (1, 7, 8, whole(rng, 2, 7)),
        (6, 3, 16, 10), (2, 9, 11, 1), (5, 5, 8, 2), (10, 30, 30, 17), (1, 1, 1, 0),
    )[case]  # fmt: skip
    return rng.standard_normal((rows, dim)), 3 * rng.standard_normal((places, dim)), past


@cases(8)
def heads_to_pool(rng, case):
    """Groups of two, three and four heads; one group of all; groups of one; heads of width 1."""
    dim, group, n_kv_heads, width = (
        (5, 2, 3, 4), (7, 3, 2, 6), (6, 4, 1, 3), (20, 1, 5, 4), (3, 4, 3, 1), (9, 2, 2, 2),
        (1, 2, 17, 2), (40, 3, 2, 16),
    )[case]  # fmt: skip
    return rng.standard_normal((dim, group * n_kv_heads * width)), width, n_kv_heads
