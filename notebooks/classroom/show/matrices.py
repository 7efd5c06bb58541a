"""Matrices: axis names, tokens as labels, a colour bar.

Signed numbers are drawn from blue (negative) over white (zero) to red (positive); weights that are
never negative, from white to dark blue; minus infinity is grey.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from .base import INK, LIT, QUIET, TOKEN, box, draw_colours, finish, heading, label_ticks, subplots


def matrix(
    array: np.ndarray,
    axes: tuple[str, str],
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    title: str = "",
    limit: float | None = None,
) -> None:
    """Draw one matrix; ``axes`` names what counts down and across, ``limit`` ends the colours."""
    matrices({title: array}, axes, rows=rows, columns=columns, limit=limit)


def matrices(
    arrays: Mapping[str, np.ndarray],
    axes: tuple[str, str],
    *,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    limit: float | None = None,
    across: int = 4,
) -> None:
    """Draw several matrices with the same axes, each under its title, up to ``across`` in a row."""
    across = min(across, len(arrays))
    down = -(-len(arrays) // across)
    n_rows, n_columns = next(iter(arrays.values())).shape
    square = rows is not None and columns is not None
    width = 9.0 if across > 1 or n_columns > 24 or not square else 5.4
    each = width / across
    height = each * n_rows / n_columns if square else min(each * 0.5, 0.19 * n_rows)
    label_room = 0.07 * max(map(len, columns)) if columns else 0.3
    _, grid = subplots(
        down, across, squeeze=False,
        figsize=(width, down * (max(height, 0.9) + label_room + 0.55)),
    )  # fmt: skip
    for i, (title, array) in enumerate(arrays.items()):
        place = grid.flat[i]
        draw_colours(place, array, limit)
        heading(place, title, 9)
        place.set_ylabel(axes[0] if i % across == 0 else "")
        place.set_xlabel(axes[1])
        label_ticks(place.yaxis, rows if i % across == 0 else None, n_rows)
        label_ticks(place.xaxis, columns, n_columns, rotation=90)
        if rows is not None and i % across:
            place.set_yticks([])
    for empty in grid.flat[len(arrays) :]:
        empty.axis("off")
    finish()


def to_scale(arrays: Mapping[str, np.ndarray], axes: Sequence[tuple[str, str]]) -> None:
    """Draw matrices side by side, each number equally large, so that their sizes compare.

    ``axes`` names for each what counts down and across. Each has colours of its own, from blue
    (negative) to red.
    """
    gap = 0.09 * sum(array.shape[1] for array in arrays.values())
    _, place = subplots(figsize=(9, 3.0))
    x, lowest = 0.0, max(array.shape[0] for array in arrays.values())
    for (title, array), (down, across) in zip(arrays.items(), axes, strict=True):
        n_rows, n_columns = array.shape
        limit = float(np.abs(array).max()) or 1.0
        place.imshow(
            array, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest",
            extent=(x, x + n_columns, -n_rows, 0),
        )  # fmt: skip
        place.text(x, gap / 4, title, fontsize=10, color=INK)
        place.text(x - gap / 8, -n_rows / 2, down, fontsize=8, color=QUIET, ha="right", va="center")
        place.text(
            x + n_columns / 2, -n_rows - gap / 8, across, fontsize=8, color=QUIET,
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
) -> None:
    """Draw numbers from 0 to 1 as a matrix with a word in each cell; ``marked`` ones are framed."""
    n_rows, n_columns = array.shape
    _, place = subplots(figsize=(9, 0.25 * n_rows + 0.9))
    draw_colours(place, array, 1.0)
    label_ticks(place.yaxis, rows, n_rows)
    label_ticks(place.xaxis, columns, n_columns)
    for i, j in np.ndindex(n_rows, n_columns):
        colour = "white" if array[i, j] > 0.5 else INK
        word = words[i][j] if len(words[i][j]) <= 9 else words[i][j][:8] + "…"
        place.text(j, i, word, ha="center", va="center", fontsize=7, color=colour, **TOKEN)
        if marked is not None and marked[i, j]:
            box(place, j - 0.47, i - 0.42, 0.94, 0.84, "none", LIT)
    place.set(xlabel=axes[1], ylabel=axes[0])
    place.tick_params(length=0)
    heading(place, title)
    finish()
