"""Matrices: axis names, tokens as labels, a colour bar.

Signed numbers are drawn from blue (negative) over white (zero) to red (positive), weights and
probabilities from white to dark blue: by what they are, whatever they hold. What is not finite
(minus infinity, NaN for what was dropped) is grey.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from .base import (
    FAINT,
    INK,
    LIT,
    QUIET,
    SIGNED,
    TOKEN,
    WEIGHTS,
    WIDTH,
    box,
    canvas,
    colour_bar,
    draw_colours,
    finish,
    heading,
    ink_on,
    label_ticks,
    palette,
    shading,
    short,
    subplots,
    write,
)
from .words import say

NAMED_WEIGHTS = {"pattern", "patterns", "mask", "probability", "probabilities", "share", "shares"}
MOST_CELLS = 10  # numbers of a row that ``one_cell`` writes


def matrix(
    array: np.ndarray,
    axes: tuple[str, str],
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    title: str = "",
    limit: float | None = None,
    quantity: str | None = None,
) -> None:
    """Draw one matrix; ``axes`` names what counts down and across, ``limit`` ends the colours.

    ``quantity`` is "signed" or "weights", see ``matrices``.
    """
    matrices({title: array}, axes, rows=rows, columns=columns, limit=limit, quantity=quantity)


def matrices(
    arrays: Mapping[str, np.ndarray],
    axes: tuple[str, str],
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    limit: float | None = None,
    across: int = 4,
    quantity: str | None = None,
) -> None:
    """Draw several matrices with the same axes, each under its title, up to ``across`` in a row.

    ``quantity`` chooses the colours of all: "signed" (scores, activations, differences) or
    "weights" (of attention, and what else is never negative: probabilities, shares, masks). Left
    out, a title that begins with one of ``NAMED_WEIGHTS`` means weights, and so does a head with
    queries down and keys across; any other means signed numbers. What the arrays hold changes
    nothing. Weights share one scale; signed numbers have one each, unless ``limit`` is given.
    Panels of one scale have one colour bar.
    """
    across = min(across, len(arrays))
    down = -(-len(arrays) // across)
    shape = next(iter(arrays.values())).shape
    figure, grid = subplots(
        down, across, squeeze=False,
        figsize=_size(down, across, shape, rows, columns),
    )  # fmt: skip
    kinds = {title: quantity or _quantity(title, axes) for title in arrays}
    size = _label_size(figure, across, shape) if rows is not None and columns is not None else 8.5
    limits, images = _limits(arrays, kinds, limit), []
    for i, (title, array) in enumerate(arrays.items()):
        place = grid.flat[i]
        images.append(draw_colours(place, array, kinds[title], limits[title]))
        heading(place, title, 9.5)
        lowest = i + across >= len(arrays)
        place.set_ylabel(axes[0] if i % across == 0 else "")
        place.set_xlabel(axes[1] if lowest else "")
        label_ticks(place.yaxis, rows if i % across == 0 else None, shape[0], fontsize=size)
        label_ticks(place.xaxis, columns, shape[1], rotation=90, fontsize=size)
        place.tick_params(labelbottom=lowest)
        if rows is not None and i % across:
            place.set_yticks([])
        _say_largest(title, array, rows, columns)
    for empty in grid.flat[len(arrays) :]:
        empty.axis("off")
    if len({(kinds[title], limits[title]) for title in arrays}) == 1:
        colour_bar(images[0], grid.ravel().tolist(), pad=0.02, fraction=0.05, aspect=25)
    else:
        for image in images:
            colour_bar(image, image.axes, pad=0.02, fraction=0.05)
    finish()


def _quantity(title: str, axes: tuple[str, str]) -> str:
    """What a matrix with this title holds, by the vocabulary of the course.

    >>> axes = "query T", "key S"
    >>> [_quantity(title, axes) for title in ("pattern", "d_pattern", "block 3, head 1")]
    ['weights', 'signed', 'weights']
    >>> _quantity("keys of head 1", ("K", "key S"))
    'signed'
    """
    words = re.findall(r"[\w-]+", title.lower())
    of_heads = "head" in words and axes[0].startswith("query") and axes[1].startswith("key")
    pattern = of_heads and not {"scores", "masked"} & {*words}
    return WEIGHTS if pattern or {*words[:1]} & NAMED_WEIGHTS else SIGNED


def _limits(
    arrays: Mapping[str, np.ndarray], kinds: Mapping[str, str], limit: float | None
) -> dict:
    """Where the colours of each matrix end: one number for all weights.

    Raises ValueError for weights below zero: their colours would say nothing.
    """
    most = {}
    for title, array in arrays.items():
        finite = array[np.isfinite(array)]
        if kinds[title] == WEIGHTS and (finite < 0).any():
            raise ValueError(f"{title}: weights are never negative; for these give 'signed'")
        most[title] = float(np.abs(finite).max(initial=0)) or 1.0
    weights = [most[title] for title in arrays if kinds[title] == WEIGHTS]
    return {
        title: limit or (max(weights) if kinds[title] == WEIGHTS else most[title])
        for title in arrays
    }


def _size(down: int, across: int, shape: tuple[int, int], rows, columns) -> tuple[float, float]:
    """Inches across and down for panels of a shape; cells are square where both axes have names."""
    n_rows, n_columns = shape
    square = rows is not None and columns is not None
    width = WIDTH if across > 1 or n_columns > 24 or not square else 4.8
    each = (width - (1.5 if square else 0.5)) / across
    height = (
        each * n_rows / n_columns if square else np.clip(each * 0.5, 0.15 * n_rows, 0.19 * n_rows)
    )
    label_room = 0.085 * max(map(len, short(columns))) if columns else 0.2
    return width, down * (max(height, 0.8) + 0.35) + label_room + 0.3


def _label_size(figure, across: int, shape: tuple[int, int]) -> float:
    """Points for names beside square cells, so that they stand clear of one another."""
    cell = (figure.get_figwidth() - 1.5) / across / max(shape)
    return float(np.clip(72 * 0.8 * cell, 6.5, 8.5))


def _say_largest(title: str, array: np.ndarray, rows, columns) -> None:
    """Name the largest cell of a matrix whose rows and columns have names."""
    if rows is None or columns is None or not np.isfinite(array).any():
        return
    i, j = np.unravel_index(
        np.nanargmax(np.where(np.isinf(array), np.nan, np.abs(array))), array.shape
    )
    say(f"{title} max {array[i, j]:.3g}: {rows[i]}, {columns[j]}".strip(), **TOKEN)


def to_scale(arrays: Mapping[str, np.ndarray], axes: Sequence[tuple[str, str]]) -> None:
    """Draw matrices side by side, each number equally large, so that their sizes compare.

    ``axes`` names for each what counts down and across. Each has colours of its own, from blue
    (negative) to red.
    """
    gap = 0.09 * sum(array.shape[1] for array in arrays.values())
    _, place = subplots(figsize=(WIDTH, 2.6))
    x, lowest = 0.0, max(array.shape[0] for array in arrays.values())
    for (title, array), (down, across) in zip(arrays.items(), axes, strict=True):
        n_rows, n_columns = array.shape
        place.imshow(
            array, interpolation="nearest", extent=(x, x + n_columns, -n_rows, 0),
            **shading(SIGNED, float(np.abs(array).max()) or 1.0),
        )  # fmt: skip
        place.text(x, gap / 4, title, fontsize=10, color=INK)
        place.text(
            x - gap / 8, -n_rows / 2, down, fontsize=8.5, color=QUIET, ha="right", va="center"
        )
        place.text(
            x + n_columns / 2, -n_rows - gap / 8, across, fontsize=8.5, color=QUIET,
            ha="center", va="top",
        )  # fmt: skip
        x += n_columns + gap
    place.set(xlim=(-gap / 2, x - gap), ylim=(-lowest - gap / 2, 0.7 * gap))
    place.axis("off")
    finish()


def written(
    array: np.ndarray,
    words: Sequence[Sequence[str]],
    axes: tuple[str, str],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    marked: np.ndarray | None = None,
    title: str = "",
    limit: float = 1.0,
    quantity: str = WEIGHTS,
) -> None:
    """Draw numbers as a matrix with a word in each cell; ``marked`` ones are framed.

    ``quantity`` is "signed" or "weights", see ``matrices``, and ``limit`` ends the colours.
    """
    n_rows, n_columns = array.shape
    _, place = subplots(figsize=(WIDTH, 0.25 * n_rows + 0.9))
    image = draw_colours(place, array, quantity, limit)
    colour_bar(image, place, pad=0.02, fraction=0.05)
    label_ticks(place.yaxis, rows, n_rows)
    label_ticks(place.xaxis, columns, n_columns)
    most = max(3, int(62 / n_columns))  # characters that fit into a cell
    for i, j in np.ndindex(n_rows, n_columns):
        colour = ink_on(image.cmap(image.norm(array[i, j])))
        write(place, j, i, short([words[i][j]], most)[0], 8, colour, **TOKEN)
        if marked is not None and marked[i, j]:
            box(place, j - 0.47, i - 0.42, 0.94, 0.84, "none", LIT)
    place.set(xlabel=axes[1], ylabel=axes[0])
    place.tick_params(length=0)
    heading(place, title)
    finish()


def one_cell(
    left: np.ndarray,
    right: np.ndarray,
    row: int,
    column: int,
    *,
    names: tuple[str, str, str] = ("q", "k", "scores"),
    labels: Sequence[str] | None = None,
) -> None:
    """Open one cell of a product up: a row of ``left``, a row of ``right``, products and their sum.

    ``left`` is (T, K) and ``right`` (S, K): ``left @ right.T`` is (T, S), and its cell stands at
    ``row`` and ``column``. For ``x @ w`` give ``w.T``. ``labels`` names the rows of both.
    """
    a, b = left[row], right[column]
    shown = [*range(len(a))] if len(a) <= MOST_CELLS else [*range(MOST_CELLS - 2), len(a) - 1]
    place = canvas(WIDTH, 3.6)
    _three_matrices(place, left, right, row, column, names)
    lines = {names[0]: (a, row), names[1]: (b, column), "product": (a * b, None)}
    for down, (name, (numbers, at)) in enumerate(lines.items()):
        y = 1.25 - 0.42 * down
        label = short([labels[at]], 10)[0] if labels is not None and at is not None else ""
        write(place, 0.06, y, name, 9.5, ha="left")
        write(place, 0.66, y, label, 8.5, QUIET, ha="left", **TOKEN)
        limit = float(np.abs(numbers).max()) or 1.0
        for n, i in enumerate(shown):
            gap = 0.25 if len(shown) < len(a) and n == len(shown) - 1 else 0
            _cell(place, 1.62 + 0.46 * n + gap, y, numbers[i], limit)
            if gap:
                write(place, 1.62 + 0.46 * n, y, "…", 9, QUIET)
    write(place, 6.35, 0.41, "sum", 9.5, QUIET)
    _cell(place, 6.86, 0.41, a @ b, float(np.abs(left @ right.T).max()) or 1.0, LIT)
    say(f"{names[2]} {row}, {column}: {a @ b:.2f}")
    finish()


def _three_matrices(place, left, right, row: int, column: int, names) -> None:
    """Both factors and the product, to scale, with the row, the column and the cell framed."""
    panels = [(names[0], left), (f"{names[1]}.T", right.T), (names[2], left @ right.T)]
    size = min(1.6 / max(len(left), right.shape[1]), 5.9 / sum(each.shape[1] for _, each in panels))
    frames = [(row, None), (None, column), (row, column)]
    x, middle = 0.2, 2.5
    for (name, array), (at_row, at_column), sign in zip(panels, frames, "@= ", strict=True):
        high, wide = (size * n for n in array.shape)
        top = middle + high / 2
        place.imshow(
            array, aspect="auto", interpolation="nearest", extent=(x, x + wide, top - high, top),
            **shading(SIGNED, float(np.abs(array).max()) or 1.0),
        )  # fmt: skip
        write(place, x + wide / 2, top + 0.14, name, 9.5)
        i, n_rows = (0, len(array)) if at_row is None else (at_row, 1)
        j, n_columns = (0, array.shape[1]) if at_column is None else (at_column, 1)
        corner = x + size * j, top - size * (i + n_rows)
        box(place, *corner, size * n_columns, size * n_rows, "none", INK, rounding=0)
        write(place, x + wide + 0.25, middle, sign, 11)
        x += wide + 0.5


def _cell(place, x: float, y: float, number: float, limit: float, edge: str = FAINT) -> None:
    """One number in a box as coloured as it is large."""
    shade = palette(SIGNED)(0.5 + 0.5 * number / limit)
    box(place, x - 0.22, y - 0.16, 0.44, 0.32, shade, edge)
    write(place, x, y, f"{number:.2f}" if abs(number) < 10 else f"{number:.3g}", 8.5, ink_on(shade))
