"""Maps: the whole model, attention opened up, the gate, two kinds of block, two processors."""

from collections.abc import Sequence

import numpy as np

from .base import (
    BLUE,
    FAINT,
    INK,
    LIT,
    QUIET,
    SHADES,
    TOKEN,
    WIDTH,
    arrow,
    bent,
    box,
    canvas,
    finish,
    part,
    plus,
    write,
)
from .words import say

MODEL_PARTS = [
    "ids", "embedding", "attn_norm", "attention", "ffn_norm", "feed_forward", "norm", "output",
    "next",
]  # fmt: skip
ATTENTION_PARTS = ["q", "k", "v", "rotate", "scores", "mask", "softmax", "mix", "wo", "cache"]


def model_map(n_layers: int, lit: Sequence[str] = ()) -> None:
    """Draw the whole model and the loop that writes; the parts named in ``lit`` stand out.

    Parts: ids, embedding, attn_norm, attention, ffn_norm, feed_forward, norm, output, next. Below
    each stands the shape of what comes out of it: T tokens, rows of D, logits of V.
    """
    _check(lit, MODEL_PARTS)
    place = canvas(WIDTH, 3.15)
    stream, branch, back = 1.5, 2.4, 0.42
    box(place, 2.05, 1.02, 5.1, 1.8, "#f8f9fb", FAINT)
    write(place, 2.12, 2.97, f"one block, {n_layers} times", 9, QUIET, ha="left")
    arrow(place, (0.72, stream), (0.9, stream))
    arrow(place, (1.82, stream), (6.62, stream), INK)
    part(place, 0.4, stream, "token\nids", note="T", lit="ids" in lit, width=0.62)
    part(place, 1.36, stream, "embedding", note="T D", lit="embedding" in lit, width=0.9)
    for left, norm, step, text in (
        (2.2, "attn_norm", "attention", "attention"),
        (4.6, "ffn_norm", "feed_forward", "feed-\nforward"),
    ):
        arrow(place, (left, stream), (left + 0.2, branch - 0.21))
        part(place, left + 0.45, branch, "norm", note="T D", lit=norm in lit, width=0.6)
        arrow(place, (left + 0.75, branch), (left + 1.0, branch))
        part(place, left + 1.42, branch, text, note="T D", lit=step in lit, width=0.86)
        arrow(place, (left + 1.87, branch - 0.18), (left + 2.12, stream + 0.13))
        plus(place, left + 2.19, stream)
    write(place, 3.3, stream - 0.18, "residual stream", 9, QUIET)
    write(place, 4.0, stream - 0.18, "T D", 8.5, QUIET)
    bent(place, (6.79, stream - 0.14), (6.79, back), (6.15, back))
    part(place, 5.8, back, "norm", note="T D", lit="norm" in lit, width=0.66)
    arrow(place, (5.45, back), (5.1, back))
    part(place, 4.66, back, "output", note="T V", lit="output" in lit, width=0.84)
    arrow(place, (4.22, back), (3.9, back))
    part(place, 3.53, back, "next\ntoken", note="1", lit="next" in lit, width=0.7)
    bent(place, (3.16, back), (0.4, back), (0.4, stream - 0.4))
    write(place, 1.8, back + 0.13, "added to the text, and once more", 9, QUIET)
    _say_lit(lit)
    finish()


