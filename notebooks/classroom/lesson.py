"""What a lesson needs besides pictures: hold two results together, show code, lay out a table."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from llama_np.config import LLAMA_3_8B, LlamaConfig


def agree(by_hand: np.ndarray, named: np.ndarray, tolerance: float = 1e-5) -> None:
    """Say that two arrays are the same up to rounding; raise where they are not.

    Differences are measured against the largest number in ``named``, so that ``tolerance`` means
    the same for large and small matrices. Whole numbers, such as ids, must be the same exactly.

    >>> agree(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    they agree: shape (2,), to within 1e-05
    """
    by_hand, named = np.asarray(by_hand), np.asarray(named)
    if by_hand.shape != named.shape:
        raise AssertionError(f"shapes differ: by hand {by_hand.shape}, named {named.shape}")
    if by_hand.dtype.kind in "biu" and named.dtype.kind in "biu":
        tolerance = 0
    same = by_hand == named  # also where both are minus infinity
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0, np.abs(by_hand * 1.0 - named))
    finite = np.abs(named[np.isfinite(named)])
    scale = max(1.0, float(finite.max(initial=0)))
    if not difference.max(initial=0) <= tolerance * scale:  # NaN must not pass
        worst = np.unravel_index(np.nanargmax(np.nan_to_num(difference, nan=np.inf)), named.shape)
        place = tuple(int(i) for i in worst)
        raise AssertionError(
            f"they differ, most at {place}: by hand {by_hand[place]}, named {named[place]}"
        )
    within = f"to within {tolerance:.0e}" if tolerance else "exactly"
    print(f"they agree: shape {named.shape}, {within}")


def numerical_gradient(
    f: Callable[[np.ndarray], float],
    x: np.ndarray,
    entries: Iterable[tuple[int, ...]],
    step: float = 1e-5,
) -> np.ndarray:
    """The slope of ``f`` at some entries of ``x``, by trying: a step up, a step down, two calls.

    slope = (f(x + step) - f(x - step)) / (2 step)

    Good to about nine digits for numbers around one. Raises ``ValueError`` unless ``x`` is float64:
    the two results differ in their last digits only, and float32 has too few of them.

    PyTorch: ``torch.autograd.gradcheck``.

    >>> numerical_gradient(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]), [(0,), (1,)]).round(6)
    array([30.,  9.])
    """
    if x.dtype != np.float64:
        raise ValueError(f"a slope by trying needs float64, not {x.dtype}: x.astype(np.float64)")

    def moved(entry: tuple[int, ...], by: float) -> np.ndarray:
        copy = x.copy()
        copy[entry] += by
        return copy

    return np.array([(f(moved(e, step)) - f(moved(e, -step))) / (2 * step) for e in entries])


class source:
    """The code of a function as it stands in the library, without its docstring.

    A notebook shows it as Python; ``help(function)`` shows the docstring.
    """

    def __init__(self, function: Callable):
        text = textwrap.dedent(inspect.getsource(function))
        body = ast.parse(text).body[0].body
        lines = text.splitlines()
        if ast.get_docstring(ast.parse(text).body[0]) is not None:
            del lines[body[0].lineno - 1 : body[0].end_lineno]
        self.text = "\n".join(lines)

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"

    def __repr__(self) -> str:
        return self.text


class table:
    """Rows of text and numbers under a header; a notebook lays it out.

    >>> print(table(["", "this model"], [["width", 64]]))
    |  | this model |
    | --- | --- |
    | width | 64 |
    """

    def __init__(self, header: Sequence[object], rows: Iterable[Sequence[object]]):
        lines = [header, ["---"] * len(header), *rows]
        cells = [[str(cell).replace("|", r"\|") for cell in line] for line in lines]
        self.text = "\n".join(f"| {' | '.join(line)} |" for line in cells)

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def clearest_head(
    trace: Mapping[str, np.ndarray], blocks: Iterable[int], n_heads: int
) -> tuple[int, int]:
    """The head, among ``blocks``, that reads hardest from a token other than the first and its own.

    For each row of a recorded pattern its largest such weight counts, and their mean decides.

    >>> even, sharp = np.full((2, 3, 3), 1 / 3), np.array([np.eye(3, k=-1), np.eye(3)])
    >>> clearest_head({"blocks.0.pattern": even, "blocks.1.pattern": sharp}, range(2), n_heads=2)
    (1, 0)
    """

    def clearness(head: tuple[int, int]) -> float:
        block, h = head
        elsewhere = np.tril(trace[f"blocks.{block}.pattern"][h], -1)[:, 1:]
        return elsewhere.max(axis=-1).mean()

    return max(((int(block), h) for block in blocks for h in range(n_heads)), key=clearness)


def sizes(config: LlamaConfig) -> table:
    """The sizes of a model beside those of Llama 3 8B."""
    rows = {
        "blocks": ("", "n_layers"),
        "width of the stream": ("D", "dim"),
        "query heads": ("Hq", "n_heads"),
        "key-value heads": ("Hkv", "n_kv_heads"),
        "width of a head": ("K", "head_dim"),
        "feed-forward width": ("F", "ffn_width"),
        "tokens in the vocabulary": ("V", "vocab_size"),
        "longest text, in tokens": ("", "context_length"),
    }
    lines = [
        [name, letter, f"{getattr(config, field):,}", f"{getattr(LLAMA_3_8B, field):,}"]
        for name, (letter, field) in rows.items()
    ]
    counts = f"{config.count_parameters():,}", f"{LLAMA_3_8B.count_parameters():,}"
    return table(["", "letter", "this model", "Llama 3 8B"], [*lines, ["parameters", "", *counts]])


def shapes(arrays: Mapping[str, str], config: LlamaConfig, n_tokens: int) -> table:
    """The shapes of named arrays, from their axes, beside those in Llama 3 8B for the same text.

    >>> shapes({"x": "T D"}, LLAMA_3_8B, 5)
    | array | axes | this model | Llama 3 8B |
    | --- | --- | --- | --- |
    | x | T D | 5 × 4096 | 5 × 4096 |
    """

    def shape(axes: str, c: LlamaConfig) -> str:
        size = {
            "T": n_tokens, "S": n_tokens, "D": c.dim, "Hq": c.n_heads, "Hkv": c.n_kv_heads,
            "K": c.head_dim, "F": c.ffn_width, "V": c.vocab_size,
        }  # fmt: skip
        return " × ".join(str(size[axis]) for axis in axes.split())

    rows = [
        [name, axes, shape(axes, config), shape(axes, LLAMA_3_8B)] for name, axes in arrays.items()
    ]
    return table(["array", "axes", "this model", "Llama 3 8B"], rows)
