"""Pictures of matrices: axis names, tokens as labels, a colour bar. The only user of matplotlib.

Each function draws one figure and returns nothing, so that the last line of a notebook cell can be
a picture. Signed numbers are drawn from blue (negative) over white (zero) to red (positive);
weights that are never negative, from white to dark blue; minus infinity is grey.

A translated lesson hands its words over in a JSON file, {English: translated}, that the environment
variable LLAMA_LABELS names; ``{}`` in a label is what the lesson fills in, a block's number say.
"""

import json
import os
import re
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

INK, QUIET, LIT, PALE = "#222222", "#8a8a8a", "#d9480f", "#eef1f4"
MOST_LABELS = 48  # beyond this, labels would run into one another
LONGEST_LABEL = 24  # characters; some tokens are eighty spaces or equal signs
TOKEN = {"family": "monospace", "parse_math": False}  # a $ in a token is no formula
_file = os.environ.get("LLAMA_LABELS")
LABELS: dict[str, str] = json.loads(Path(_file).read_text(encoding="utf-8")) if _file else {}
asked: dict[str, str | None] = {}  # each text of a translated lesson's pictures: the label it met


def translated(text: str) -> str:
    """What ``LABELS`` has for a text of a picture, or the text itself."""
    asked[text] = None
    for english, other in LABELS.items():
        if found := re.fullmatch(re.escape(english).replace(r"\{\}", "(.*)"), text):
            asked[text] = english
            for value in found.groups():
                other = other.replace("{}", value, 1)
            return other
    return text


def _show() -> None:
    """Show the figure that was drawn, its words translated; tokens, in monospace, stay."""
    if _file:
        for text in plt.gcf().findobj(Text):
            if "monospace" not in text.get_family():
                text.set_text(translated(text.get_text()))
    with warnings.catch_warnings():
        # A token in a script that the font lacks becomes an empty box; the rest can be read.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        plt.show()


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
    figure, grid = plt.subplots(
        down, across, squeeze=False, layout="constrained",
        figsize=(width, down * (max(height, 0.9) + label_room + 0.55)),
    )  # fmt: skip
    for i, (title, array) in enumerate(arrays.items()):
        place = grid.flat[i]
        _matrix(place, array, limit)
        place.set_title(title, loc="left", fontsize=9, color=INK)
        place.set_ylabel(axes[0] if i % across == 0 else "")
        place.set_xlabel(axes[1])
        _labels(place.yaxis, rows if i % across == 0 else None, n_rows)
        _labels(place.xaxis, columns, n_columns, rotation=90)
        if rows is not None and i % across:
            place.set_yticks([])
    for empty in grid.flat[len(arrays) :]:
        empty.axis("off")
    _show()


def _matrix(place: Axes, array: np.ndarray, limit: float | None) -> None:
    finite = array[np.isfinite(array)]
    signed = finite.min() < 0
    limit = limit or float(np.abs(finite).max()) or 1.0
    colours = plt.get_cmap("RdBu_r" if signed else "Blues").with_extremes(bad="#d5d5d5")
    shown = np.ma.masked_invalid(array)
    image = place.imshow(
        shown, cmap=colours, vmin=-limit if signed else 0, vmax=limit,
        aspect="auto", interpolation="nearest",
    )  # fmt: skip
    bar = place.figure.colorbar(image, ax=place, pad=0.02, fraction=0.05)
    bar.ax.tick_params(labelsize=7, color=QUIET)
    bar.outline.set_visible(False)
    place.spines[:].set_visible(False)
    place.tick_params(labelsize=8, color=QUIET)


def _labels(axis, labels: Sequence[str] | None, n: int, **style) -> None:
    if labels is not None and n <= MOST_LABELS:
        axis.set_ticks(range(n), _short(labels), **{"fontsize": 8} | TOKEN | style)


def _short(labels: Sequence[str]) -> list[str]:
    return [t if len(t) <= LONGEST_LABEL else t[: LONGEST_LABEL - 1] + "…" for t in labels]


