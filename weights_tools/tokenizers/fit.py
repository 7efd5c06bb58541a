"""Whether a tokenizer and a model have the same ids, and what it means where they have not."""

from collections.abc import Iterator
from pathlib import Path

from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer


def fitted(tokenizer: Tokenizer, vocab_size: int, path: Path) -> Tokenizer:
    """The tokenizer, told how many ids the model has.

    A model may have more: rows that pad its vocabulary, which then decode to nothing. It may lack
    some special tokens that were added later, and then refuses these alone. ``ValueError`` where it
    lacks an ordinary token: the two are not of one model.
    """
    special = tokenizer.special_tokens.values()
    missing = [i for i in range(vocab_size, tokenizer.vocab_size) if i not in special]
    if missing:
        raise ValueError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, the model only "
            f"{vocab_size}; the two belong to different models"
        )
    tokenizer.padded_size = max(vocab_size, tokenizer.vocab_size)
    return tokenizer


def without_row(tokenizer: Tokenizer, config: LlamaConfig) -> Iterator[str]:
    """A line where the model has no row for some of the tokens."""
    names = [name for name, i in tokenizer.special_tokens.items() if i >= config.vocab_size]
    if names:
        told = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        yield (
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}: it "
            f"has no row for {told}, and refuses texts that need one"
        )


def padding(tokenizer: Tokenizer, config: LlamaConfig) -> Iterator[str]:
    """A line where the model has rows for no token."""
    if config.vocab_size > tokenizer.vocab_size:
        yield (
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}; the "
            "ids between them stand for no text, and are never chosen"
        )
