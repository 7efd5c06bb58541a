"""GPT-2's tokenizer as OpenAI released it: a vocabulary in JSON, and the merges, one a line.

Hugging Face calls the files vocab.json and merges.txt, OpenAI encoder.json and vocab.bpe.
"""

import os
from pathlib import Path

from llama_np.config import brief
from llama_np.tokenizer.bpe import GPT2_PATTERN, BPETokenizer

from ..reading import TABLE, read_object, read_text
from .read_tokenizer_json import byte_level, pairs_of, tokenizer_from
from .special_tokens import (
    MERGES,
    VOCAB,
    Ends,
    added_beside,
    expect,
    name_of,
    object_beside,
    typed,
)
from .tokenizer_json import PRE_TOKENIZERS

END = "<|endoftext|>"  # GPT-2's only special token: it stands between two texts


def read_vocab_and_merges(vocab: str | os.PathLike, merges: str | os.PathLike) -> BPETokenizer:
    """Read the two files; tiktoken then does the work, as for Llama 3.

    Raises ``FileNotFoundError`` or ``ValueError`` with the file's name.
    """
    ids, merges = read_object(vocab, TABLE), Path(merges)
    try:
        for token, i in ids.items():
            typed(i, int, f"the id of {brief.repr(token)}")
        special = {END: ids.pop(END)} if END in ids else {}
        pairs = pairs_of(_lines(merges))
        ends = Ends(None, END if special else None, (END,))
        return byte_level(ids, pairs, special, GPT2_PATTERN, False, ends)
    except ValueError as error:
        raise ValueError(f"{vocab}, {merges}: {error}") from None


def read_gpt2_folder(folder: Path) -> BPETokenizer:
    """The two files of a folder without a tokenizer.json, for a Llama that has this tokenizer.

    They do not say how text is cut; that tokenizer_config.json asks for GPT2Tokenizer does. Then
    transformers makes a tokenizer.json of them, and so do we.

    Raises ValueError for another class, and for a space in front.
    """
    config = object_beside(folder, "tokenizer_config.json")
    vocab, lines = read_object(folder / VOCAB, TABLE), _lines(folder / MERGES)
    try:
        kind = config.get("tokenizer_class")
        if kind not in ("GPT2Tokenizer", "GPT2TokenizerFast"):
            raise ValueError(
                f"expected the tokenizer_class GPT2Tokenizer, or a tokenizer.json beside, got "
                f"{brief.repr(kind)}; save the tokenizer again as a tokenizer.json"
            )
        expect(not config.get("add_prefix_space"), "no add_prefix_space")
        added = ({END: vocab[END]} if END in vocab else {}) | added_beside(folder)
        first = config.get("bos_token", END) if config.get("add_bos_token") else None
        values = {
            "model": {"vocab": vocab, "merges": lines},
            "pre_tokenizer": PRE_TOKENIZERS[GPT2_PATTERN][0],
            "added_tokens": [
                {"id": i, "content": name, "special": True} for name, i in added.items()
            ],
            "post_processor": first and template_with(name_of(first)),
        }
        return tokenizer_from(values, folder, END if END in added else None)
    except ValueError as error:
        raise ValueError(f"{folder}: {VOCAB} and {MERGES}: {error}") from None


def template_with(first: str) -> dict:
    """The post_processor that puts a token in front of a text, as far as it is read."""
    return {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": first}}]}


def _lines(merges: Path) -> list[str]:
    lines = read_text(merges).split("\n")
    return [line for line in lines if line and not line.startswith("#version")]