def to_scale(arrays: Mapping[str, np.ndarray], axes: Sequence[tuple[str, str]]) -> None:
    """Draw matrices side by side, each number equally large, so that their sizes compare.

    ``axes`` names for each what counts down and across. Each has colours of its own, from blue
    (negative) to red.
    """
    gap = 0.09 * sum(array.shape[1] for array in arrays.values())
    figure, place = plt.subplots(figsize=(9, 3.0), layout="constrained")
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
    _show()


def bars(
    values: np.ndarray, labels: Sequence[str], axis: str, *, title: str = "", lit: int | None = None
) -> None:
    """Draw labelled numbers as horizontal bars, first on top; ``lit`` marks one."""
    figure, place = plt.subplots(figsize=(6.4, 0.26 * len(values) + 0.8), layout="constrained")
    colours = [LIT if i == lit else "#4c78a8" for i in range(len(values))]
    place.barh(range(len(values)), values, color=colours, height=0.72)
    _labels(place.yaxis, labels, len(values), fontsize=9)
    place.invert_yaxis()
    place.bar_label(place.containers[0], fmt="%.3f", padding=3, fontsize=8, color=QUIET)
    place.set_xlabel(axis)
    place.margins(x=0.12)
    place.set_title(title, loc="left", fontsize=10, color=INK)
    place.spines[["top", "right", "left"]].set_visible(False)
    place.tick_params(left=False)
    _show()


def curves(
    x: np.ndarray,
    lines: Mapping[str, np.ndarray],
    axes: tuple[str, str],
    *,
    title: str = "",
    log: str = "",
) -> None:
    """Draw one or more lines over ``x``; ``axes`` names what goes across and what goes up.

    ``log`` says which of the two count in powers of ten: "x", "y" or "xy".
    """
    figure, place = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
    for name, y in lines.items():
        place.plot(x, y, marker="o", markersize=2.5, linewidth=1.3, label=name)
    place.set(xlabel=axes[0], ylabel=axes[1], **{f"{axis}scale": "log" for axis in log})
    place.set_title(title, loc="left", fontsize=10, color=INK)
    place.spines[["top", "right"]].set_visible(False)
    place.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    if len(lines) > 1:
        place.legend(frameon=False, fontsize=8)
    _show()


def tokens(
    labels: Sequence[str], ids: Sequence[int | str], *, groups: Sequence[int] | None = None
) -> None:
    """Draw a text as the model gets it: a box for each token, with its id, or a word, below.

    ``groups`` gives each token a number from 0 to 3, and those of one group share a colour.
    Without it, neighbours differ.
    """
    labels = _short(labels)
    widths = [
        0.30 + 0.105 * max(len(label), len(str(i))) for label, i in zip(labels, ids, strict=True)
    ]
    lines, line, room = [], [], 9.0
    for item in zip(labels, ids, widths, groups or [None] * len(labels), strict=True):
        if room < item[2]:
            lines, line, room = [*lines, line], [], 9.0
        line.append(item)
        room -= item[2]
    lines.append(line)
    figure, place = plt.subplots(figsize=(9, 0.78 * len(lines)), layout="constrained")
    shades = ["#dbe9f6", "#fde3d0", "#dff0d8", "#eadcf2"]
    for row, line in enumerate(lines):
        left = 0.0
        for column, (label, token_id, width, group) in enumerate(line):
            shade = shades[(row + column) % 4 if group is None else group]
            _box(place, left + 0.03, -row, width - 0.06, 0.46, shade)
            middle = left + width / 2
            place.text(middle, -row + 0.23, label, ha="center", va="center", **TOKEN)
            font = TOKEN if isinstance(token_id, str) else {}
            place.text(
                middle, -row - 0.17, token_id, ha="center", va="center", color=QUIET, fontsize=8,
                **font,
            )  # fmt: skip
            left += width
    place.set(xlim=(0, 9), ylim=(-len(lines) + 0.65, 0.55))
    place.axis("off")
    _show()