def attention_map(lit: Sequence[str] = (), *, n_heads: int = 8, n_kv_heads: int = 2) -> None:
    """Draw attention opened up, with shapes; the parts named in ``lit`` stand out.

    Parts: q, k, v, rotate, scores, mask, softmax, mix, wo; and cache, which is drawn only if it is
    named. ``8 × T K`` are eight heads of T rows, each K wide, drawn as sheets.
    """
    _check(lit, ATTENTION_PARTS)
    place = canvas(WIDTH, 3.1)
    rows = {"q": (2.5, n_heads), "k": (1.6, n_kv_heads), "v": (0.55, n_kv_heads)}
    part(place, 0.36, 1.6, "x", note="T D", width=0.5)
    for (name, (y, heads)), at in zip(
        rows.items(), ((0.75, 2.2), (0.95, 1.71), (0.75, 0.98)), strict=True
    ):
        arrow(place, (0.61, 1.6), (1.16, y))
        write(place, *at, f"w{name}", 8.5, QUIET)
        style = {"note": f"{heads} × T K", "sheets": heads}
        part(place, 1.45, y, name, lit=name in lit, width=0.54, **style)
        if name != "v":
            arrow(place, (1.88, y), (2.12, y))
            part(place, 2.46, y, "rotate", lit="rotate" in lit, width=0.64, **style)
    arrow(place, (2.94, 2.5), (3.6, 2.15))
    arrow(place, (2.82, 1.6), (3.6, 1.95))
    arrow(place, (1.89, 0.55), (5.72, 0.55))
    if "cache" in lit:
        for y in (1.6, 0.55):
            part(place, 3.2, y, "cache", lit=True, width=0.62)
    for name, x, y, shape in (
        ("scores", 3.92, 2.05, "T S"), ("mask", 4.98, 2.05, "T S"),
        ("softmax", 6.06, 2.05, "T S"), ("mix", 6.02, 0.55, "T K"),
    ):  # fmt: skip
        style = {"note": f"{n_heads} × {shape}", "sheets": n_heads}
        part(place, x, y, name, lit=name in lit, width=0.7 if name == "softmax" else 0.6, **style)
    arrow(place, (4.38, 2.05), (4.66, 2.05))
    arrow(place, (5.44, 2.05), (5.69, 2.05))
    arrow(place, (6.06, 1.62), (6.06, 0.92))
    arrow(place, (6.48, 0.55), (6.66, 0.55))
    part(place, 6.9, 0.55, "wo", note="T D", lit="wo" in lit, width=0.46)
    if (group := n_heads // n_kv_heads) > 1:
        write(place, 3.9, 0.2, f"{group} query heads read one key-value head", 9, QUIET)
    _say_lit(lit)
    finish()


def _check(lit: Sequence[str], parts: Sequence[str]) -> None:
    """Refuse a name that no part has."""
    for name in lit:
        if name not in parts:
            raise ValueError(f"no part {name!r}; there are: {', '.join(parts)}")


def _say_lit(lit: Sequence[str]) -> None:
    if lit:
        say(f"lit: {', '.join(lit)}")


def gate_map() -> None:
    """Draw the gated feed-forward step: x, gate and up, silu, the product, down.

    Each bar is one token's row, as high as the row is wide: D, F, F, D.
    """
    place = canvas(WIDTH, 3.6)
    top, middle, low = 2.7, 1.8, 0.9
    _row(place, 0.45, middle, 0.5, "x", "D")
    for y, name in ((top, "gate"), (low, "up")):
        arrow(place, (0.62, middle), (1.74, y))
        write(place, 1.05, (y + middle) / 2 + (0.2 if y > middle else -0.2), f"w_{name}", 9, QUIET)
        _row(place, 1.9, y, 1.2, name, "F")
    arrow(place, (2.07, top), (2.5, top))
    _silu(place, 2.9, top)
    arrow(place, (3.3, top), (3.94, middle + 0.12))
    arrow(place, (2.07, low), (3.94, middle - 0.12))
    plus(place, 4.08, middle, "×")
    arrow(place, (4.24, middle), (4.84, middle))
    _row(place, 5.0, middle, 1.2, "hidden", "F")
    arrow(place, (5.17, middle), (6.4, middle))
    write(place, 5.78, middle + 0.15, "w_down", 9, QUIET)
    _row(place, 6.58, middle, 0.5, "down", "D")
    finish()


def _row(place, x: float, y: float, length: float, name: str, axis: str) -> None:
    """One token's row, upright, with its name above and its width below."""
    box(place, x - 0.13, y - length / 2, 0.26, length, SHADES[0], BLUE)
    write(place, x, y + length / 2 + 0.12, name, 9.5)
    write(place, x, y - length / 2 - 0.12, axis, 8.5, QUIET)


def _silu(place, x: float, y: float) -> None:
    """The curve of silu in a little frame."""
    box(place, x - 0.4, y - 0.4, 0.8, 0.8, "white", FAINT)
    at = np.linspace(-5, 5, 60)
    place.plot([x - 0.36, x + 0.36], [y - 0.2, y - 0.2], color=FAINT, linewidth=1)
    place.plot(x + at * 0.07, y - 0.2 + at / (1 + np.exp(-at)) * 0.1, color=LIT, linewidth=2)
    write(place, x, y + 0.53, "silu", 9.5)


FIVE = {  # what was replaced: in GPT-2, in Llama
    "norm": ("LayerNorm", "RMSNorm"),
    "positions": ("a learned row\nfor each place", "q and k turned\nby their place"),
    "feed-forward": ("feed-forward: wide,\nGELU, narrow", "feed-forward: gate\n× up, narrow"),
    "heads": ("attention: each\nhead its own k, v", "attention: groups\nshare k, v"),
    "biases": ("each product:\nx @ w + b", "each product:\nx @ w"),
}


def two_blocks() -> None:
    """Draw GPT-2's block and Llama's side by side, the five differences numbered."""
    place = canvas(WIDTH, 4.75)
    for side, (left, title) in enumerate(((0.08, "GPT-2"), (3.74, "Llama"))):
        norm, positions, feed_forward, heads, biases = (pair[side] for pair in FIVE.values())
        stream = left + 0.4
        write(place, left, 4.58, title, 12, ha="left")
        box(place, left, 0.32, 3.38, 3.42, "#f8f9fb", FAINT)
        arrow(place, (stream, 4.2), (stream, 0.03), INK)
        part(place, left + 0.5, 4.2, "embedding", width=0.96, height=0.36)
        if side == 0:
            _numbered(place, left + 2.55, 4.2, positions, 2)
            bent(place, (left + 2.55, 3.98), (left + 2.55, 3.88), (stream + 0.15, 3.88))
            plus(place, stream, 3.88)
        else:
            _numbered(place, left + 2.68, 3.42, positions, 2, width=1.26)
            arrow(place, (left + 2.2, 3.19), (left + 2.08, 3.02))
        for y, step, number in ((3.42, heads, 4), (1.75, feed_forward, 3)):
            bent(place, (stream, y), (left + 0.82, y))
            _numbered(place, left + 1.34, y, norm, 1, width=0.98, height=0.36)
            arrow(place, (left + 1.34, y - 0.2), (left + 1.34, y - 0.41))
            _numbered(place, left + 1.6, y - 0.63, step, number, width=1.5)
            bent(place, (left + 1.34, y - 0.86), (left + 1.34, y - 1.1), (stream + 0.15, y - 1.1))
            plus(place, stream, y - 1.1)
        _numbered(place, left + 2.68, 1.75, biases, 5, width=1.26)
    for number, (gpt2, llama) in enumerate(FIVE.values(), 1):
        say(" ".join(f"{number}: {gpt2} → {llama}".split()), **TOKEN)
    finish()


def _numbered(
    place, x: float, y: float, text: str, number: int, width: float = 1.4, height: float = 0.44
) -> None:
    """A part that was replaced, with its number at the corner."""
    part(place, x, y, text, width=width, height=height)
    style = {"boxstyle": "circle,pad=0.2", "facecolor": LIT, "edgecolor": "none"}
    corner = x + width / 2, y + height / 2
    write(place, *corner, str(number), 8.5, "white", bbox=style)


def two_processors() -> None:
    """Draw one block on two processors: columns, then rows; what is exchanged is lit."""
    place = canvas(WIDTH, 3.7)
    lanes, middle = {"processor 1": 2.78, "processor 2": 0.92}, 1.85
    halves = (0.2, 0.2, "wq wk wv", "wo", 3.72), (3.72, 3.93, "gate, up", "down", 7.02)
    for side, (name, y) in zip((1, -1), lanes.items(), strict=True):
        box(place, 0, y - 0.66, WIDTH, 1.32, "#f8f9fb", FAINT)
        write(place, 0.08, y + 0.54 * side, name, 9, QUIET, ha="left")
        part(place, 0.2, y, "x", width=0.26)
        for start, past, columns, rows, end in halves:
            left, around = start + 0.13, y + 0.38 * side
            bent(place, (past, y + (0.2 * side if past == start else 0)), (past, around),
                 (end, around), (end, y + 0.15 * side))  # fmt: skip
            for x, text, width in (
                (left + 0.42, "norm", 0.5), (left + 1.22, columns, 0.76), (left + 2.2, rows, 0.66),
            ):  # fmt: skip
                part(place, x, y, text, width=width)
            for at, to in ((0, 0.16), (0.68, 0.83), (1.61, 1.86)):
                arrow(place, (left + at, y), (left + to, y), shrinkA=0, shrinkB=0)
            arrow(place, (left + 2.53, y), (left + 2.78, middle + 0.14 * side), LIT, linewidth=2)
            arrow(place, (left + 2.94, middle + 0.14 * side), (end, y - 0.15 * side), LIT,
                  linewidth=2)  # fmt: skip
            plus(place, end, y)
    for start, *_ in halves:
        left = start + 0.13
        plus(place, left + 2.86, middle)
        write(place, left + 1.22, middle, "half of the\ncolumns each", 8.5, QUIET)
        write(place, left + 2.2, middle, "half of\nthe rows", 8.5, QUIET)
    say("exchanged, in colour: the sum of what both write, T D, twice in each block")
    finish()
