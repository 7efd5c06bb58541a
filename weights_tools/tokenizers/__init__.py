"""The tokenizer of a model, whichever files it comes in: find it, read it, write it."""

import os
from collections.abc import Mapping
from pathlib import Path

from llama_np.bpe import LLAMA3_PATTERN
from llama_np.tokenizer import (
    LLAMA3_SPECIAL_TOKENS,
    Tokenizer,
    read_ranks,
    special_tokens_of,
    write_ranks,
)

from .gguf_tokenizer import tokenizer_from_gguf
from .read_tokenizer_json import read_tokenizer_json
from .sentencepiece_json import write_sentencepiece
from .sentencepiece_model import CONTROL, Piece
from .sentencepiece_tokenizer import SentencePieceTokenizer
from .special_tokens import Ends, declared_ends, read_json, special_tokens
from .tokenizer_json import special_tokens_follow, write_tokenizer_json

__all__ = ["AnyTokenizer", "load_tokenizer", "save_tokenizer", "tokenizer_from_gguf"]

AnyTokenizer = Tokenizer | SentencePieceTokenizer


def load_tokenizer(folder: str | os.PathLike, vocab_size: int | None = None) -> AnyTokenizer | None:
    """The tokenizer of a model's folder, or None where there is none.

    Looks for `tokenizer.model` (tiktoken's format or SentencePiece's), the same under `original`
    where Meta puts it, `tokenizer.json`, and llama2.c's `tokenizer.bin`.

    Raises ValueError for what the readers refuse, and for a tokenizer with more ids than the
    `vocab_size` of the model.
    """
    folder = Path(folder)
    tokenizer = _find(folder)
    if tokenizer is not None and vocab_size is not None and tokenizer.vocab_size > vocab_size:
        raise ValueError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{vocab_size}; the two belong to different models"
        )
    return tokenizer


def _find(folder: Path) -> AnyTokenizer | None:
    for path in (folder / "tokenizer.model", folder / "original" / "tokenizer.model"):
        if path.is_file():
            return _sentencepiece(path, folder) if _is_message(path) else _tiktoken(path, folder)
    if (folder / "tokenizer.json").is_file():
        return read_tokenizer_json(folder / "tokenizer.json")
    if (folder / "tokenizer.bin").is_file():
        return SentencePieceTokenizer.from_llama2c(folder / "tokenizer.bin")
    return None


def _is_message(path: Path) -> bool:
    """Whether a `tokenizer.model` is SentencePiece's: it starts with the tag of its first piece."""
    with path.open("rb") as file:
        return file.read(1) == b"\n"


def _tiktoken(path: Path, folder: Path) -> Tokenizer:
    """Ranks, with the special tokens and ends that the Hugging Face files in the folder declare."""
    ranks, described = read_ranks(path), folder / "tokenizer.json"
    if not described.is_file():
        return Tokenizer(ranks, LLAMA3_SPECIAL_TOKENS)
    names = special_tokens_of(described, first_id=len(ranks))
    special = {name: i for i, name in enumerate(names, start=len(ranks))}
    ends = _ends(described, special)
    try:
        return Tokenizer(ranks, names, **ends._asdict())
    except ValueError as error:
        raise ValueError(f"{described}: {error}") from None


def _ends(described: Path, special: Mapping[str, int]) -> Ends:
    post_processor = read_json(described).get("post_processor")
    try:
        return declared_ends(described.parent, post_processor, special)
    except ValueError as error:
        raise ValueError(f"{described}: {error}") from None


def _sentencepiece(path: Path, folder: Path) -> SentencePieceTokenizer:
    """Pieces, with the special tokens that fine-tuning added behind them in tokenizer.json."""
    tokenizer, described = SentencePieceTokenizer.from_file(path), folder / "tokenizer.json"
    if not described.is_file():
        return tokenizer
    first = tokenizer.vocab_size
    try:
        added = special_tokens(read_json(described).get("added_tokens"))
        behind = sorted((i, name) for name, i in added.items() if i >= first)
        if [i for i, _ in behind] != list(range(first, first + len(behind))):
            raise ValueError(f"expected added tokens with the ids from {first} on, without gaps")
        more = [Piece(name, 0.0, CONTROL) for _, name in behind]
        ends = _ends(described, tokenizer.special_tokens | added)
        pieces = tokenizer.piece_list.pieces + more
        piece_list = tokenizer.piece_list._replace(pieces=pieces, eos=ends.eos or tokenizer.eos)
        return SentencePieceTokenizer(piece_list, ends.stop)
    except ValueError as error:
        named = str(error) if str(error).startswith(str(folder)) else f"{described}: {error}"
        raise ValueError(named) from None


def save_tokenizer(
    tokenizer: AnyTokenizer, folder: str | os.PathLike, context_length: int | None = None
) -> None:
    """Write the files of a tokenizer into an existing folder; transformers opens them.

    Always tokenizer.json and tokenizer_config.json; `tokenizer.model` too where a format has one:
    SentencePiece's, or tiktoken's if ranks are ids and the special tokens follow, as in Llama 3.
    """
    if isinstance(tokenizer, SentencePieceTokenizer):
        write_sentencepiece(tokenizer, folder, context_length)
        return
    like_llama3 = tokenizer.pattern == LLAMA3_PATTERN and tokenizer.ids == tokenizer.ranks
    if like_llama3 and special_tokens_follow(tokenizer):
        write_ranks(tokenizer.ranks, Path(folder) / "tokenizer.model")
    write_tokenizer_json(tokenizer, folder, context_length)