def _box(place: Axes, x: float, y: float, width: float, height: float, colour: str, edge="none"):
    place.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=colour,
            edgecolor=edge,
            linewidth=1.4,
        )  # fmt: skip
    )


def model_map(n_layers: int, lit: Sequence[str] = ()) -> None:
    """Draw the whole model as one line, left to right; the parts named in ``lit`` stand out.

    Parts: ids, embedding, attn_norm, attention, ffn_norm, feed_forward, norm, output, next.
    """
    figure, place = plt.subplots(figsize=(9, 2.3), layout="constrained")
    stream_y, branch_y = 0.35, 1.25

    def arrow(start, end, colour=QUIET):
        place.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle="-|>", mutation_scale=9, color=colour, linewidth=1.2
            )
        )

    def part(name, text, x, y, width=0.98):
        on = name in lit
        _box(
            place,
            x - width / 2,
            y - 0.24,
            width,
            0.48,
            "#ffe8dc" if on else PALE,
            LIT if on else "none",
        )
        place.text(x, y, text, ha="center", va="center", fontsize=8.5, color=LIT if on else INK)

    _box(place, 2.62, -0.12, 5.86, 1.82, "#f8f9fb", "#d5dae0")
    place.text(2.72, 1.78, f"one block, {n_layers} times", fontsize=8, color=QUIET, va="bottom")
    arrow((0.6, stream_y), (1.1, stream_y))
    arrow((2.05, stream_y), (8.85, stream_y), INK)
    part("ids", "token\nids", 0.35, stream_y, 0.62)
    part("embedding", "embedding", 1.58, stream_y)
    for left, norm, step, text in (
        (2.85, "attn_norm", "attention", "attention"),
        (5.75, "ffn_norm", "feed_forward", "feed-\nforward"),
    ):
        arrow((left, stream_y), (left + 0.30, branch_y - 0.02))
        part(norm, "norm", left + 0.65, branch_y, 0.72)
        arrow((left + 1.01, branch_y), (left + 1.27, branch_y))
        part(step, text, left + 1.76, branch_y)
        arrow((left + 2.25, branch_y - 0.02), (left + 2.52, stream_y + 0.12))
        place.text(
            left + 2.55, stream_y, "+", ha="center", va="center", fontsize=11, color=INK,
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": INK},
        )  # fmt: skip
    place.text(4.3, stream_y - 0.2, "residual stream", fontsize=8, color=QUIET, ha="center")
    part("norm", "norm", 9.22, stream_y, 0.72)
    arrow((9.6, stream_y), (9.82, stream_y))
    part("output", "output", 10.26, stream_y, 0.84)
    arrow((10.7, stream_y), (10.92, stream_y))
    part("next", "next\ntoken", 11.25, stream_y, 0.62)
    place.set(xlim=(0, 11.6), ylim=(-0.2, 2.0))
    place.axis("off")
    _show()


