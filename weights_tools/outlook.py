"""What generating with a model would meet: ``inspect`` says it, ``verify`` where it matters."""

from collections.abc import Iterator

from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer

from .tokenizers.fit import padding, without_row


def troubles(tokenizer: Tokenizer, config: LlamaConfig) -> Iterator[str]:
    """A line for what stops every text."""
    if tokenizer.bos_id is not None and tokenizer.bos_id >= config.vocab_size:
        yield (
            f"every text begins with {tokenizer.bos}, id {tokenizer.bos_id}, and the model has "
            f"{config.vocab_size} rows; take its own tokenizer"
        )


def notes(tokenizer: Tokenizer, config: LlamaConfig) -> Iterator[str]:
    """A line for each thing that is allowed, and better known before."""
    yield from padding(tokenizer, config)
    yield from without_row(tokenizer, config)
    if not any(i < config.vocab_size for i in tokenizer.stop_ids):
        yield "no token ends a text: writing goes on until the context is full"


def lines(tokenizer: Tokenizer | None, config: LlamaConfig) -> Iterator[tuple[str, str]]:
    """The lines of ``inspect``: a word, and what there is to it."""
    if tokenizer is None:
        yield "text", "no tokenizer that can be read"
    else:
        known = tokenizer.vocab_size
        yield "text", f"{known} tokens, {len(tokenizer.special_tokens)} of them special"
        begin = "nothing" if tokenizer.bos is None else f"{tokenizer.bos} ({tokenizer.bos_id})"
        yield "a text begins", f"with {begin}"
        ends = sorted(tokenizer.stop_ids)
        names = ", ".join(f"{tokenizer.token(i)} ({i})" for i in ends[:3])
        yield "and ends", f"at {names}{', ...' if len(ends) > 3 else ''}" if ends else "nowhere"
        llama3 = "<|eot_id|>" in tokenizer.special_tokens
        yield "--chat", "with Llama 3's dialogs" if llama3 else "not for this model"
    yield "context", f"{config.context_length} tokens, question and answer together"
