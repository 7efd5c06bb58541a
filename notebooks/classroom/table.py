"""Rows under a header: tables of anything, of a model's sizes, of the shapes of arrays."""

from collections.abc import Iterable, Mapping, Sequence

from llama_np.config import LLAMA_3_8B, LlamaConfig


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    """Show rows of text and numbers under a header; a notebook lays them out.

    >>> table(["", "this model"], [["width", 64]])
    |  | this model |
    | --- | --- |
    | width | 64 |
    """
    lines = [header, ["---"] * len(header), *rows]
    cells = [[str(cell).replace("|", r"\|") for cell in line] for line in lines]
    show_markdown("\n".join(f"| {' | '.join(line)} |" for line in cells))


def show_markdown(text: str) -> None:
    """Lay out Markdown in a notebook, wherever in a cell; elsewhere print it."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(text)
    else:
        display({"text/markdown": text, "text/plain": text}, raw=True)


def sizes(config: LlamaConfig) -> None:
    """Show the sizes of a model beside those of Llama 3 8B."""
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
    table(["", "letter", "this model", "Llama 3 8B"], [*lines, ["parameters", "", *counts]])


def shapes(arrays: Mapping[str, str], config: LlamaConfig, n_tokens: int) -> None:
    """Show the shapes of named arrays, from their axes, beside those in Llama 3 8B for one text.

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
    table(["array", "axes", "this model", "Llama 3 8B"], rows)
