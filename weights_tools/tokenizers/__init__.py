"""The tokenizer of a model, whichever files it comes in: find it, read it, write it."""

import os
from pathlib import Path

from llama_np.tokenizer.base import Tokenizer
from llama_np.tokenizer.bpe import (
    LLAMA3_SPECIAL_TOKENS,
    BPETokenizer,
    read_ranks,
    special_tokens_of,
    write_ranks,
)
from llama_np.tokenizer.merging import LLAMA3_PATTERN

from .special_tokens import ends_beside
from .tokenizer_json import special_tokens_follow, write_tokenizer_json

__all__ = ["load_tokenizer", "save_tokenizer"]

# Readers of other kinds than Llama 3's are imported where they are needed: it starts faster.


def load_tokenizer(folder: str | os.PathLike, vocab_size: int | None = None) -> Tokenizer | None:
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


def _find(folder: Path) -> Tokenizer | None:
    for path in (folder / "tokenizer.model", folder / "original" / "tokenizer.model"):
        if path.is_file():
            if not _is_message(path):
                return _tiktoken(path, folder)
            from .sentencepiece_folder import read_sentencepiece

            return read_sentencepiece(path, folder)
    if (folder / "tokenizer.json").is_file():
        from .read_tokenizer_json import read_tokenizer_json

        return read_tokenizer_json(folder / "tokenizer.json")
    if (folder / "tokenizer.bin").is_file():
        from .sentencepiece_tokenizer import SentencePieceTokenizer

        return SentencePieceTokenizer.from_llama2c(folder / "tokenizer.bin")
    return None


def _is_message(path: Path) -> bool:
    """Whether a `tokenizer.model` is SentencePiece's: it starts with the tag of its first piece."""
    with path.open("rb") as file:
        return file.read(1) == b"\n"


def _tiktoken(path: Path, folder: Path) -> BPETokenizer:
    """Ranks, with the special tokens and ends that the Hugging Face files in the folder declare."""
    ranks, described = read_ranks(path), folder / "tokenizer.json"
    if not described.is_file():
        return BPETokenizer(ranks, LLAMA3_SPECIAL_TOKENS)
    names = special_tokens_of(described, first_id=len(ranks))
    special = {name: i for i, name in enumerate(names, start=len(ranks))}
    ends = ends_beside(described, special)
    try:
        return BPETokenizer(ranks, names, **ends._asdict())
    except ValueError as error:
        raise ValueError(f"{described}: {error}") from None


def save_tokenizer(
    tokenizer: Tokenizer, folder: str | os.PathLike, context_length: int | None = None
) -> None:
    """Write the files of a tokenizer into an existing folder; transformers opens them.

    Always tokenizer.json and tokenizer_config.json; `tokenizer.model` too where a format has one:
    SentencePiece's, or tiktoken's if ranks are ids and the special tokens follow, as in Llama 3.
    """
    if not isinstance(tokenizer, BPETokenizer):
        from .sentencepiece_json import write_sentencepiece

        write_sentencepiece(tokenizer, folder, context_length)
        return
    like_llama3 = tokenizer.pattern == LLAMA3_PATTERN and tokenizer.ids == tokenizer.ranks
    if like_llama3 and special_tokens_follow(tokenizer):
        write_ranks(tokenizer.ranks, Path(folder) / "tokenizer.model")
    write_tokenizer_json(tokenizer, folder, context_length)
