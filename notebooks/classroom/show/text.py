"""A text as the model gets it."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from .base import (
    BLUE,
    FAINT,
    LIT,
    QUIET,
    SHADES,
    TOKEN,
    WARM,
    WEIGHTS,
    WIDTH,
    arrow,
    box,
    canvas,
    curve,
    finish,
    ink_on,
    palette,
    short,
    subplots,
    write,
)
from .words import say

MOST_WRITTEN = 5  # weights that stand below their tokens


def tokens(
    labels: Sequence[str], ids: Sequence[int | str], *, groups: Sequence[int] | None = None
) -> None:
    """Draw a text as the model gets it: a box for each token, with its id, or a word, below.

    ``groups`` gives each token a number from 0 to 3, and those of one group share a colour.
    Without it, neighbours differ.
    """
    labels, below = short(labels), [str(each) for each in ids]
    groups = groups or [i % len(SHADES) for i in range(len(labels))]
    boxes, n_lines = _lines([max(pair, key=len) for pair in zip(labels, below, strict=True)])
    place = canvas(WIDTH, 0.78 * n_lines)
    for label, token_id, group, (line, x, width) in zip(labels, ids, groups, boxes, strict=True):
        y = 0.78 * (n_lines - line) - 0.3
        box(place, x - width / 2, y - 0.21, width, 0.42, SHADES[group])
        write(place, x, y, label, 9.5, **TOKEN)
        write(
            place, x, y - 0.34, token_id, 8.5, QUIET, **TOKEN if isinstance(token_id, str) else {}
        )
    finish()


def _lines(labels: Sequence[str]) -> tuple[list[tuple[int, float, float]], int]:
    """For each label the line, the middle and the width of its box; and how many lines there are.

    Lines are ``WIDTH`` inches wide, and a box has room for its label.
    """
    boxes, line, left = [], 0, 0.0
    for label in labels:
        width = 0.15 + 0.08 * len(label)
        if left and left + width > WIDTH:
            line, left = line + 1, 0.0
        boxes.append((line, left + width / 2, width))
        left += width + 0.05
    return boxes, line + 1


def reads(labels: Sequence[str], weights: np.ndarray, *, reader: int = -1, title: str = "") -> None:
    """Draw what one token reads: a text as boxes, and lines as strong as the weights of the tokens.

    ``weights`` is one row of a pattern, shape (T,), or the whole, (T, T), of which row ``reader``
    is taken; ``labels`` are the T tokens. The strongest weights are written below their tokens.
    """
    weights = np.asarray(weights)
    row = weights[reader] if weights.ndim == 2 else weights
    if row.shape != (len(labels),):
        raise ValueError(f"expected {len(labels)} weights, one for each token, got {row.shape}")
    labels, reader = short(labels), reader % len(labels)
    boxes, n_lines = _lines(labels)
    strongest = [i for i in np.argsort(-row, kind="stable")[:MOST_WRITTEN] if row[i] >= 0.01]
    step, shades = 1.15, palette(WEIGHTS)
    place = canvas(WIDTH, step * n_lines + (0.3 if title else 0.05))
    middles = [(x, step * (n_lines - line) - 0.72) for line, x, _ in boxes]
    for i, ((x, y), (_, _, width)) in enumerate(zip(middles, boxes, strict=True)):
        shade = shades(row[i])
        box(place, x - width / 2, y - 0.19, width, 0.38, shade, LIT if i == reader else FAINT)
        write(place, x, y, labels[i], 9.5, ink_on(shade), **TOKEN)
        if i in strongest:
            write(place, x, y - 0.31, f"{row[i]:.2f}", 9)
        if row[i] >= 0.01:
            _reading_line(place, middles[reader], (x, y), float(row[i]))
    write(place, 0, step * n_lines + 0.15, title, 10, ha="left")
    read = ", ".join(f"{labels[i]} {row[i]:.2f}" for i in strongest)
    say(f"{labels[reader]} reads {read}")
    finish()


def _reading_line(place, reader: tuple, token: tuple, weight: float) -> None:
    """A line from the reading token to one that it reads, over the boxes between."""
    (x, y), (to_x, to_y) = reader, token
    top, to_top = y + 0.2, to_y + 0.2
    if to_y == y:  # on the same line: an arc above, the higher the longer
        lift = min(0.5, 0.2 + 0.08 * abs(x - to_x))
        spread = 0.15 if x == to_x else 0
        points = [(x + spread, top), (x + spread, top + lift), (to_x - spread, top + lift)]
        points.append((to_x - spread, to_top))
    else:  # up to an earlier line, or down to a later one
        end = to_y - 0.42 if to_y > y else to_top
        points = [
            (x, top),
            (x, top + 0.4),
            (to_x, end - 0.4 if to_y > y else end + 0.4),
            (to_x, end),
        ]
    line = {"linewidth": 0.6 + 5 * weight, "alpha": 0.35 + 0.6 * weight}
    curve(place, points, BLUE, **line)


def sampling_line(labels: Sequence[str], probabilities: np.ndarray, draw: float) -> None:
    """Draw the line from 0 to 1, cut into tokens as wide as they are probable, and a draw on it.

    ``labels`` and ``probabilities`` are the tokens in the order in which they are laid out, all V
    or the first of them; what is missing to 1 is drawn without a name. 0 <= ``draw`` < 1.
    """
    labels, ends = short(labels, 12), np.cumsum(probabilities)
    if not 0 <= draw < 1 or ends[-1] > 1 + 1e-4:
        raise ValueError(
            f"expected a draw in [0, 1) and probabilities to 1, got {draw}, {ends[-1]}"
        )
    place = canvas(WIDTH, 1.5)
    left, long, low = 0.1, WIDTH - 0.2, 0.42
    chosen = int(np.searchsorted(ends, draw, side="right"))
    place.plot([left, left + long], [low + 0.21] * 2, color=FAINT, linewidth=1, zorder=0)
    for i, (label, end, share) in enumerate(zip(labels, ends, probabilities, strict=True)):
        x, width = left + long * (end - share), long * share
        shade = WARM if i == chosen else SHADES[i % 2 * 2]
        box(place, x, low, max(width - 0.02, 0.01), 0.42, shade, LIT if i == chosen else "none")
        if width > 0.08 + 0.08 * len(label):
            write(place, x + width / 2, low + 0.21, label, 9.5, **TOKEN)
    for end in (0, 0.25, 0.5, 0.75, 1):
        write(place, left + long * end, low - 0.2, f"{end:g}", 8.5, QUIET)
    at = left + long * draw
    arrow(place, (at, low + 0.78), (at, low + 0.44), LIT, linewidth=2, mutation_scale=13)
    name = labels[chosen] if chosen < len(labels) else "…"
    side = "left" if draw < 0.1 else "right" if draw > 0.9 else "center"
    write(place, at, low + 0.92, f"{draw:.3g}: {name}", 10, LIT, ha=side, **TOKEN)
    say(f"the draw {draw:.3g} falls on {name}")
    finish()


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
    _, place = subplots(figsize=(WIDTH, 0.3 * (n_lines * step - 0.6) + 0.1))
    for row, (name, parts) in enumerate(rows.items()):
        for line in range(n_lines):
            y = -row - line * step
            place.text(-0.6, y, name, ha="right", va="center", fontsize=8.5, color=QUIET)
        for i, (part, end) in enumerate(zip(parts, ends[row], strict=True)):
            line = bisect_left(breaks, end) - 1
            x, y = end - len(part) - breaks[line], -row - line * step
            box(place, x + 0.06, y - 0.4, len(part) - 0.12, 0.8, SHADES[i % 4])
            middle = x + len(part) / 2
            place.text(middle, y, part, ha="center", va="center", **TOKEN, fontsize=9)
    place.set(xlim=(-name_room, width), ylim=(-(n_lines - 1) * step - len(rows) + 0.4, 0.6))
    place.axis("off")
    finish()
