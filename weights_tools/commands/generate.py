"""``generate``: let a Llama go on from a prompt, token by token; or talk to it.

``python -m llama_np "PROMPT"`` is the same.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from llama_np import Sampling, generate, log_probabilities, log_softmax
from llama_np.sampling import generation_steps
from llama_np.tokenizer import Tokenizer, stream_text
from llama_np.tokenizer.chat import encode_dialog, has_llama3_dialogs, latest_that_fit

from .. import Model, load_model
from ..arguments import seed
from ..tokenizers.chat_template import Messages, encode_chat, end_of_turn
from ..tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer
from . import exit_status

HELP = "let a model go on from a prompt, or talk to it"
DESCRIPTION = (
    "Let a Llama go on from a prompt. Text goes to standard output as it comes, figures go to "
    "standard error."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prompt", metavar="PROMPT", nargs="?",
        help="the text to go on from, \"\" to begin one; with --chat it may be left out",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="MODEL",
        help="a Llama: Hugging Face or Meta folder, .gguf file, llama2.c's .bin file, or a name: "
        "doll-house-chat, smollm2 (default: the variable LLAMA_MODEL, else the small model that "
        "ships)",
    )  # fmt: skip
    parser.add_argument(
        "--memory", choices=["auto", "float32", "mapped"],
        help="widen the weights to float32, or leave them in their file; auto: float32 if it fits "
        "(default: the variable LLAMA_MEMORY, else auto)",
    )  # fmt: skip
    parser.add_argument(
        "--max-new-tokens", type=int, metavar="N",
        help="stop after N tokens (default: where the text ends or the context is full)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=float, default=0.8, metavar="T",
        help="0: always the likeliest token; higher: more surprising (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--top-p", type=float, metavar="P", help="choose among the likeliest tokens that reach P"
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="choose among the K likeliest")
    parser.add_argument(
        "--min-p", type=float, metavar="P",
        help="choose among the tokens at least P times as likely as the likeliest",
    )  # fmt: skip
    parser.add_argument(
        "--repetition-penalty", type=float, default=1.0, metavar="R",
        help="above 1: tokens that stand in the text already become less likely (default: none)",
    )  # fmt: skip
    parser.add_argument("--seed", type=seed, metavar="S", help="the same seed gives the same text")
    parser.add_argument(
        "--chat", action="store_true",
        help="put the prompt as a user's question; without a prompt, talk until the input ends "
        "(default model: doll-house-chat)",
    )  # fmt: skip
    parser.add_argument(
        "--system", metavar="TEXT", help="with --chat: what the model is told before the talk"
    )
    parser.add_argument(
        "--special", action="store_true",
        help="read names of special tokens in the prompt, such as <|im_start|>, as these tokens",
    )  # fmt: skip
    parser.add_argument(
        "--logprobs", action="store_true",
        help="print a line per token, prompt included: id, log-probability in nats, token",
    )  # fmt: skip


class Tally:
    """Counts tokens on their way through and times them from the first on."""

    def __init__(self):
        self.count, self.first, self.last = 0, 0.0, 0.0

    def through(self, items: Iterator, skip: int = 0) -> Iterator:
        """The same items, counted from the one after the first ``skip``."""
        yield from islice(items, skip)
        for item in items:
            self.last = time.perf_counter()
            self.first = self.first or self.last
            self.count += 1
            yield item

    def __str__(self) -> str:
        pace = (
            f", {(self.count - 1) / (self.last - self.first):.0f} tokens/s"
            if self.count > 1
            else ""
        )
        return f"{self.count} token{'' if self.count == 1 else 's'}{pace}"


def model_for(args: argparse.Namespace) -> Model:
    """The model that was asked for, refused where it cannot do what is wanted."""
    chat_model = None if os.environ.get("LLAMA_MODEL") else "doll-house-chat"
    model = load_model(args.model or (chat_model if args.chat else None), args.memory)
    if model.tokenizer is None:
        raise ValueError(
            f"{model.path}: found no tokenizer, or none that can be read, so the prompt cannot be "
            "encoded; put the tokenizer.model, tokenizer.json or (llama2.c) tokenizer.bin of the "
            "model beside it"
        )
    return model


class Chat(NamedTuple):
    """How a model is talked to: what makes ids of messages, and which ids end its turn."""

    encode: Callable[[Messages], list[int]]
    stop_ids: frozenset[int]


def chat_of(model: Model, system: Messages = ()) -> Chat:
    """By the model's own template, or else in Llama 3's format where it has its tokens.

    ``system``: the message before all others, which some templates demand.
    """
    tokenizer = model.tokenizer
    try:
        if tokenizer.chat_template is not None:
            ends = tokenizer.stop_ids | end_of_turn(tokenizer, system)
            return Chat(partial(encode_chat, tokenizer), ends)
    except ValueError as error:
        raise ValueError(f"{model.path}: {error}") from None
    if not has_llama3_dialogs(tokenizer):
        raise ValueError(
            f"{model.path}: this model has no chat template, and not the special tokens of Llama "
            "3's chats; leave out --chat, or put its chat_template.jinja beside it"
        )
    return Chat(partial(encode_dialog, tokenizer), tokenizer.stop_ids)


def write(text: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def sampling_of(args: argparse.Namespace) -> Sampling:
    """How the command line wants tokens chosen."""
    return Sampling(args.temperature, args.top_k, args.top_p, args.min_p, args.repetition_penalty)


def encode_prompt(tokenizer: Tokenizer, text: str, special: bool) -> list[int]:
    """A plain prompt; the token that begins a text comes once, even where the prompt names it."""
    ids = tokenizer.encode(text, allow_special=special)
    bos = tokenizer.bos_id
    return ids if bos is None or (special and ids[:1] == [bos]) else [bos, *ids]


def continuation(
    model: Model, ids: list[int], stop_ids: Collection[int], args: argparse.Namespace, rng
) -> Iterator[int]:
    """What ``generate`` yields with the settings of the command line."""
    return generate(
        model.weights, model.config, ids, args.max_new_tokens, sampling_of(args),
        rng=rng, stop_tokens=stop_ids, vocab_size=model.tokenizer.vocab_size,
    )  # fmt: skip


def with_logprobs(
    model: Model, ids: list[int], stop_ids: Collection[int], args: argparse.Namespace, rng
) -> Iterator[tuple[int, float | None]]:
    """The tokens of prompt and continuation, each with its log-probability in nats.

    It is the model's own, before temperature and cuts. The first token has nothing before it.
    """
    steps = generation_steps(
        model.weights, model.config, ids, args.max_new_tokens, sampling_of(args),
        rng=rng, vocab_size=model.tokenizer.vocab_size,
    )  # fmt: skip
    yield ids[0], None
    known = log_probabilities(model.weights, model.config, ids)
    yield from zip(ids[1:], known.tolist(), strict=True)
    for token, logits in steps:
        if int(token) in stop_ids:
            return
        yield int(token), float(log_softmax(logits)[token])


def write_text(texts: Iterator[str]) -> str:
    """Each text as it comes, then the end of the line; returns them together."""
    together = ""
    try:
        for text in texts:
            write(text)
            together += text
    finally:
        write("\n")  # a message shall not hang on to the text
    return together


def write_logprobs(model: Model, items: Iterator) -> None:
    """A line for each token: id, log-probability, token."""
    for token, nats in items:
        shown = " " * 8 if nats is None else f"{nats:8.4f}"
        write(f"{token:6d} {shown} {model.tokenizer.token(token)}\n")


def talk(model: Model, chat: Chat, args: argparse.Namespace, rng, tally: Tally) -> None:
    """Question and answer in turns, from standard input, until it ends.

    The whole talk goes back into the model each time, as far as it fits; the oldest turns go first.
    """
    context = model.config.context_length
    room = context - min(context // 2, 1024)  # what the answer may take
    messages = system_message(args)
    print("Ask, and end each question with Enter; an empty line or Ctrl-D ends.", file=sys.stderr)
    while question := ask():
        try:
            asked = [*messages, {"role": "user", "content": question}]
            asked = latest_that_fit(chat.encode, asked, room)
            new = continuation(model, chat.encode(asked), chat.stop_ids, args, rng)
        except ValueError as error:  # a question that is too long does not end the talk
            print(f"error: {error}", file=sys.stderr)
            continue
        answer = write_text(stream_text(model.tokenizer, tally.through(new)))
        answer = answer.removeprefix(front(model.tokenizer))
        messages = [*asked, {"role": "assistant", "content": answer}]


def front(tokenizer: Tokenizer) -> str:
    """What is no part of an answer that begins with it: the space SentencePiece puts before a text.

    A template puts its own before what was said. transformers: the ``Strip`` of the decoder.
    """
    rule = tokenizer.piece_list if isinstance(tokenizer, SentencePieceTokenizer) else None
    return " " if rule and (rule.dummy_prefix or rule.metaspace) else ""


def system_message(args: argparse.Namespace) -> list[dict[str, str]]:
    """The message before all others, where the command line has one."""
    return [] if args.system is None else [{"role": "system", "content": args.system}]


def ask() -> str:
    """The next question; empty where there is none."""
    if sys.stdin.isatty():
        print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def run(args: argparse.Namespace) -> int:
    """Go on from the prompt; an interruption is told how far it came."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    tally = Tally()
    try:
        go_on(args, tally)
    except KeyboardInterrupt:
        print(f"[stopped: {tally}]", file=sys.stderr)
        return 130
    return 0


