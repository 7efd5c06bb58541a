"""`tokenizer.model` in tiktoken's format, as Llama 3 has it: a token in base64, and its rank."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from llama_np.config import brief
from llama_np.tokenizer.bpe import (
    LLAMA3_1_SPECIAL_TOKENS,
    LLAMA3_SPECIAL_TOKENS,
    BPETokenizer,
    check_ranks,
)

from ..reading import TABLE, read_bytes
from ..writing import replacing
from .special_tokens import added_beside, declared_ends, object_beside


def read_ranks(path: str | os.PathLike) -> dict[bytes, int]:
    """Read a `tokenizer.model` in tiktoken's format: a base64 token, a space, its rank.

    We read it ourselves: tiktoken's own reader would fetch and cache.

    Raises FileNotFoundError if there is no such file, ValueError if it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a tokenizer.model, found no file {path}; download one")
    data = read_bytes(path, TABLE)
    if b"<unk>" in data[:64]:
        raise ValueError(
            f"{path}: expected tiktoken's text format, got a SentencePiece model as Llama 2 has it;"
            " use the tokenizer.model of a Llama 3"
        )
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.rstrip().splitlines(), start=1):
        try:
            encoded, rank = line.split()
            token = base64.b64decode(encoded, validate=True)
            if token in ranks:
                raise ValueError("the token comes twice")
            ranks[token] = int(rank)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: expected a base64 token not seen before and its rank,"
                f" got {line[:40]!r}; download the file again"
            ) from error
    check_ranks(ranks, path)
    return ranks


def write_ranks(ranks: Mapping[bytes, int], path: str | os.PathLike) -> None:
    """Write a `tokenizer.model` that `read_ranks`, tiktoken and Meta's code can read."""
    check_ranks(ranks, path)
    lines = (
        base64.b64encode(token) + f" {rank}\n".encode()
        for token, rank in sorted(ranks.items(), key=lambda item: item[1])
    )
    with replacing(Path(path)) as beside:
        beside.write_bytes(b"".join(lines))


def read_tiktoken(path: Path, folder: Path) -> BPETokenizer:
    """Ranks, with the special tokens and ends that the JSON files in the folder declare.

    Where they list no tokens, these are the 256 of Meta's code. Raises ValueError if the files do
    not fit together.
    """
    ranks = read_ranks(path)
    try:
        added = added_beside(folder)
        if added and sorted(added.values()) != [*range(len(ranks), len(ranks) + len(added))]:
            raise ValueError(
                f"expected added tokens with the ids from {len(ranks)} on, got "
                f"{brief.repr(sorted(added.values()))}; use the files of one model"
            )
        if twice := [name for name in added if name.encode("utf-8", "replace") in ranks]:
            raise ValueError(
                f"expected added tokens that are no ordinary ones, got {brief.repr(twice[0])}; use "
                "the files of one model"
            )
        names = sorted(added, key=added.__getitem__) or names_of_meta(path.parent)
        special = {name: i for i, name in enumerate(names, start=len(ranks))}
        usual = (name if name in special else None for name in LLAMA3_SPECIAL_TOKENS[:2])
        ends = declared_ends(folder, special, None, *usual)
        return BPETokenizer(ranks, names, **ends._asdict())
    except ValueError as error:
        named = str(error) if str(error).startswith(str(folder)) else f"{folder}: {error}"
        raise ValueError(named) from None


def names_of_meta(folder: Path) -> tuple[str, ...]:
    """The special tokens that Meta's code adds to the ranks, which do not name them.

    Llama 3.1 came with other names, for the same ids, and with another RoPE: that is how the
    params.json beside the ranks tells the two apart.
    """
    since_3_1 = object_beside(folder, "params.json").get("use_scaled_rope")
    return LLAMA3_1_SPECIAL_TOKENS if since_3_1 else LLAMA3_SPECIAL_TOKENS
