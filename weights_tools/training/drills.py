"""Drills: short made-up documents that ask for what stories ask too rarely.

A model that has read only stories seldom needs to copy: the next word mostly follows from the
kind of story. So that it learns to look back, a small share of its text, 3 per cent, is
drills: a list of words that comes again, a name never heard before that goes through a few
sentences, an odd word that is said again. What is in them is random; only where to look for it
can be learned.

Names and odd words are put together from syllables. A quarter of them, by their checksum, never
comes in training (``is_held_out``), so that what was learned can be measured on new ones.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

FREQUENT = 1500  # so many of the stories' words come in lists
ONSETS = "b d f g h j k l m n p r s t v w z bl br cl dr fl gr kr pl sh sn st th tr".split()
VOWELS = "a e i o u oo ee".split()
CODAS = ["", "", "", *"b ck g l m n p r sh t x".split()]
KINDS = "girl boy cat dog bird bunny bear mouse frog fox duck fish woman man robot dragon".split()
TRAITS = "little big young old brave kind happy sad clever tiny funny shy".split()
PLACES = "park garden forest lake house shop beach farm hill school zoo river".split()
THINGS = "ball box cake hat book flower toy kite stone bell boat apple drum shell".split()
FRIENDS = ["Mom", "Dad", "Tom", "Lily", "the cat", "the old man", "a friend", "Grandma"]

BEGINNINGS = (
    "Once upon a time, there was a {trait} {kind} named {name}.",
    "There was a {kind} named {name}.",
    "One day, a {trait} {kind} named {name} went to the {place}.",
    "A {kind} named {name} lived near the {place}.",
    "{friend} knew a {trait} {kind} named {name}.",
)
MIDDLES = (
    "{name} liked the {thing}.",
    "{name} was very {trait}.",
    "Near the {place}, {name} saw a {thing}.",
    "{friend} gave {name} a {thing}.",
    "Everyone near the {place} knew {name}.",
    "{name} and {friend} went to the {place}.",
)
ENDS = (
    '"Hello, {name}!" said {friend}.',
    '"My name is {name}," said the {kind}.',
    '{friend} said, "{name}, come here!"',
    "The {thing} was for {name}.",
    '"Thank you," said {name}.',
    '"Where is {name}?" asked {friend}.',
    "{friend} smiled at {name}.",
    "And {name} was happy.",
)
ODD_WORDS = (
    'The word is {word}. Say it again: {word}. Say it once more: {word}.',
    '"{word}!" said {friend}. "{word}!" said the {kind}. "What is {word}?" they asked.',
    "The {kind} found a {word}. It was a {trait} {word}. {friend} wanted the {word} too.",
    "{word}, {word}, {word}, {word}",
    '"I can say {word}," said the {kind}. "Can you say {word}?" "{word}," said {friend}.',
)  # fmt: skip


def invent(rng: np.random.Generator, held_out: bool = False) -> str:
    """A word of two or three syllables that is no word; see ``is_held_out``.

    >>> [invent(np.random.default_rng(seed)) for seed in range(3)]
    ['clobnabesh', 'wooxdesh', 'fleesnammep']
    """
    while True:
        word = "".join(
            str(rng.choice(ONSETS)) + str(rng.choice(VOWELS)) + str(rng.choice(CODAS))
            for _ in range(rng.choice([2, 2, 3]))
        )
        if is_held_out(word) == held_out:
            return word


def is_held_out(word: str) -> bool:
    """Whether an invented word is kept from training: one in four, by its checksum."""
    return zlib.crc32(word.lower().encode()) % 4 == 0


def frequent_words(texts: Iterable[str], n: int = FREQUENT) -> list[str]:
    """The ``n`` most frequent words of two letters or more, lower case only."""
    counts = Counter(word for text in texts for word in re.findall(r"\b[a-z]{2,}\b", text))
    return sorted(counts, key=lambda word: (-counts[word], word))[:n]


def repeated_list(rng: np.random.Generator, words: Sequence[str]) -> str:
    """Some words drawn at random, and the same ones again, two to four times in all.

    Where there are no ``words``, odd ones are invented.
    """
    n = int(rng.integers(3, 31))
    drawn = [str(rng.choice(words)) if words else invent(rng) for _ in range(n)]
    separator = str(rng.choice([" ", " ", ", "]))
    return separator.join(drawn * int(rng.choice([2, 2, 3, 4])))


def fill(rng: np.random.Generator, frames: Sequence[str], **fixed: str) -> str:
    """Frames filled with things drawn at random, the same ones in all of them."""
    lists = {
        "kind": KINDS, "trait": TRAITS, "place": PLACES, "thing": THINGS, "friend": FRIENDS,
    }  # fmt: skip
    drawn = {key: str(rng.choice(values)) for key, values in lists.items()}
    text = " ".join(frames).format(**drawn | fixed)
    return re.sub(r"(^|[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)


def new_name(rng: np.random.Generator) -> str:
    """A few sentences about somebody with a name never heard before."""
    middles = [str(frame) for frame in rng.choice(MIDDLES, int(rng.integers(1, 4)), replace=False)]
    ends = [str(frame) for frame in rng.choice(ENDS, int(rng.integers(1, 4)), replace=False)]
    frames = [str(rng.choice(BEGINNINGS)), *middles, *ends]
    return fill(rng, frames, name=invent(rng).capitalize())


def odd_word(rng: np.random.Generator) -> str:
    """An odd word, said several times."""
    return fill(rng, [str(rng.choice(ODD_WORDS))], word=invent(rng))


def draw_drills(count: int, words: Sequence[str], seed: int) -> list[str]:
    """``count`` drills: lists, names and odd words in turn, four to three to one.

    ``words`` are what the lists are made of. The same seed gives the same drills.
    """
    rng = np.random.default_rng([seed, 7])
    kinds = [0, 1, 0, 1, 0, 1, 0, 2]
    makers = (lambda: repeated_list(rng, words), lambda: new_name(rng), lambda: odd_word(rng))
    return [makers[kinds[i % len(kinds)]]() for i in range(count)]
