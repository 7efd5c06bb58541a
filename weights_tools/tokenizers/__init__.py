"""The tokenizer of a model, whichever files it comes in: find it, read it, write it."""

import os
from pathlib import Path

from llama_np.tokenizer import BPETokenizer, Tokenizer
from llama_np.tokenizer.bpe import LLAMA3_PATTERN

from ..arguments import expand_user
from .chat_template import template_beside
from .fit import fitted
from .ranks import read_tiktoken, write_ranks
from .special_tokens import MERGES, VOCAB, object_beside
from .tokenizer_json import special_tokens_follow, write_tokenizer_json

__all__ = ["load_tokenizer", "save_tokenizer"]

# Readers of other kinds than Llama 3's are imported where they are needed: it starts faster.


def load_tokenizer(path: str | os.PathLike, vocab_size: int | None = None) -> Tokenizer | None:
    """The tokenizer in a file or in a model's folder; None for a folder without one.

    A file: `tokenizer.json`, `tokenizer.model` (tiktoken's format or SentencePiece's), llama2.c's
    `tokenizer.bin`, whatever its name. In a folder they are looked for in this order, the second
    also under `original`, where Meta puts it, and last GPT-2's two files, where
    tokenizer_config.json says what they are. So a tokenizer.json counts, as for transformers, and
    one that is refused is not replaced by a file beside it that may give other ids.

    Raises FileNotFoundError where there is nothing, ValueError for what the readers refuse, and for
    a tokenizer with ordinary tokens beyond the `vocab_size` of the model.
    """
    path = expand_user(path)
    if not path.exists():
        raise FileNotFoundError(f"no such file or folder: {path}; expected a tokenizer")
    found = path if path.is_file() else _find(path)
    folder = path if path.is_dir() else path.parent
    if found is None:
        return None
    tokenizer = _read(found, folder)
    tokenizer.chat_template = template_beside(folder, tokenizer)
    return tokenizer if vocab_size is None else fitted(tokenizer, vocab_size, path)


def _find(folder: Path) -> Path | None:
    """The file that holds a folder's tokenizer."""
    names = "tokenizer.json", "tokenizer.model", "original/tokenizer.model", "tokenizer.bin"
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None and all((folder / name).is_file() for name in (VOCAB, MERGES)):
        named = object_beside(folder, "tokenizer_config.json").get("tokenizer_class")
        return folder / VOCAB if named is not None else None
    return found


def _read(path: Path, folder: Path) -> Tokenizer:
    """A tokenizer from its file; what ``folder`` holds beside it may name its special tokens."""
    if path.name == VOCAB:
        from .gpt2_files import read_gpt2_folder

        return read_gpt2_folder(folder)
    if path.suffix == ".json":
        from .read_tokenizer_json import read_tokenizer_json

        return read_tokenizer_json(path)
    if path.suffix == ".bin":
        from .sentencepiece_tokenizer import SentencePieceTokenizer

        return SentencePieceTokenizer.from_llama2c(path)
    if _is_message(path):
        from .sentencepiece_folder import read_sentencepiece

        return read_sentencepiece(path, folder)
    return read_tiktoken(path, folder)


def _is_message(path: Path) -> bool:
    """Whether a `tokenizer.model` is SentencePiece's: it starts with the tag of its first piece."""
    with path.open("rb") as file:
        return file.read(1) == b"\n"


def save_tokenizer(
    tokenizer: Tokenizer, folder: str | os.PathLike, context_length: int | None = None
) -> str | None:
    """Write the files of a tokenizer into an existing folder; transformers opens them.

    tokenizer.json and tokenizer_config.json; `tokenizer.model` too where a format has one:
    SentencePiece's, or tiktoken's if ranks are ids and the special tokens follow, as in Llama 3.
    Returns a line where SentencePiece's pieces cannot be said in a tokenizer.json.
    """
    if not isinstance(tokenizer, BPETokenizer):
        from .sentencepiece_json import write_sentencepiece

        return write_sentencepiece(tokenizer, folder, context_length)
    like_llama3 = tokenizer.pattern == LLAMA3_PATTERN and tokenizer.ids == tokenizer.ranks
    if like_llama3 and special_tokens_follow(tokenizer):
        write_ranks(tokenizer.ranks, Path(folder) / "tokenizer.model")
    write_tokenizer_json(tokenizer, folder, context_length)
    return None
