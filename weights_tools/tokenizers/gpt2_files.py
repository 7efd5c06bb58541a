"""GPT-2's tokenizer as OpenAI released it: a vocabulary in JSON, and the merges, one a line.

Hugging Face calls the files vocab.json and merges.txt, OpenAI encoder.json and vocab.bpe.
"""

import os
from pathlib import Path

from llama_np.config import brief
from llama_np.tokenizer.bpe import GPT2_PATTERN, BPETokenizer

from ..reading import TABLE, read_object, read_text
from .read_tokenizer_json import byte_level, pairs_of
from .special_tokens import Ends, typed

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
        lines = read_text(merges).split("\n")
        pairs = pairs_of([line for line in lines if line and not line.startswith("#version")])
        ends = Ends(None, END if special else None, (END,))
        return byte_level(ids, pairs, special, GPT2_PATTERN, False, ends)
    except ValueError as error:
        raise ValueError(f"{vocab}, {merges}: {error}") from None