def go_on(args: argparse.Namespace, tally: Tally) -> None:
    """Load, encode, generate, write."""
    if args.prompt is None and not args.chat:
        raise ValueError('expected a prompt, for example "Once upon a time", or --chat to talk')
    if args.prompt is None and sys.stdin is None:
        raise ValueError("the standard input is closed; put a question behind --chat")
    if args.system is not None and not args.chat:
        raise ValueError("--system is for talks; put --chat beside it")
    model = model_for(args)
    if args.prompt == "" and (args.chat or model.tokenizer.bos_id is None):
        raise ValueError(
            "the prompt is empty; write one: "
            + ("a question" if args.chat else "this model has no token that begins a text")
        )
    rng = np.random.default_rng(args.seed) if args.temperature else None
    chat = chat_of(model, system_message(args)) if args.chat else None
    if args.prompt is None:
        talk(model, chat, args, rng, tally)
    else:
        go_on_from(args.prompt, model, chat, args, rng, tally)
    millions = model.config.count_parameters() / 1e6
    print(
        f"[{tally}, {model.path.resolve().name}: {millions:.1f} million parameters]",
        file=sys.stderr,
    )


def go_on_from(
    prompt: str, model: Model, chat: Chat | None, args: argparse.Namespace, rng, tally: Tally
) -> None:
    """One prompt, or one question, and what the model makes of it."""
    tokenizer = model.tokenizer
    if chat is None:
        ids, stop_ids = encode_prompt(tokenizer, prompt, args.special), tokenizer.stop_ids
    else:
        ids = chat.encode([*system_message(args), {"role": "user", "content": prompt}])
        stop_ids = chat.stop_ids
    if args.logprobs:
        new = with_logprobs(model, ids, stop_ids, args, rng)
        write_logprobs(model, tally.through(new, skip=len(ids)))
    else:
        new = continuation(model, ids, stop_ids, args, rng)
        write("" if args.chat else prompt)
        write_text(stream_text(tokenizer, tally.through(new)))


def main(argv: list[str] | None = None) -> int:
    """``python -m llama_np``: this command by itself."""
    parser = argparse.ArgumentParser(prog="python -m llama_np", description=DESCRIPTION)
    add_arguments(parser)
    return exit_status(run, parser.parse_args(argv))
