"""A text as the model gets it."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from .base import QUIET, SHADES, TOKEN, box, finish, short, subplots


def tokens(
    labels: Sequence[str], ids: Sequence[int | str], *, groups: Sequence[int] | None = None
) -> None:
    """Draw a text as the model gets it: a box for each token, with its id, or a word, below.

    ``groups`` gives each token a number from 0 to 3, and those of one group share a colour.
    Without it, neighbours differ.
    """
    labels = short(labels)
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
    _, place = subplots(figsize=(9, 0.78 * len(lines)))
    for row, line in enumerate(lines):
        left = 0.0
        for column, (label, token_id, width, group) in enumerate(line):
            shade = SHADES[(row + column) % 4 if group is None else group]
            box(place, left + 0.03, -row, width - 0.06, 0.46, shade)
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
    _, place = subplots(figsize=(9, 0.3 * (n_lines * step - 0.6) + 0.1))
    for row, (name, parts) in enumerate(rows.items()):
        for line in range(n_lines):
            y = -row - line * step
            place.text(-0.6, y, name, ha="right", va="center", fontsize=8, color=QUIET)
        for i, (part, end) in enumerate(zip(parts, ends[row], strict=True)):
            line = bisect_left(breaks, end) - 1
            x, y = end - len(part) - breaks[line], -row - line * step
            box(place, x + 0.06, y - 0.4, len(part) - 0.12, 0.8, SHADES[i % 4])
            middle = x + len(part) / 2
            place.text(middle, y, part, ha="center", va="center", **TOKEN, fontsize=9)
    place.set(xlim=(-name_room, width), ylim=(-(n_lines - 1) * step - len(rows) + 0.4, 0.6))
    place.axis("off")
    finish()
