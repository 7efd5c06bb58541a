"""``make-preferences``: several answers to each request, paired by a rule: material for ``dpo``.

The rule stands in for a person who is asked which of two stories is better. It can be counted, so
one can see whether the model has learned what was preferred.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llama_np.tokenizer.chat import encode_dialog

from ..load import Model
from ..progress import Progress
from ..training.dialogs import Comparison, request, write_lines
from ..training.endings import ends_well
from ..training.heroes import Hero, draw_opening, find_hero
from ..training.options import add_model_option, add_option
from ..writing import check_place
from .finetune import load_chat_base
from .make_stories import BATCH, continuations

HELP = "pair answers of a chat model by a rule, for dpo"
DESCRIPTION = (
    "Ask a chat model for stories, several times for each, and pair one that ends well with one "
    "that does not: a story ends well if its last sentence says that somebody is happy."
)


def answers(
    model: Model, questions: Sequence[str], rng: np.random.Generator, temperature: float = 0.8
) -> list[str | None]:
    """One answer to each question; None where it did not end in time."""
    asked = [{"role": "user", "content": question} for question in questions]
    prompts = [encode_dialog(model.tokenizer, [message]) for message in asked]
    told = continuations(model, prompts, rng, temperature)
    return [text if text is None else text.strip() for text in told]


def draw_requests(rng: np.random.Generator, count: int) -> list[str]:
    """Requests for stories about heroes drawn at random."""
    heroes = [find_hero(draw_opening(rng)) or Hero("cat", "Tom") for _ in range(count)]
    return [request(hero, i) for i, hero in enumerate(heroes)]


def compare(model: Model, count: int, tries: int, seed: int) -> Iterator[list[Comparison]]:
    """Pairs, a batch of requests at a time: the first answer of either kind, if both came."""
    rng = np.random.default_rng(seed)
    per_batch = max(1, BATCH // tries)
    for start in range(0, count, per_batch):
        questions = draw_requests(rng, min(per_batch, count - start))
        told = answers(model, [question for question in questions for _ in range(tries)], rng)
        pairs = []
        for i, question in enumerate(questions):
            stories = [story for story in told[i * tries : (i + 1) * tries] if story]
            well = next((story for story in stories if ends_well(story)), None)
            other = next((story for story in stories if not ends_well(story)), None)
            if well and other:
                pairs.append(Comparison(question, well, other))
        yield pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    add_model_option(parser, "doll-house-chat")
    add_option(parser, "count", 480, "requests; about two thirds of them give a pair")
    add_option(parser, "tries", 4, "answers to each")
    add_option(parser, "seed", 0, "the same seed gives the same pairs")


def run(args: argparse.Namespace) -> None:
    """Ask, pair, write."""
    if args.count < 1 or args.tries < 2:
        raise ValueError(
            f"--count must be at least 1 and --tries 2, got {args.count} and {args.tries}"
        )
    check_place(args.out)
    model = load_chat_base(args.model)
    progress, pairs = Progress(-(-args.count // max(1, BATCH // args.tries))), []
    for done, batch in enumerate(compare(model, args.count, args.tries, args.seed), start=1):
        pairs += batch
        progress.show(done, f"batches of requests, {len(pairs)} pairs")
    write_lines(args.out, pairs)
    print(f"{args.out}: {len(pairs)} pairs from {args.count} requests", file=sys.stderr)
