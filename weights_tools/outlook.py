"""What generating with a model would meet: ``inspect`` says it, ``verify`` where it matters."""

from collections.abc import Iterator

from llama_np.config import LlamaConfig
from llama_np.tokenizer import Tokenizer
from llama_np.tokenizer.chat import has_llama3_dialogs

from .tokenizers.chat_template import end_of_turn
from .tokenizers.fit import padding, without_row

SHOWN = 3  # tokens that are named; there may be a dozen


def troubles(tokenizer: Tokenizer, config: LlamaConfig) -> Iterator[str]:
    """A line for what stops every text."""
    if tokenizer.bos_id is not None and tokenizer.bos_id >= config.vocab_size:
        yield (
            f"every text begins with {tokenizer.bos}, id {tokenizer.bos_id}, and the model has "
            f"{config.vocab_size} rows; take its own tokenizer"
        )
    try:
        if tokenizer.chat_template is not None:
            end_of_turn(tokenizer)
    except ValueError as error:
        yield str(error)


def notes(tokenizer: Tokenizer, config: LlamaConfig) -> Iterator[str]:
    """A line for each thing that is allowed, and better known before."""
    yield from padding(tokenizer, config)
    yield from without_row(tokenizer, config)
    if not any(i < config.vocab_size for i in tokenizer.stop_ids):
        yield "no token ends a text: writing goes on until the context is full"
    if not can_chat(tokenizer):
        yield "no chat template: --chat is not for this model"


def can_chat(tokenizer: Tokenizer) -> bool:
    """Whether there is a form in which the model can be talked to."""
    return tokenizer.chat_template is not None or has_llama3_dialogs(tokenizer)


def lines(tokenizer: Tokenizer | None, config: LlamaConfig) -> Iterator[tuple[str, str]]:
    """The lines of ``inspect``: a word, and what there is to it."""
    if tokenizer is None:
        yield "text", "no tokenizer that can be read"
    else:
        known = tokenizer.vocab_size
        yield "text", f"{known} tokens, {len(tokenizer.special_tokens)} of them special"
        begin = "nothing" if tokenizer.bos is None else f"{tokenizer.bos} ({tokenizer.bos_id})"
        yield "a text begins", f"with {begin}"
        yield "and ends", at(tokenizer, tokenizer.stop_ids) or "nowhere"
        yield "--chat", chat_line(tokenizer)
    yield "context", f"{config.context_length} tokens, question and answer together"


def at(tokenizer: Tokenizer, ids: frozenset[int]) -> str:
    """Where a text ends, in words; empty where nothing ends it."""
    first = [f"{tokenizer.token(i)} ({i})" for i in sorted(ids)[:SHOWN]]
    return f"at {', '.join(first)}{', ...' if len(ids) > SHOWN else ''}" if ids else ""


def chat_line(tokenizer: Tokenizer) -> str:
    """In which form the model is talked to, and what ends its turn."""
    if tokenizer.chat_template is None:
        return "in Llama 3's form" if has_llama3_dialogs(tokenizer) else "not for this model"
    try:
        end = at(tokenizer, end_of_turn(tokenizer))
    except ValueError as error:
        return str(error)
    return f"by its own template, which ends a turn {end}" if end else "by its own template"
