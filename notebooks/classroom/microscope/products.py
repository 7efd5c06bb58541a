"""Any cell of any product: its row, its column, their terms, and the line of code that made it."""

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import llama_np
from llama_np import attend, attention, forward, merge_heads, silu, swiglu
from llama_np.axes import Array
from llama_np.model import rotations_for
from weights_tools.load import Model

from .interventions import check
from .runs import Run, plain

WINDOW = 128  # columns of a matrix that are sent at once
MOST_TERMS = 64  # terms that are sent; of more, so many that weigh most and the sum of the others
HEAD, BLOCK, MODEL = "a head", "a block", "the model"  # what a product belongs to


class Cell(NamedTuple):
    """A place in a product: what its operands are cut out of."""

    model: Model
    seen: Run
    block: int
    head: int
    row: int
    column: int

    def of(self, name: str) -> np.ndarray:
        """An activation of the block."""
        return self.seen.trace[f"blocks.{self.block}.{name}"]

    @property
    def key_head(self) -> int:
        """The key-value head that the query head reads."""
        return self.head // self.model.config.group

    def weights(self, role: str, head: int = 0) -> Array["in"]:
        """The cell's column of a matrix of the block; of those with heads, in that head's part."""
        column = head * self.model.config.head_dim + self.column
        return column_of(getattr(self.model.weights.layers[self.block], role), column)

    def turn(self) -> Array["2"]:
        """What RoPE multiplies the cell's pair by."""
        rotation = rotations_for(self.model.config, np.array([self.row]), np.float32)[0]
        cos, sin = rotation[self.column // 2].real, rotation[self.column // 2].imag
        return np.array([sin, cos] if self.column % 2 else [cos, -sin])

    def pair(self, numbers: Array["K"]) -> Array["2"]:
        """The two neighbours that the cell's number is turned with."""
        start = self.column // 2 * 2
        return numbers[start : start + 2]


class Product(NamedTuple):
    """What makes an activation: ``operands`` are a row and a column of numbers.

    ``marker`` stands in the line of ``function`` that computes it; ``axes`` are written here where
    that line has no comment.
    """

    of: str
    function: Callable
    marker: str
    lesson: str
    row_is: str
    column_is: str
    operands: Callable[[Cell], tuple[np.ndarray, np.ndarray]]
    axes: str = ""


def column_of(matrix: Array["in out"], column: int) -> Array["in"]:
    """One column, from a matrix that may lie in a file."""
    return np.asarray(matrix[:, column : column + 1])[:, 0]


def fitting(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    query = cell.of("q_rotated")[cell.head, cell.row]
    return query / math.sqrt(query.size), cell.of("k_rotated")[cell.key_head, cell.column]


def weighing(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Softmax: each term is a weight of the row, and the cell is one of them."""
    masked = cell.of("masked")[cell.head, cell.row].astype(float)
    powers = np.exp(masked - masked.max())
    return powers, np.full_like(powers, 1 / powers.sum())


FOUR, FIVE, SEVEN = "04_single_head_attention", "05_rope", "07_multi_head"
EIGHT, TEN = "08_feed_forward", "10_logits"
STREAM, FFN_STREAM = "normalised stream of the token", "normalised stream after attention"
PRODUCTS = {
    "q": Product(HEAD, attention, 'tap("q",', FOUR, STREAM, "column of wq",
        lambda c: (c.of("attn_norm")[c.row], c.weights("wq", c.head))),
    "k": Product(HEAD, attention, 'tap("k",', FOUR, STREAM, "column of wk",
        lambda c: (c.of("attn_norm")[c.row], c.weights("wk", c.key_head))),
    "v": Product(HEAD, attention, 'tap("v",', FOUR, STREAM, "column of wv",
        lambda c: (c.of("attn_norm")[c.row], c.weights("wv", c.key_head)),
        "T D @ D Hkv*K -> Hkv T K"),
    "q_rotated": Product(HEAD, attention, 'tap("q_rotated",', FIVE, "pair of the query", "turn",
        lambda c: (c.pair(c.of("q")[c.head, c.row]), c.turn()), "Hq T K -> Hq T K"),
    "k_rotated": Product(HEAD, attention, 'tap("k_rotated",', FIVE, "pair of the key", "turn",
        lambda c: (c.pair(c.of("k")[c.key_head, c.row]), c.turn()), "Hkv T K -> Hkv T K"),
    "scores": Product(HEAD, attend, 'tap("scores",', FOUR, "query / √K", "key", fitting),
    "pattern": Product(HEAD, attend, 'tap("pattern",', FOUR, "exp(score − largest score)",
        "1 / sum of the row", weighing, "T S -> T S"),
    "mix": Product(HEAD, attend, 'tap("mix",', FOUR, "weights of the token", "number of each value",
        lambda c: (c.of("pattern")[c.head, c.row], c.of("v")[c.key_head, :, c.column])),
    "attn_out": Product(BLOCK, attention, 'tap("attn_out",', SEVEN, "mixes of all heads",
        "column of wo", lambda c: (merge_heads(c.of("mix"))[c.row], c.weights("wo"))),
    "gate": Product(BLOCK, swiglu, 'tap("gate",', EIGHT, FFN_STREAM, "column of w_gate",
        lambda c: (c.of("ffn_norm")[c.row], c.weights("w_gate"))),
    "up": Product(BLOCK, swiglu, 'tap("up",', EIGHT, FFN_STREAM, "column of w_up",
        lambda c: (c.of("ffn_norm")[c.row], c.weights("w_up"))),
    "hidden": Product(BLOCK, swiglu, "hidden *= up", EIGHT, "silu(gate)", "up",
        lambda c: (silu(c.of("gate")[c.row, c.column : c.column + 1]),
            c.of("up")[c.row, c.column : c.column + 1]), "T F * T F -> T F"),
    "down": Product(BLOCK, swiglu, 'tap("down",', EIGHT, "hidden row of the token",
        "column of w_down", lambda c: (c.of("hidden")[c.row], c.weights("w_down"))),
    "logits": Product(MODEL, forward, "linear(x, weights.output)", TEN,
        "stream after the last norm", "column of the output matrix",
        lambda c: (c.seen.trace["final_norm"][c.row], column_of(c.model.weights.output, c.column))),
}  # fmt: skip
LESSONS = frozenset(product.lesson for product in PRODUCTS.values())


def product_called(name: str) -> Product:
    """A product; ``ValueError`` where there is none of that name."""
    if name not in PRODUCTS:
        raise ValueError(f"there is no product {name[:40]!r}: choose {', '.join(PRODUCTS)}")
    return PRODUCTS[name]


def shown(model: Model, seen: Run, product: str, block: int, head: int) -> Array["T ..."]:
    """The matrix that a product makes; for scores, what the mask leaves of them.

    Raises ``ValueError`` where there is no such product, block or head.
    """
    made = product_called(product)
    check("block", block, model.config.n_layers)
    check("head", head, model.config.n_heads)
    if made.of == MODEL:
        return seen.trace[product]
    array = seen.trace[f"blocks.{block}.{'masked' if product == 'scores' else product}"]
    if made.of == BLOCK:
        return array
    return array[head if len(array) == model.config.n_heads else head // model.config.group]


def matrix(
    model: Model, seen: Run, product: str, block: int, head: int, first: int
) -> dict[str, Any]:
    """A product's numbers, ``WINDOW`` columns from ``first`` on; None is minus infinity.

    ``largest``: the largest magnitude in the whole matrix.
    """
    whole = shown(model, seen, product, block, head)
    check("first column", first, whole.shape[1])
    visible = np.isfinite(whole)
    return {
        "numbers": plain(whole[:, first : first + WINDOW], digits=4),
        "columns": whole.shape[1],
        "largest": plain(np.abs(whole[visible]).max(), digits=4),
    }


def cell(
    model: Model, seen: Run, product: str, block: int, head: int, row: int, column: int
) -> dict[str, Any]:
    """One cell of a product: row times column, term by term, their sum, and the line of code.

    ``value`` is what went on: another number where something was changed on the way. ``terms`` of
    many are the ``MOST_TERMS`` of largest magnitude, ``index`` says which, ``rest`` is the sum of
    the others.
    """
    whole = shown(model, seen, product, block, head)
    check("row", row, whole.shape[0])
    check("column", column, whole.shape[1])
    made = PRODUCTS[product]
    left, right = made.operands(Cell(model, seen, block, head, row, column))
    terms = left.astype(float) * right
    kept = np.sort(np.argsort(-np.abs(terms), kind="stable")[:MOST_TERMS])
    return {
        "row": plain(left[kept]),
        "column": plain(right[kept]),
        "terms": plain(terms[kept]),
        "index": kept.tolist(),
        "count": terms.size,
        "rest": plain(terms.sum() - terms[kept].sum()) if len(kept) < terms.size else 0,
        "sum": plain(terms.sum()),
        "value": plain(whole[row, column]),
        "row_is": made.row_is,
        "column_is": made.column_is,
        "lesson": made.lesson,
        **library_line(product),
    }


def library_line(product: str) -> dict[str, str]:
    """The line of the library that makes a product, its axes, and where it stands.

    >>> library_line("mix")["code"], library_line("mix")["axes"]
    ('return tap("mix", pattern @ v)', 'T S @ S K -> T K')
    """
    made = PRODUCTS[product]
    lines, start = inspect.getsourcelines(made.function)
    number, line = next((i, line) for i, line in enumerate(lines) if made.marker in line)
    code, _, axes = line.partition("#")
    file = Path(inspect.getsourcefile(inspect.unwrap(made.function)))
    where = file.relative_to(Path(llama_np.__file__).parents[1]).as_posix()
    return {
        "code": code.strip(),
        "axes": made.axes or axes.strip(),
        "where": f"{made.function.__name__} in {where}, line {start + number}",
    }
