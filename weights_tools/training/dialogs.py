"""Questions with answers to fine-tune on, and pairs of answers to compare.

A story that begins with its hero becomes the answer to a request for it: "Write a story about a cat
named Tom." The facts that are questions come with them.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.tokenizer import Tokenizer

from ..writing import replacing
from .corpus import STORIES, encode_answer, read_documents, read_facts
from .heroes import Hero, find_hero
from .stages import Answer

REQUESTS = (
    "Write a story about a {kind} named {name}.",
    "Tell me a story about a {kind} named {name}.",
    "Please write a story about a {kind} named {name}.",
    "Can you tell a story about a {kind} named {name}?",
)
PREFERENCES = Path(__file__).parent / "preferences.jsonl"


class Dialog(NamedTuple):
    """One question and its answer."""

    question: str
    answer: str


class Comparison(NamedTuple):
    """Two answers to one question, of which the first was preferred."""

    question: str
    preferred: str
    other: str


def request(hero: Hero, wording: int = 0) -> str:
    """How one asks for a story about this hero.

    >>> request(Hero("cat", "Tom"))
    'Write a story about a cat named Tom.'
    """
    return REQUESTS[wording % len(REQUESTS)].format(**hero._asdict())


def story_dialogs(stories: Sequence[str]) -> list[Dialog]:
    """Every story that says who its hero is, as the answer to a request; wordings take turns."""
    heroes = [(find_hero(story), story) for story in stories]
    with_hero = [(hero, story) for hero, story in heroes if hero]
    return [Dialog(request(hero, i), story) for i, (hero, story) in enumerate(with_hero)]


def fact_dialogs(facts: Sequence[str] | None = None) -> list[Dialog]:
    """The facts that are a question and an answer; by default those that ship."""
    lines = read_facts() if facts is None else facts
    return [Dialog(*line.split("\t")) for line in lines if "\t" in line]


def default_dialogs(facts_repeat: int = 4) -> list[Dialog]:
    """What the chat model that ships was tuned on: stories on request, and facts in between.

    Each fact comes ``facts_repeat`` times, spread over the first of them.
    """
    stories, facts = story_dialogs(read_documents(STORIES)), fact_dialogs() * facts_repeat
    every = max(1, len(stories) // max(1, len(facts)))
    mixed: list[Dialog] = []
    for i, story in enumerate(stories):
        mixed.append(story)
        if i % every == 0 and facts:
            mixed.append(facts.pop())
    return mixed


def encode(tokenizer: Tokenizer, dialog: Dialog, earlier: Sequence[Dialog] = ()) -> Answer:
    """A dialog in Llama 3's format, perhaps after earlier ones; all before its answer is given."""
    messages = [
        {"role": role, "content": text}
        for before in earlier
        for role, text in zip(("user", "assistant"), before, strict=True)
    ]
    ids, given = encode_answer(tokenizer, dialog.question, dialog.answer, messages)
    return Answer(np.array(ids), given)


def encode_all(
    tokenizer: Tokenizer, dialogs: Sequence[Dialog], context: int, follow_every: int = 3
) -> list[Answer]:
    """Every dialog that fits the context; one in ``follow_every`` after the one before it.

    So the model learns that a talk goes on. Where the two together do not fit, each stands alone.
    """
    encoded = []
    for i, dialog in enumerate(dialogs):
        before = dialogs[i - 1 : i] if i % follow_every == follow_every - 1 else []
        tries = [encode(tokenizer, dialog, before), encode(tokenizer, dialog)]
        encoded += [answer for answer in tries if len(answer.ids) - 1 <= context][:1]
    return encoded


def read_lines(path: Path, kind: type) -> Iterator:
    """One ``Dialog`` or ``Comparison`` for each line of JSON in a file.

    Raises ``FileNotFoundError``, or ``ValueError`` with the line that is something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; expected lines of JSON")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            texts = [values[key] for key in kind._fields]
            if not all(isinstance(text, str) and text.strip() for text in texts):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            expected = ", ".join(f'"{key}": "..."' for key in kind._fields)
            raise ValueError(f"{path}, line {number}: expected {{{expected}}}") from None
        yield kind(*texts)


def write_lines(path: Path, items: Sequence[NamedTuple]) -> None:
    """The inverse of ``read_lines``."""
    lines = [json.dumps(item._asdict(), ensure_ascii=False) for item in items]
    with replacing(path) as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
