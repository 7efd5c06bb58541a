"""Numbers over an axis or in the plane: bars, curves, points, arrows, regions."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from .base import (
    BLUE,
    COLOURS,
    FAINT,
    INK,
    LIT,
    QUIET,
    TO_WRAP,
    TOKEN,
    WIDTH,
    WRAPPED,
    circle,
    colour_bar,
    colours,
    finish,
    heading,
    label_ticks,
    subplots,
)
from .words import say

SKY, GUIDE = "#7fa8d1", "#e5e5e5"  # bars that are not lit; lines to read numbers by
DASHES = ["-", (0, (5, 2.5)), (0, (1, 1.3)), (0, (6, 2, 1, 2)), (0, (2.5, 1.5))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def bars(
    values: np.ndarray, labels: Sequence[str], axis: str, *, title: str = "", lit: int | None = None
) -> None:
    """Draw labelled numbers as horizontal bars, first on top; ``lit`` marks one."""
    _, place = subplots(figsize=(6.4, 0.26 * len(values) + 0.8))
    shades = [LIT if i == lit else SKY for i in range(len(values))]
    place.barh(range(len(values)), values, color=shades, height=0.72)
    label_ticks(place.yaxis, labels, len(values), fontsize=9)
    place.invert_yaxis()
    place.bar_label(place.containers[0], fmt="%.3f", padding=3, fontsize=8.5, color=QUIET)
    place.set_xlabel(axis)
    place.margins(x=0.12)
    heading(place, title)
    place.spines[["top", "right", "left"]].set_visible(False)
    place.tick_params(left=False)
    finish()


def bar_panels(
    panels: Mapping[str, np.ndarray], labels: Sequence[str], axis: str, *, across: int = 4
) -> None:
    """Draw the same labelled numbers several times on one scale, each time under its own title."""
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    _, grid = subplots(
        down, across, squeeze=False, sharex=True, sharey=True,
        figsize=(WIDTH, down * (0.2 * len(labels) + 0.9)),
    )  # fmt: skip
    for place, (title, values) in zip(grid.flat, panels.items(), strict=False):
        place.barh(range(len(values)), values, color=SKY, height=0.72)
        heading(place, title, 9)
        label_ticks(place.yaxis, labels, len(labels))
        place.tick_params(left=False, labelsize=8.5)
        place.grid(axis="x", color=GUIDE, linewidth=0.7)
        place.set_axisbelow(True)
        place.spines[["top", "right", "left"]].set_visible(False)
        say(f"{title} max {np.max(values):.3g}: {labels[int(np.argmax(values))]}", **TOKEN)
    grid.flat[0].invert_yaxis()
    for place in grid[-1]:
        place.set_xlabel(axis, fontsize=9)
    for empty in grid.flat[len(panels) :]:
        empty.axis("off")
    finish()


def curves(
    x: np.ndarray,
    lines: Mapping[str, np.ndarray],
    axes: tuple[str, str],
    *,
    title: str = "",
    log: str = "",
) -> None:
    """Draw one or more lines over ``x``; ``axes`` names what goes across and what goes up.

    ``log`` says which of the two count in powers of ten: "x", "y" or "xy". Lines carry their names
    at their ends and differ in dash and marker, not in colour alone; the first is the broadest, so
    that it can be seen below one that covers it. An axis without a name is called as its lines.
    """
    _, place = subplots(figsize=(WIDTH, 3.0))
    for n, (name, y) in enumerate(lines.items()):
        every = max(1, len(x) // 10)
        place.plot(
            x, y, color=_turn(COLOURS, n), linestyle=_turn(DASHES, n),
            marker=_turn(MARKERS, n) if len(lines) > 1 else None,  # which would look like the data
            markersize=5, markevery=(n * every // len(lines), every),
            linewidth=1.4 + 2.0 * (len(lines) - 1 - n) / len(lines),
        )  # fmt: skip
        at = np.isfinite(y)
        if at.any():
            first, last = np.asarray(y)[at][[0, -1]]
            say(f"{name or axes[1] or title}: {first:.3g} → {last:.3g}", **TOKEN)
    named = ", ".join(filter(None, lines))
    place.set(xlabel=axes[0], ylabel=axes[1] or named, **{f"{axis}scale": "log" for axis in log})
    heading(place, title)
    place.spines[["top", "right"]].set_visible(False)
    place.grid(axis="y", color=GUIDE, linewidth=0.7)
    if len(lines) > 1:
        _name_ends(place, list(lines), [*map(_right_end, place.lines)])
    finish()


def _turn(choices: Sequence, n: int):
    """The n-th of some choices, beginning again where there are no more."""
    return choices[n % len(choices)]


def _name_ends(place, names: Sequence[str], ends: Sequence) -> None:
    """Write each line's name beside its end, in its colour, one clear of the other."""
    place.autoscale_view()  # the limits are to be known
    to_share = place.transData + place.transAxes.inverted()
    ends = np.array(ends)
    rooms = [0.08 * (1 + len(name) // WRAPPED) for name in names]
    heights = spread(to_share.transform(ends)[:, 1], rooms)
    for line, name, end, height in zip(place.lines, names, ends, heights, strict=True):
        place.annotate(
            name, end, xytext=(1.04, height), textcoords="axes fraction", fontsize=9, va="center",
            color=line.get_color(), parse_math=False, annotation_clip=False, gid=TO_WRAP,
            arrowprops={
                "arrowstyle": "-", "color": line.get_color(), "linewidth": 0.5, "relpos": (0, 0.5),
            },
        )  # fmt: skip


def _right_end(line) -> tuple[float, float]:
    """The point of a line, of those that are drawn, that lies furthest to the right."""
    x, y = (np.asarray(values, float) for values in line.get_data())
    drawn = np.flatnonzero(np.isfinite(y))
    last = drawn[x[drawn].argmax()] if drawn.size else -1
    return x[last], np.nan_to_num(y[last])


def spread(heights: np.ndarray, rooms: Sequence[float], top: float = 1.0) -> np.ndarray:
    """The heights of names moved apart, in their order, until each has its room.

    >>> spread(np.array([0.5, 0.0, 0.5]), [0.1, 0.1, 0.1])
    array([0.45, 0.  , 0.55])
    >>> spread(np.array([1.0, 0.9, 0.9]), [0.25, 0.25, 0.25])
    array([1.  , 0.5 , 0.75])
    """
    order = np.argsort(heights, kind="stable")
    up = -_pushed_down(-heights, order[::-1], rooms)
    middle = (up + _pushed_down(heights, order, rooms)) / 2  # in both each has its room
    return _pushed_down(np.minimum(middle, top), order, rooms)


def _pushed_down(heights: np.ndarray, order: np.ndarray, rooms: Sequence[float]) -> np.ndarray:
    """Each height as far below the next in ``order`` as their rooms ask for."""
    moved = np.array(heights, float)
    for above, below in pairwise(order[::-1]):
        moved[below] = min(moved[below], moved[above] - (rooms[below] + rooms[above]) / 2)
    return moved


def points(
    x: np.ndarray, groups: Mapping[str, np.ndarray], axes: tuple[str, str], *, title: str = ""
) -> None:
    """Draw one or more sets of points over the same ``x``, a marker for each; the last is lit."""
    _, place = subplots(figsize=(WIDTH, 3.2))
    for n, (name, y) in enumerate(groups.items(), 1):
        colour = LIT if n == len(groups) else _turn([BLUE, *COLOURS[2:]], n - 1)
        marker = _turn(MARKERS, n - 1)
        place.scatter(x, y, s=11, color=colour, marker=marker, linewidths=0, alpha=0.7, label=name)
    place.axhline(0, color=GUIDE, linewidth=0.7, zorder=0)
    place.axvline(0, color=GUIDE, linewidth=0.7, zorder=0)
    place.set(xlabel=axes[0], ylabel=axes[1] or ", ".join(groups))
    heading(place, title)
    place.spines[["top", "right"]].set_visible(False)
    if len(groups) > 1:
        place.legend(frameon=False, fontsize=9, markerscale=1.8)
    finish()


def paths(
    across: np.ndarray,
    up: np.ndarray,
    surface: np.ndarray,
    lines: Mapping[str, np.ndarray],
    axes: tuple[str, str],
    *,
    title: str = "",
) -> None:
    """Draw walks over a landscape: lines of equal height, and on them one or more paths.

    ``surface`` has the shape (up, across), and each path (steps, 2): where across, where up. The
    lines of equal height lie closer where it is steep; its lowest place is marked with a cross.
    """
    _, place = subplots(figsize=(WIDTH, 3.4))
    low, high = float(surface.min()), float(surface.max())
    levels = low + (high - low) * np.linspace(0, 1, 12)[1:] ** 2
    place.contour(across, up, surface, levels, colors=FAINT, linewidths=0.9, zorder=1)
    row, column = np.unravel_index(surface.argmin(), surface.shape)
    place.scatter(across[column], up[row], s=90, marker="+", color=INK, zorder=5, label="lowest")
    for n, (name, path) in enumerate(lines.items()):
        place.plot(
            *np.transpose(path), color=_turn(COLOURS, n), linestyle=_turn(DASHES, n),
            marker=_turn(MARKERS, n), markersize=3.5, linewidth=1.2, label=name,
        )  # fmt: skip
        where = " to ".join(f"({x:.2g}, {y:.2g})" for x, y in (path[0], path[-1]))
        say(f"{name}: {len(path) - 1} steps, {where}", **TOKEN)
    place.set(xlabel=axes[0], ylabel=axes[1], xlim=(across[0], across[-1]), ylim=(up[0], up[-1]))
    heading(place, title)
    place.spines[["top", "right"]].set_visible(False)
    place.figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    finish()


def tracks(
    lines: Mapping[str, np.ndarray],
    axes: tuple[str, str],
    *,
    title: str = "",
    root: bool = False,
    directed: bool = False,
) -> None:
    """Draw lines over numbers of their own, each of shape (points, 2): where across, where up.

    With ``root`` the axis across, from zero on, is drawn by the square root of its numbers, which
    opens its beginning up; ``directed`` lines have an arrowhead on each piece. Lines carry their
    names at their ends, as in ``curves``.
    """
    _, place = subplots(figsize=(WIDTH, 3.6))
    for n, (name, points) in enumerate(lines.items()):
        place.plot(
            *np.transpose(points), color=_turn(COLOURS, n), linestyle=_turn(DASHES, n),
            marker=_turn(MARKERS, n), markersize=5, linewidth=1.6, clip_on=False,
        )  # fmt: skip
        for begin, end in zip(points[:-1], points[1:], strict=True) if directed else ():
            style = {"arrowstyle": "-|>", "color": _turn(COLOURS, n), "mutation_scale": 14}
            place.annotate("", (np.asarray(begin) + end) / 2, begin, arrowprops=style)
        where = " → ".join(f"({x:.3g}, {y:.3g})" for x, y in (points[0], points[-1]))
        say(f"{name}: {where}", **TOKEN)
    if root:
        place.set_xscale("function", functions=(lambda x: np.sqrt(np.abs(x)), np.square))
        place.set_xlim(left=0)
    place.set(xlabel=axes[0], ylabel=axes[1])
    heading(place, title)
    place.spines[["top", "right"]].set_visible(False)
    place.grid(axis="y", color=GUIDE, linewidth=0.7)
    _name_ends(place, list(lines), [points[-1] for points in lines.values()])
    finish()


def arrows(
    points: Mapping[str, np.ndarray],
    labels: Sequence[object],
    axes: tuple[str, str] = ("first number", "second number"),
) -> None:
    """Draw points of the plane as arrows from the origin, a panel for each title.

    Each array has shape (points, 2) and ``labels`` names its rows. The first arrow is marked, later
    ones are darker; a label that would stand on another is left out. All panels have one scale, and
    where all arrows of one are as long there is a circle through their tips.
    """
    across = len(points)
    reach = 1.35 * max(float(np.linalg.norm(r, axis=1).max()) for r in points.values()) or 1.0
    side = min(3.2, WIDTH / across)
    _, places = subplots(1, across, squeeze=False, figsize=(side * across, side + 0.35))
    for place, (title, rows) in zip(places.flat, points.items(), strict=True):
        shades = colours("Blues")(np.linspace(0.55, 1.0, len(rows)))
        named: list[np.ndarray] = []
        for n, (tip, label) in enumerate(zip(rows, labels, strict=True)):
            colour, ink = (shades[n], INK) if n else (LIT, LIT)
            place.annotate(
                "", tip, (0, 0), zorder=4 if n == 0 else 3,
                arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
            if all(np.linalg.norm(tip - other) > 0.13 * reach for other in named):
                place.text(*(1.14 * tip), label, ha="center", va="center", fontsize=8.5, color=ink)
                named.append(tip)
        length = np.linalg.norm(rows, axis=1)
        if np.ptp(length) < 0.01 * reach:
            circle(place, float(length[0]))
        place.axhline(0, color=GUIDE, linewidth=0.7, zorder=0)
        place.axvline(0, color=GUIDE, linewidth=0.7, zorder=0)
        place.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel=axes[0])
        place.set_ylabel(axes[1] if place is places[0, 0] else "")
        heading(place, title, 9)
        place.spines[:].set_visible(False)
        place.locator_params(nbins=4)
        place.tick_params(labelsize=8, color=QUIET)
    finish()


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
    _, places = subplots(
        1, len(panels), squeeze=False, figsize=(min(WIDTH, 3.1 * len(panels) + 0.5), 3.0)
    )
    for place, (title, surface) in zip(places.flat, panels.items(), strict=True):
        image = place.imshow(
            surface, cmap="RdBu_r", vmin=-0.4, vmax=1.4, origin="lower", extent=[-reach, reach] * 2
        )
        for group, colour, marker in ((0, "#2166ac", "o"), (1, "#b2182b", "^")):
            x, y = points[groups == group].T
            place.scatter(
                x, y, s=13, color=colour, marker=marker, edgecolors="white", linewidths=0.5
            )
        heading(place, title, 9)
        place.set(xlabel=axes[0], ylabel=axes[1] if place is places[0, 0] else "")
        place.spines[:].set_visible(False)
        place.locator_params(nbins=4)
        place.tick_params(labelsize=8, color=QUIET)
    bar = colour_bar(image, places, pad=0.02, fraction=0.05)
    bar.ax.set_ylim(0, 1)  # the ends of the colours are left to the points
    finish()
