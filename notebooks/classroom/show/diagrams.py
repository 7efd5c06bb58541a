"""Boxes and arrows: shared heads, the cache as it grows, a graph of computations."""

from collections.abc import Mapping, Sequence

import numpy as np

from .base import (
    BLUE,
    COLOURS,
    FAINT,
    INK,
    LIT,
    PALE,
    QUIET,
    TOKEN,
    WARM,
    WIDTH,
    arrow,
    box,
    canvas,
    circle,
    finish,
    heading,
    short,
    subplots,
    write,
)
from .words import say

BOX = 8  # characters that fit into a box of `computation`


def head_sharing(variants: Mapping[str, tuple[int, int]]) -> None:
    """Draw which key-value head each query head reads, for variants such as {"ours": (8, 2)}."""
    _, places = subplots(1, len(variants), squeeze=False, figsize=(WIDTH, 1.7))
    for place, (title, (n_heads, n_kv_heads)) in zip(places.flat, variants.items(), strict=True):
        group = n_heads // n_kv_heads
        for head in range(n_heads):
            shared = head // group
            colour = COLOURS[shared % len(COLOURS)]
            below = shared * group + (group - 1) / 2  # in the middle of its group
            place.plot([head, below], [1, 0], color=colour, linewidth=1.1, zorder=1)
            box(place, head - 0.36, 0.85, 0.72, 0.3, "#dbe9f6", edge=colour)
            box(place, below - 0.36, -0.15, 0.72, 0.3, colour)
        heading(place, title, 9)
        place.set(xlim=(-0.7, n_heads - 0.3), ylim=(-0.3, 1.3))
        place.set_xticks([])
        place.set_yticks([])
        if place is places[0, 0]:
            for height, name in enumerate(("keys, values", "queries")):
                place.text(-0.8, height, name, ha="right", va="center", fontsize=8.5)
        place.spines[:].set_visible(False)
        place.tick_params(left=False, labelsize=8)
    finish()


def cache_frames(labels: Sequence[str], n_prompt: int) -> None:
    """Draw the cache as T tokens come in: the first ``n_prompt`` at once, then one in each frame.

    Rows are positions, their two halves the key and the value: new ones lit, old ones grey. The
    query of a single new token meets every key that is there by then.
    """
    labels = short(labels)
    if not 1 <= n_prompt <= len(labels):
        raise ValueError(f"expected 1 to {len(labels)} tokens of a prompt, got {n_prompt}")
    steps, row = len(labels) - n_prompt + 1, 0.24
    room = 0.25 + 0.08 * max(map(len, labels))
    across, high = (WIDTH - room) / steps, row * len(labels)
    before_keys = min(0.75, 0.3 * across)  # where queries stand
    width = (across - before_keys - 0.2) / 2
    place = canvas(WIDTH, high + 0.72)

    def middle(i: int) -> float:
        return high - (i + 0.5) * row + 0.1

    for i, label in enumerate(labels):
        write(place, room - 0.1, middle(i), label, 9, ha="right", **TOKEN)
    for step in range(steps):
        left, first = room + step * across, n_prompt + step - 1 if step else 0
        end = n_prompt + step
        title = f"decoding, step {step}" if step else "prefill"
        write(place, left + 0.05, high + 0.55, title, 9.5, ha="left")
        keys = left + before_keys
        for x, name in ((keys, "k"), (keys + width + 0.04, "v")):
            write(place, x + width / 2, high + 0.25, name, 9, QUIET, **TOKEN)
            for i in range(len(labels)):
                fill = "white" if i >= end else "#c3c9d0" if i < first else LIT
                box(place, x, middle(i) - row / 2 + 0.02, width, row - 0.04, fill, FAINT)
        if step:
            write(place, left + 0.13, middle(first), "q", 9.5, **TOKEN)
            for i in range(end):
                arrow(place, (left + 0.2, middle(first)), (keys - 0.02, middle(i)), linewidth=0.7,
                      shrinkA=0, shrinkB=0, mutation_scale=6)  # fmt: skip
    say(f"the prefill brings {n_prompt} rows at once")
    if steps > 1:
        say("each further step brings one, whose query meets all keys; the others stay")
    finish()


