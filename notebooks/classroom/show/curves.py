"""Numbers over an axis or in the plane: bars, curves, points, arrows, regions."""

from collections.abc import Mapping, Sequence

import numpy as np

from .base import (
    BLUE,
    LIT,
    QUIET,
    circle,
    colour_bar,
    colours,
    finish,
    heading,
    label_ticks,
    subplots,
)  # fmt: skip


def bars(
    values: np.ndarray, labels: Sequence[str], axis: str, *, title: str = "", lit: int | None = None
) -> None:
    """Draw labelled numbers as horizontal bars, first on top; ``lit`` marks one."""
    _, place = subplots(figsize=(6.4, 0.26 * len(values) + 0.8))
    shades = [LIT if i == lit else BLUE for i in range(len(values))]
    place.barh(range(len(values)), values, color=shades, height=0.72)
    label_ticks(place.yaxis, labels, len(values), fontsize=9)
    place.invert_yaxis()
    place.bar_label(place.containers[0], fmt="%.3f", padding=3, fontsize=8, color=QUIET)
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
        figsize=(9, down * (0.2 * len(labels) + 0.9)),
    )  # fmt: skip
    for place, (title, values) in zip(grid.flat, panels.items(), strict=False):
        place.barh(range(len(values)), values, color=BLUE, height=0.72)
        heading(place, title, 9)
        label_ticks(place.yaxis, labels, len(labels))
        place.tick_params(left=False, labelsize=8)
        place.grid(axis="x", color="#e5e5e5", linewidth=0.7)
        place.set_axisbelow(True)
        place.spines[["top", "right", "left"]].set_visible(False)
    grid.flat[0].invert_yaxis()
    for place in grid[-1]:
        place.set_xlabel(axis, fontsize=8)
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

    ``log`` says which of the two count in powers of ten: "x", "y" or "xy".
    """
    _, place = subplots(figsize=(6.4, 3.0))
    for name, y in lines.items():
        place.plot(x, y, marker="o", markersize=2.5, linewidth=1.3, label=name)
    place.set(xlabel=axes[0], ylabel=axes[1], **{f"{axis}scale": "log" for axis in log})
    heading(place, title)
    place.spines[["top", "right"]].set_visible(False)
    place.grid(axis="y", color="#e5e5e5", linewidth=0.7)
    if len(lines) > 1:
        place.legend(frameon=False, fontsize=8)
    finish()


def points(
    x: np.ndarray, groups: Mapping[str, np.ndarray], axes: tuple[str, str], *, title: str = ""
) -> None:
    """Draw one or more sets of points over the same ``x``, one colour each; the last is marked."""
    _, place = subplots(figsize=(6.4, 3.0))
    for n, (name, y) in enumerate(groups.items(), 1):
        colour = LIT if n == len(groups) else colours("tab10")(n - 1)
        place.scatter(x, y, s=9, color=colour, linewidths=0, alpha=0.75, label=name)
    place.axhline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
    place.axvline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
    place.set(xlabel=axes[0], ylabel=axes[1])
    heading(place, title)
    place.spines[["top", "right"]].set_visible(False)
    if len(groups) > 1:
        place.legend(frameon=False, fontsize=8)
    finish()


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
    _, places = subplots(1, across, squeeze=False, figsize=(side * across, side + 0.35))
    for place, (title, rows) in zip(places.flat, points.items(), strict=True):
        reach = 1.35 * float(np.linalg.norm(rows, axis=1).max()) or 1.0
        shades = colours("Blues")(np.linspace(0.45, 1.0, len(rows)))
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
        circle(place, float(np.linalg.norm(rows[0])))
        place.axhline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
        place.axvline(0, color="#e5e5e5", linewidth=0.7, zorder=0)
        place.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel=axes[0])
        place.set_ylabel(axes[1] if place is places[0, 0] else "")
        heading(place, title, 9)
        place.spines[:].set_visible(False)
        place.locator_params(nbins=4)
        place.tick_params(labelsize=7, color=QUIET)
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
    _, places = subplots(1, len(panels), squeeze=False, figsize=(3.1 * len(panels) + 0.5, 3.2))
    for place, (title, surface) in zip(places.flat, panels.items(), strict=True):
        image = place.imshow(
            surface, cmap="RdBu_r", vmin=-0.4, vmax=1.4, origin="lower", extent=[-reach, reach] * 2
        )
        for group, colour in ((0, "#2166ac"), (1, "#b2182b")):
            x, y = points[groups == group].T
            place.scatter(x, y, s=11, color=colour, edgecolors="white", linewidths=0.5)
        heading(place, title, 9)
        place.set(xlabel=axes[0], ylabel=axes[1] if place is places[0, 0] else "")
        place.spines[:].set_visible(False)
        place.locator_params(nbins=4)
        place.tick_params(labelsize=7, color=QUIET)
    bar = colour_bar(image, places, pad=0.02, fraction=0.05)
    bar.ax.set_ylim(0, 1)  # the ends of the colours are left to the points
    finish()