def splits(rows: Mapping[str, Sequence[str]], *, width: int = 60) -> None:
    """Draw one text cut in several ways: a line of boxes for each way, one below the other.

    The boxes are as wide as their text, so the same character stands in the same place in every
    line. A long text is broken before ``width`` characters, where all ways have a cut.

    Raises ValueError if the rows do not hold the same text.
    """
    if len({"".join(parts) for parts in rows.values()}) != 1:
        raise ValueError("expected the same text in every row, cut in different places")
    ends = [np.cumsum([len(part) for part in parts]).tolist() for parts in rows.values()]
    common, breaks = sorted(set.intersection(*map(set, ends))), [0]
    for cut, following in pairwise([*common, np.inf]):
        if following - breaks[-1] > width:
            breaks.append(cut)
    n_lines, step, name_room = len(breaks) - 1, len(rows) + 0.6, 1 + max(map(len, rows))
    width = max(width, *(end - start for start, end in pairwise(breaks)))
    figure, place = plt.subplots(
        figsize=(9, 0.3 * (n_lines * step - 0.6) + 0.1), layout="constrained"
    )
    shades = ["#dbe9f6", "#fde3d0", "#dff0d8", "#eadcf2"]
    for row, (name, parts) in enumerate(rows.items()):
        for line in range(n_lines):
            y = -row - line * step
            place.text(-0.6, y, name, ha="right", va="center", fontsize=8, color=QUIET)
        for i, (part, end) in enumerate(zip(parts, ends[row], strict=True)):
            line = bisect_left(breaks, end) - 1
            x, y = end - len(part) - breaks[line], -row - line * step
            _box(place, x + 0.06, y - 0.4, len(part) - 0.12, 0.8, shades[i % 4])
            middle = x + len(part) / 2
            place.text(middle, y, part, ha="center", va="center", **TOKEN, fontsize=9)
    place.set(xlim=(-name_room, width), ylim=(-(n_lines - 1) * step - len(rows) + 0.4, 0.6))
    place.axis("off")
    _show()


def head_sharing(variants: Mapping[str, tuple[int, int]]) -> None:
    """Draw which key-value head each query head reads, for variants such as {"ours": (8, 2)}."""
    figure, places = plt.subplots(
        1, len(variants), squeeze=False, figsize=(9, 1.9), layout="constrained"
    )
    shades = plt.get_cmap("tab10")
    for place, (title, (n_heads, n_kv_heads)) in zip(places.flat, variants.items(), strict=True):
        group = n_heads // n_kv_heads
        for head in range(n_heads):
            shared = head // group
            colour = shades(shared % 10)
            below = shared * group + (group - 1) / 2  # in the middle of its group
            place.plot([head, below], [1, 0], color=colour, linewidth=1.1, zorder=1)
            _box(place, head - 0.36, 0.85, 0.72, 0.3, "#dbe9f6", edge=colour)
            _box(place, below - 0.36, -0.15, 0.72, 0.3, colour)
        place.set_title(title, loc="left", fontsize=9, color=INK)
        place.set(xlim=(-0.7, n_heads - 0.3), ylim=(-0.3, 1.3))
        place.set_xticks([])
        place.set_yticks([])
        if place is places[0, 0]:
            for height, name in enumerate(("keys, values", "queries")):
                place.text(-0.8, height, name, ha="right", va="center", fontsize=8)
        place.spines[:].set_visible(False)
        place.tick_params(left=False, labelsize=8)
    _show()


def arrows(
    points: Mapping[str, np.ndarray],
    labels: Sequence[object],
    axes: tuple[str, str] = ("first number", "second number"),
) -> None:
    """Draw points of the plane as arrows from the origin, a panel for each title.

    Each array has shape (points, 2) and ``labels`` names its rows. The first arrow is marked, later
    ones are darker; a label that would stand on another is left out.
    """
    across = len(points)
    side = 3.2 if across == 1 else min(3.2, 9 / across)
    figure, places = plt.subplots(
        1, across, squeeze=False, figsize=(side * across, side + 0.35), layout="constrained"
    )
    for place, (title, rows) in zip(places.flat, points.items(), strict=True):
        reach = 1.35 * float(np.linalg.norm(rows, axis=1).max()) or 1.0
        shades = plt.get_cmap("Blues")(np.linspace(0.45, 1.0, len(rows)))
        named: list[np.ndarray] = []
        for n, (tip, label) in enumerate(zip(rows, labels, strict=True)):
            colour = shades[n] if n else LIT
            place.annotate(
                "", tip, (0, 0), zorder=4 if n == 0 else 3,
                arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
            if all(np.linalg.norm(tip - other) > 0.13 * reach for other in named):
                place.text(*(1.14 * tip), label, ha="center", va="center", fontsize=8, color=colour)
                named.append(tip)
        place.add_patch(
            plt.Circle((0, 0), float(np.linalg.norm(rows[0])), fill=False, color="#d5dae0")
        )
        place.axhline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
        place.axvline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
        place.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel=axes[0])
        place.set_ylabel(axes[1] if place is places[0, 0] else "")
        place.set_title(title, loc="left", fontsize=9, color=INK)
        place.spines[:].set_visible(False)
        place.locator_params(nbins=4)
        place.tick_params(labelsize=7, color=QUIET)
    _show()


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
    figure, place = plt.subplots(figsize=(9, 0.25 * n_rows + 0.9), layout="constrained")
    _matrix(place, array, 1.0)
    _labels(place.yaxis, rows, n_rows)
    _labels(place.xaxis, columns, n_columns)
    for i, j in np.ndindex(n_rows, n_columns):
        colour = "white" if array[i, j] > 0.5 else INK
        word = words[i][j] if len(words[i][j]) <= 9 else words[i][j][:8] + "…"
        place.text(j, i, word, ha="center", va="center", fontsize=7, color=colour, **TOKEN)
        if marked is not None and marked[i, j]:
            _box(place, j - 0.47, i - 0.42, 0.94, 0.84, "none", LIT)
    place.set(xlabel=axes[1], ylabel=axes[0])
    place.tick_params(length=0)
    place.set_title(title, loc="left", fontsize=10, color=INK)
    _show()