def streams(
    labels: Sequence[str], amounts: np.ndarray, *, reader: int = -1, unit: str = "", out: str = ""
) -> None:
    """Draw the stream of every token through the blocks, and where one token reads the others.

    ``labels`` are the T tokens, each a line from its embedding upwards; ``amounts``, shape (L, T),
    is what token ``reader`` owes to each token in each block. Each amount above zero is a dot on
    the line of the token, as large as it counts, and what counts most goes over as an arrow, the
    three largest with the amount written, in ``unit``. ``out`` is what the reader says.
    """
    amounts, labels = np.asarray(amounts, dtype=float), short(labels, 12)
    if amounts.shape[1:] != (len(labels),) or not np.isfinite(amounts).all():
        raise ValueError(f"expected amounts of (L, {len(labels)}), all finite, got {amounts.shape}")
    reader, n_blocks = reader % len(labels), len(amounts)
    shares = np.maximum(amounts, 0) / max(amounts.max(), 1e-9)
    left, low, high = 0.75, 0.75, 3.9
    across = np.linspace(left, WIDTH - 0.85, len(labels))
    heights = low + (high - low) * (np.arange(n_blocks) + 0.5) / n_blocks
    place = canvas(WIDTH, high + 0.7)
    for i, (x, label) in enumerate(zip(across, labels, strict=True)):
        lit = i == reader or shares[:, i].max() == 1
        arrow(place, (x, low - 0.1), (x, high + 0.2), QUIET if lit else FAINT, shrinkA=0, shrinkB=0)
        write(place, x + 0.12, low - 0.18, label, 9, LIT if lit else INK, rotation=45, ha="right",
              va="top", **TOKEN)  # fmt: skip
    for n in range(0, n_blocks, max(1, n_blocks // 8)):
        write(place, left - 0.3, heights[n], str(n), 8.5, QUIET)
    write(place, left - 0.62, (low + high) / 2, "block", 9, QUIET, rotation=90)
    largest = [tuple(at) for at in np.argwhere(shares >= max(np.sort(shares, axis=None)[-3], 1e-9))]
    for (n, i), share in np.ndenumerate(shares):
        colour, y = LIT if (n, i) in largest else BLUE, heights[n]
        place.scatter(across[i], y, s=70 * share, color=colour, zorder=3)
        if share > 0.2 and i != reader:
            arrow(place, (across[i], y), (across[reader], y), colour, shrinkA=0, shrinkB=0,
                  linewidth=0.6 + 3 * share, mutation_scale=6 + 8 * share)  # fmt: skip
    written = []
    for n, i in sorted(largest, key=lambda at: -amounts[at]):
        amount = f"{amounts[n, i]:.1f} {unit}".strip()
        if all(abs(heights[n] - other) > 0.14 for other in written):  # or they would overlap
            write(place, across[reader] + 0.12, heights[n], amount, 9, LIT, ha="left")
            written.append(heights[n])
        say(f"{labels[reader]} reads {labels[i]} in block {n}: {amount}")
    write(place, across[reader], high + 0.42, out, 10, LIT, **TOKEN)
    finish()


def hands(turns: Sequence[float], *, query: float = 1.3, key: float = 0.5) -> None:
    """Draw the hands of a query and a key, both turned by each of ``turns``, a frame for each.

    All angles are in radians. The angle between the two hands is the same in every frame.
    """
    across = min(1.8, WIDTH / len(turns))
    _, places = subplots(1, len(turns), squeeze=False, figsize=(across * len(turns), across + 0.4))
    for place, turn in zip(places.flat, turns, strict=True):
        circle(place, 1)
        between = np.linspace(key, query, 30) + turn
        wedge = np.vstack([np.zeros(2), 0.45 * np.c_[np.cos(between), np.sin(between)]])
        place.fill(*wedge.T, color=WARM, zorder=0)
        for name, angle, colour, dash in (("q", query, LIT, "-"), ("k", key, BLUE, "--")):
            tip = np.array([np.cos(angle + turn), np.sin(angle + turn)])
            arrow(place, (0, 0), tuple(tip), colour, shrinkA=0, shrinkB=0, linestyle=dash)
            write(place, *(1.2 * tip), name, 9.5, colour, **TOKEN)
        heading(place, f"turned by {turn:.2g}")
        place.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal")
        place.axis("off")
    say(f"the angle between the two hands stays {query - key:.2g}")
    finish()


def computation(nodes: Sequence, edges: Sequence[tuple], *, title: str = "") -> None:
    """Draw the tensors that ``autodiff.graph`` lists: name, value and, once it is there, gradient.

    The result stands at the right. Of an array the shape is drawn in the place of its value.
    """
    where = _left_to_right(nodes, edges)
    above = 0.7 if any(where[b][0] - where[a][0] > 1 for a, b in edges) else 0.45
    (left, low), (right, high) = np.min([*where.values()], 0), np.max([*where.values()], 0)
    _, place = subplots(
        figsize=(min(WIDTH, 1.1 * (right - left + 1)), 0.95 * (high - low + above) + 0.75)
    )
    for n, (parent, child) in enumerate(edges):
        (x, y), (to_x, to_y) = where[parent], where[child]
        over = 0.36 if to_x - x > 1 else 0  # over the boxes between: from top to top
        aside, bend = (0, -0.3) if over else (0.38, 0)
        if edges.count((parent, child)) > 1:  # what goes in twice has two arrows
            bend = 0.3 if (parent, child) in edges[:n] else -0.3
        arrow(
            place, (x + aside, y + over), (to_x - aside, to_y + over),
            linewidth=1, shrinkA=0, shrinkB=0, connectionstyle=f"arc3,rad={bend}",
        )  # fmt: skip
    for node, (x, y) in where.items():
        box(place, x - 0.38, y - 0.36, 0.76, 0.72, PALE if node.parents else "#dbe9f6")
        lines = [(0.22, node.name, INK, TOKEN), (0, _brief(node.value), INK, {})]
        if node.grad is not None:
            lines.append((-0.21, _brief(node.grad), LIT, {}))
        for up, text, colour, font in lines:
            place.text(
                x, y + up, text, ha="center", va="center", fontsize=8.5, color=colour, **font
            )
    place.set(xlim=(left - 0.5, right + 0.5), ylim=(low - 0.45, high + above))
    place.axis("off")
    heading(place, title, 9)
    finish()


def _brief(array: np.ndarray) -> str:
    """A number in as many digits as a box is wide, or the shape.

    >>> [_brief(np.array(x)) for x in (0.0, -14.07294, 40701.222, 3e9, -2.7e-4, np.zeros((2, 3)))]
    ['0.0000', '-14.0729', '40701.22', '3.0e+09', '-2.7e-04', '(2, 3)']
    """
    if array.size > 1:
        return str(array.shape)
    x = array.item()
    forms = (".1e",) if 0 < abs(x) < 1e-3 else (".4f", ".2f", ".0f", ".1e")
    return next((text for form in forms if len(text := f"{x:{form}}") <= BOX), f"{x:.0e}")


def _left_to_right(nodes: Sequence, edges: Sequence[tuple]) -> dict:
    """A place for each node: one column before the first that needs it, beside those that do.

    Of two beside each other the one that is needed further on lies higher, below its own arrow.

    >>> where = _left_to_right(range(4), [(0, 2), (1, 2), (1, 3), (2, 3)])
    >>> [(column, float(height)) for column, height in where.values()]  # of 3, 2, 1, 0
    [(0, 0.0), (-1, 0.0), (-2, 0.5), (-2, -0.5)]
    """
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
        far = {node: max((column[b] for a, b in edges if a is node), default=0) for node in wish}
        order = sorted(wish, key=lambda node: (wish[node], far[node]), reverse=True)
        for i, node in enumerate(order):
            where[node] = (each, top - i)
    return where
