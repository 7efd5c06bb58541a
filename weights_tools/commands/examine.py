"""``examine``: which heads of a model have a job that can be named, and what it can copy."""

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np

from ..arguments import seed
from ..examine import (
    COPIED,
    SEQUENCES,
    SURE,
    Head,
    copies,
    heads_with_jobs,
    name_probabilities,
    remembered_facts,
)
from ..load import Model, load_model
from ..training.corpus import read_facts
from ..training.dialogs import UNSEEN_QUESTIONS, declines, request
from ..training.drills import is_held_out
from ..training.heroes import KNOWN_NAMES, draw_opening, find_hero
from ..workers import one_blas_thread
from .make_preferences import answers

REQUESTED = 96  # requests for a story that a chat model gets
HELP = "find heads with a job, and what a model can copy"
DESCRIPTION = (
    "Look for heads with a job that can be named (they read the token before, the first token, an "
    "earlier copy, what followed it, a name, the start of the sentence) and say how much the loss "
    "grows when each writes nothing; measure whether the model copies random tokens and names it "
    "never heard before."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", nargs="?",
        help="folder, file or name (default: the variable LLAMA_MODEL, else the model that ships)",
    )  # fmt: skip
    parser.add_argument(
        "--best", type=int, default=2, metavar="N", help="heads to show for each job (default: 2)"
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="S", help="other random tokens and names"
    )
    parser.add_argument(
        "--chat", action="store_true",
        help="measure a chat model's answers instead: to requests for stories, and to questions "
        "that ask for none (takes minutes)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Print a line as soon as it is known."""
    if args.best < 1:
        raise ValueError(f"--best must be at least 1, got {args.best}")
    model = load_model(args.model)
    if model.tokenizer is None:
        raise ValueError(f"{model.path}: has no tokenizer, so text cannot be encoded")
    with one_blas_thread():  # short texts: a second thread would only be waited for
        lines = chat_figures if args.chat else partial(figures, best=args.best)
        for line in lines(model, seed=args.seed):
            print(line, flush=True)


def figures(model: Model, best: int = 2, seed: int = 0) -> Iterator[str]:
    """The lines of the report."""
    parts = model.weights, model.config, model.tokenizer
    first, second = copies(*parts, seed)
    yield f"{COPIED} random tokens and the same again, mean of {SEQUENCES}, nats a token:"
    yield f"  first copy {first:.2f}, second {second:.2f}: {first - second:.2f} less"
    names = name_probabilities(*parts, seed)
    yield (
        f"a name never seen, after two mentions: above {SURE} for {int((names > SURE).sum())} of "
        f"{len(names)}, median {np.median(names):.2f}"
    )
    facts = remembered_facts(*parts)
    yield f"facts and countings, last word remembered: {sum(facts.values())} of {len(facts)}"
    yield ""
    yield f"  {'job':18} {'head':>6}  {'weight':>6}  {'loss':>6}  {'without':>7}  it reads"
    yield from map(head_line, heads_with_jobs(*parts, best, seed))
    yield ""
    yield "  head: block.head, from 0; weight: its mean on what the job reads; loss and without:"
    yield "  nats with the head and without, on the second copies, the names, or stories"


def chat_figures(model: Model, seed: int = 0, requests: int = REQUESTED) -> Iterator[str]:
    """The lines of the report on a chat model."""
    rng = np.random.default_rng([seed, 99])
    heroes = [find_hero(draw_opening(rng, held_out=True)) for _ in range(requests)]
    told = answers(model, [request(hero, i) for i, hero in enumerate(heroes)], rng)
    right = [find_hero(story or "") == hero for story, hero in zip(told, heroes, strict=True)]
    new = [is_held_out(hero.name) and hero.name not in KNOWN_NAMES for hero in heroes]
    of_new = sum(a for a, b in zip(right, new, strict=True) if b)
    yield f"requests for a story, hero as asked for: {sum(right)} of {requests}"
    yield f"  those with a name never heard before: {of_new} of {sum(new)}"
    questions = read_facts(UNSEEN_QUESTIONS)
    said = [declines(answer or "") for answer in answers(model, questions, rng)]
    yield f"questions never seen that ask for no story, openly declined: {sum(said)} of {len(said)}"


def head_line(head: Head) -> str:
    """One head in a line of the table."""
    place = f"{head.block}.{head.head}"
    return (
        f"  {head.job.name:18} {place:>6}  {head.weight:6.2f}  {head.loss:6.2f}  "
        f"{head.loss_without:7.2f}  {head.job.reads}"
    )
