"""``make-stories``: let a model tell many stories, and keep those that hold together.

Text to train on that is the project's own. Each story begins with a hero, "a brave cat named Tom",
so that it can be told on request: see ``dialogs.py``.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from llama_np import Sampling, generate_batch

from ..load import Model, load_model
from ..progress import Progress
from ..training.corpus import SEPARATOR
from ..training.heroes import draw_opening, find_hero
from ..training.options import add_model_option, add_option
from ..workers import one_blas_thread
from ..writing import check_place, replacing

HELP = "let a model tell stories to train on"
DESCRIPTION = (
    "Let a model tell stories about heroes drawn at random, and keep those that end by themselves, "
    "keep their hero, repeat no sentence and invent no words."
)
BATCH = 64  # stories told at a time
LONGEST = 420  # tokens; a story that is longer has lost its way
OFTEN = 3  # a word that fewer of the stories use counts as invented
NEW_NAMES = 0.5  # heroes with an invented name: more than are asked for, since fewer are kept


def tell(model: Model, count: int, seed: int) -> Iterator[list[str]]:
    """Stories, a batch at a time; only those that end by themselves."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        openings = [
            draw_opening(rng, new_names=NEW_NAMES) for _ in range(min(BATCH, count - start))
        ]
        prompts = [model.tokenizer.encode(text, bos=True) for text in openings]
        told = continuations(model, prompts, rng, temperature=0.7)
        pairs = zip(openings, told, strict=True)
        yield [(opening + rest).rstrip() for opening, rest in pairs if rest is not None]


def continuations(
    model: Model, prompts: Sequence[Sequence[int]], rng: np.random.Generator, temperature: float
) -> list[str | None]:
    """What the model writes behind each prompt; None where it does not come to an end in time."""
    longest = max(len(prompt) for prompt in prompts)
    room = min(LONGEST, model.config.context_length - longest)
    with one_blas_thread():  # the products are small: a second thread would only be waited for
        told = generate_batch(
            model.weights, model.config, prompts, room, Sampling(temperature, top_p=0.95),
            rng=rng, stop_tokens=model.tokenizer.stop_ids,
            vocab_size=model.tokenizer.vocab_size,
        )  # fmt: skip
    return [model.tokenizer.decode(ids) if len(ids) < room else None for ids in told]


def words(story: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)?", story.lower())


def keeps_hero(story: str) -> bool:
    """Whether the hero is named in the second half, and as often as anybody else in the story.

    A name is a word that has a capital letter inside a sentence.

    >>> keeps_hero("Once upon a time, there was a big cat named Tom. One day Tom sat on Tim.")
    True
    """
    hero = find_hero(story)
    if hero is None:
        return False
    names = set(re.findall(r"(?<=[a-z,] )[A-Z][a-z]+\b", story))
    named = Counter(word for word in re.findall(r"\w+", story) if word in names)
    late = re.findall(r"\w+", story[len(story) // 2 :])
    return hero.name in late and named[hero.name] == max(named.values())


def repeats_itself(story: str) -> bool:
    """Whether a sentence of four words or more comes twice."""
    sentences = [words(sentence) for sentence in re.split(r"[.!?]", story)]
    long = [tuple(sentence) for sentence in sentences if len(sentence) >= 4]
    return len(set(long)) < len(long)


def keep_good(stories: Sequence[str], often: int = OFTEN) -> list[str]:
    """Those that keep their hero, repeat no sentence, use no word that hardly any other uses.

    The hero's name may be a word of its own: it was drawn, not invented by the model.
    """
    uses = Counter(word for story in stories for word in set(words(story)))
    return [
        story
        for story in stories
        if keeps_hero(story)
        and not repeats_itself(story)
        and all(uses[word] >= often for word in set(words(story)) - hero_words(story))
    ]


def hero_words(story: str) -> set[str]:
    """The hero's name, and what is the hero's."""
    hero = find_hero(story)
    return set(words(f"{hero.name}, {hero.name}'s")) if hero else set()


def write_stories(path: Path, stories: Iterable[str]) -> None:
    """A text file of documents, as ``train`` reads it."""
    with replacing(path) as beside:
        beside.write_text(f"\n{SEPARATOR}\n".join(stories) + "\n", encoding="utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    add_model_option(parser)
    add_option(parser, "count", 2560, "stories to tell; about two in five are kept")
    add_option(parser, "seed", 0, "the same seed gives the same stories")


def run(args: argparse.Namespace) -> None:
    """Tell, choose, write, and say how many were kept."""
    if args.count < 1:
        raise ValueError(f"--count must be at least 1, got {args.count}")
    check_place(args.out)
    model = load_model(args.model)
    if model.tokenizer is None:
        raise ValueError(f"{model.path}: has no tokenizer, so it cannot tell anything")
    progress, stories = Progress(-(-args.count // BATCH)), []
    for done, batch in enumerate(tell(model, args.count, args.seed), start=1):
        stories += batch
        progress.show(done, f"batches of {BATCH} stories")
    kept = keep_good(stories)
    if not kept:
        raise ValueError(
            f"none of {len(stories)} stories holds together; tell more with --count, since words "
            f"that fewer than {OFTEN} of them use count as invented"
        )
    write_stories(args.out, kept)
    size = args.out.stat().st_size
    print(f"{args.out}: {len(kept)} of {args.count} stories kept, {size:,} bytes", file=sys.stderr)