def bar_panels(
    panels: Mapping[str, np.ndarray], labels: Sequence[str], axis: str, *, across: int = 4
) -> None:
    """Draw the same labelled numbers several times on one scale, each time under its own title."""
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    figure, grid = plt.subplots(
        down, across, squeeze=False, sharex=True, sharey=True, layout="constrained",
        figsize=(9, down * (0.2 * len(labels) + 0.9)),
    )  # fmt: skip
    for place, (title, values) in zip(grid.flat, panels.items(), strict=False):
        place.barh(range(len(values)), values, color="#4c78a8", height=0.72)
        place.set_title(title, loc="left", fontsize=9, color=INK)
        _labels(place.yaxis, labels, len(labels))
        place.tick_params(left=False, labelsize=8)
        place.grid(axis="x", color="#e5e5e5", linewidth=0.7)
        place.set_axisbelow(True)
        place.spines[["top", "right", "left"]].set_visible(False)
    grid.flat[0].invert_yaxis()
    for place in grid[-1]:
        place.set_xlabel(axis, fontsize=8)
    for empty in grid.flat[len(panels) :]:
        empty.axis("off")
    _show()


def points(
    x: np.ndarray, groups: Mapping[str, np.ndarray], axes: tuple[str, str], *, title: str = ""
) -> None:
    """Draw one or more sets of points over the same ``x``, one colour each; the last is marked."""
    figure, place = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
    for n, (name, y) in enumerate(groups.items(), 1):
        colour = LIT if n == len(groups) else plt.get_cmap("tab10")(n - 1)
        place.scatter(x, y, s=9, color=colour, linewidths=0, alpha=0.75, label=name)
    place.axhline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
    place.axvline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
    place.set(xlabel=axes[0], ylabel=axes[1])
    place.set_title(title, loc="left", fontsize=10, color=INK)
    place.spines[["top", "right"]].set_visible(False)
    if len(groups) > 1:
        place.legend(frameon=False, fontsize=8)
    _show()


