"""Boxes and arrows: the whole model, shared heads, a graph of computations."""

from collections.abc import Mapping, Sequence

import numpy as np

from .base import INK, LIT, PALE, QUIET, TOKEN, arrow, box, colours, finish, heading, subplots


def model_map(n_layers: int, lit: Sequence[str] = ()) -> None:
    """Draw the whole model as one line, left to right; the parts named in ``lit`` stand out.

    Parts: ids, embedding, attn_norm, attention, ffn_norm, feed_forward, norm, output, next.
    """
    _, place = subplots(figsize=(9, 2.3))
    stream_y, branch_y = 0.35, 1.25

    def part(name, text, x, y, width=0.98):
        on = name in lit
        fill, edge = ("#ffe8dc", LIT) if on else (PALE, "none")
        box(place, x - width / 2, y - 0.24, width, 0.48, fill, edge)
        place.text(x, y, text, ha="center", va="center", fontsize=8.5, color=LIT if on else INK)

    box(place, 2.62, -0.12, 5.86, 1.82, "#f8f9fb", "#d5dae0")
    place.text(2.72, 1.78, f"one block, {n_layers} times", fontsize=8, color=QUIET, va="bottom")
    arrow(place, (0.6, stream_y), (1.1, stream_y))
    arrow(place, (2.05, stream_y), (8.85, stream_y), INK)
    part("ids", "token\nids", 0.35, stream_y, 0.62)
    part("embedding", "embedding", 1.58, stream_y)
    for left, norm, step, text in (
        (2.85, "attn_norm", "attention", "attention"),
        (5.75, "ffn_norm", "feed_forward", "feed-\nforward"),
    ):
        arrow(place, (left, stream_y), (left + 0.30, branch_y - 0.02))
        part(norm, "norm", left + 0.65, branch_y, 0.72)
        arrow(place, (left + 1.01, branch_y), (left + 1.27, branch_y))
        part(step, text, left + 1.76, branch_y)
        arrow(place, (left + 2.25, branch_y - 0.02), (left + 2.52, stream_y + 0.12))
        place.text(
            left + 2.55, stream_y, "+", ha="center", va="center", fontsize=11, color=INK,
            bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": INK},
        )  # fmt: skip
    place.text(4.3, stream_y - 0.2, "residual stream", fontsize=8, color=QUIET, ha="center")
    part("norm", "norm", 9.22, stream_y, 0.72)
    arrow(place, (9.6, stream_y), (9.82, stream_y))
    part("output", "output", 10.26, stream_y, 0.84)
    arrow(place, (10.7, stream_y), (10.92, stream_y))
    part("next", "next\ntoken", 11.25, stream_y, 0.62)
    place.set(xlim=(0, 11.6), ylim=(-0.2, 2.0))
    place.axis("off")
    finish()


def head_sharing(variants: Mapping[str, tuple[int, int]]) -> None:
    """Draw which key-value head each query head reads, for variants such as {"ours": (8, 2)}."""
    _, places = subplots(1, len(variants), squeeze=False, figsize=(9, 1.9))
    shades = colours("tab10")
    for place, (title, (n_heads, n_kv_heads)) in zip(places.flat, variants.items(), strict=True):
        group = n_heads // n_kv_heads
        for head in range(n_heads):
            shared = head // group
            colour = shades(shared % 10)
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
                place.text(-0.8, height, name, ha="right", va="center", fontsize=8)
        place.spines[:].set_visible(False)
        place.tick_params(left=False, labelsize=8)
    finish()


def computation(nodes: Sequence, edges: Sequence[tuple], *, title: str = "") -> None:
    """Draw the tensors that ``autodiff.graph`` lists: name, value and, once it is there, gradient.

    The result stands at the right. Of an array the shape is drawn in the place of its value.
    """
    where = _left_to_right(nodes, edges)
    above = 0.7 if any(where[b][0] - where[a][0] > 1 for a, b in edges) else 0.45
    (left, low), (right, high) = np.min([*where.values()], 0), np.max([*where.values()], 0)
    _, place = subplots(
        figsize=(min(9, 1.1 * (right - left + 1)), 0.95 * (high - low + above) + 0.75)
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
            place.text(x, y + up, text, ha="center", va="center", fontsize=8, color=colour, **font)
    place.set(xlim=(left - 0.5, right + 0.5), ylim=(low - 0.45, high + above))
    place.axis("off")
    heading(place, title, 9)
    finish()


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
