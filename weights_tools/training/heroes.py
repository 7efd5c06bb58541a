"""Who a told story is about: drawn at random, said in its first sentence, found there again."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .corpus import STORIES, read_documents
from .drills import invent

KINDS = ["girl", "boy"] * 2 + ["cat", "dog", "bird", "bunny", "bear", "mouse", "frog", "fox"]
KINDS += ["duck", "fish"]
ADJECTIVES = ["little", "young", "small", "big", "brave", "happy", "kind", "clever"]
NAMES = {
    "girl": ["Lily", "Mia", "Lucy", "Jane", "Daisy", "Molly", "Sue", "Amy"],
    "boy": ["Tim", "Tom", "Sam", "Max", "Jack", "Billy", "Ben", "Bob"],
}
NEW_NAMES = 0.3  # share of heroes with a name that nobody has
ANIMAL_NAMES = ["Tom", "Max", "Spot", "Lily", "Tim", "Lucy", "Sam", "Daisy", "Mia", "Billy"]
KNOWN_NAMES = {*ANIMAL_NAMES, *NAMES["girl"], *NAMES["boy"]}
OPENING = re.compile(r"Once upon a time, there was a (\w+ )?(?P<kind>\w+) named (?P<name>\w+)\.")


class Hero(NamedTuple):
    """Who a story is about."""

    kind: str
    name: str


def draw_opening(
    rng: np.random.Generator, held_out: bool = False, new_names: float = NEW_NAMES
) -> str:
    """The first sentence of a story, about a hero drawn at random.

    A share of ``new_names`` has an invented name; ``held_out`` draws these from the ones that are
    kept from training.
    """
    kind = str(rng.choice(KINDS))
    adjective, name = rng.choice(ADJECTIVES), rng.choice(NAMES.get(kind, ANIMAL_NAMES))
    if rng.random() < new_names:
        name = invent(rng, held_out).capitalize()
    return f"Once upon a time, there was a {adjective} {kind} named {name}."


def find_hero(story: str) -> Hero | None:
    """Who the story says it is about, or None where it begins in another way.

    >>> find_hero("Once upon a time, there was a brave cat named Tom. He slept.")
    Hero(kind='cat', name='Tom')
    """
    found = OPENING.match(story)
    return Hero(found["kind"], found["name"]) if found else None


def read_stories(path: Path = STORIES) -> list[str]:
    """The stories that ship whose hero has a name that many stories have: ordinary text.

    The others, which are there to learn from how a new name is taken over, are left out.
    """
    heroes = [(find_hero(story), story) for story in read_documents(path)]
    return [story for hero, story in heroes if hero is None or hero.name in KNOWN_NAMES]