def regions(
    panels: Mapping[str, np.ndarray],
    points: np.ndarray,
    groups: np.ndarray,
    reach: float,
    axes: tuple[str, str] = ("first input", "second input"),
) -> None:
    """Draw numbers from 0 to 1 over the square from -reach to reach, and points of two groups.

    Each panel has the shape (second axis, first axis), from low to high.
    """
    figure, places = plt.subplots(
        1, len(panels), squeeze=False, figsize=(3.1 * len(panels) + 0.5, 3.2), layout="constrained"
    )
    for place, (title, surface) in zip(places.flat, panels.items(), strict=True):
        image = place.imshow(
            surface, cmap="RdBu_r", vmin=-0.4, vmax=1.4, origin="lower", extent=[-reach, reach] * 2
        )
        for group, colour in ((0, "#2166ac"), (1, "#b2182b")):
            x, y = points[groups == group].T
            place.scatter(x, y, s=11, color=colour, edgecolors="white", linewidths=0.5)
        place.set_title(title, loc="left", fontsize=9, color=INK)
        place.set(xlabel=axes[0], ylabel=axes[1] if place is places[0, 0] else "")
        place.spines[:].set_visible(False)
        place.locator_params(nbins=4)
        place.tick_params(labelsize=7, color=QUIET)
    bar = figure.colorbar(image, ax=places, pad=0.02, fraction=0.05)
    bar.ax.set_ylim(0, 1)  # the ends of the colours are left to the points
    bar.ax.tick_params(labelsize=7, color=QUIET)
    bar.outline.set_visible(False)
    _show()


def computation(nodes: Sequence, edges: Sequence[tuple], *, title: str = "") -> None:
    """Draw the tensors that ``autodiff.graph`` lists: name, value and, once it is there, gradient.

    The result stands at the right. Of an array the shape is drawn in the place of its value.
    """
    where = _left_to_right(nodes, edges)
    above = 0.7 if any(where[b][0] - where[a][0] > 1 for a, b in edges) else 0.45
    (left, low), (right, high) = np.min([*where.values()], 0), np.max([*where.values()], 0)
    figure, place = plt.subplots(
        figsize=(min(9, 1.1 * (right - left + 1)), 0.95 * (high - low + above) + 0.75),
        layout="constrained",
    )
    for n, (parent, child) in enumerate(edges):
        (x, y), (to_x, to_y) = where[parent], where[child]
        over = 0.36 if to_x - x > 1 else 0  # over the boxes between: from top to top
        aside, bend = (0, -0.3) if over else (0.38, 0)
        if edges.count((parent, child)) > 1:  # what goes in twice has two arrows
            bend = 0.3 if (parent, child) in edges[:n] else -0.3
        place.add_patch(
            FancyArrowPatch(
                (x + aside, y + over), (to_x - aside, to_y + over), arrowstyle="-|>",
                mutation_scale=9, color=QUIET, shrinkA=0, shrinkB=0,
                connectionstyle=f"arc3,rad={bend}",
            )
        )  # fmt: skip
    for node, (x, y) in where.items():
        _box(place, x - 0.38, y - 0.36, 0.76, 0.72, PALE if node.parents else "#dbe9f6")
        lines = [(0.22, node.name, INK, TOKEN), (0, _brief(node.value), INK, {})]
        if node.grad is not None:
            lines.append((-0.21, _brief(node.grad), LIT, {}))
        for up, text, colour, font in lines:
            place.text(x, y + up, text, ha="center", va="center", fontsize=8, color=colour, **font)
    place.set(xlim=(left - 0.5, right + 0.5), ylim=(low - 0.45, high + above))
    place.axis("off")
    place.set_title(title, loc="left", fontsize=9, color=INK)
    _show()


def _brief(array: np.ndarray) -> str:
    return f"{array.item():.4f}" if array.size == 1 else str(array.shape)


def _left_to_right(nodes: Sequence, edges: Sequence[tuple]) -> dict:
    """A place for each node: one column before the first that needs it, beside those that do."""
    column, where = dict.fromkeys(nodes, 0), {}
    for parent, child in reversed(edges):  # later children come first
        column[parent] = min(column[parent], column[child] - 1)
    for each in range(0, min(column.values()) - 1, -1):
        wish = {
            node: np.mean([where[b][1] for a, b in edges if a is node] or [0])
            for node in nodes
            if column[node] == each
        }
        top = np.mean([*wish.values()]) + (len(wish) - 1) / 2
        for i, node in enumerate(sorted(wish, key=wish.get, reverse=True)):
            where[node] = (each, top - i)
    return where
