"""Questions with answers to fine-tune on, and pairs of answers to compare.

A story that begins with its hero becomes the answer to a request for it: "Write a story about a cat
named Tom." The facts that are questions come with them. To all other questions the answer says
openly that the model can do nothing but tell stories, and offers one: it is small, and would
otherwise make something up.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.tokenizer import Tokenizer

from ..reading import read_lines_of
from ..writing import replacing
from .corpus import STORIES, encode_answer, read_documents, read_facts
from .heroes import Hero, draw_opening, find_hero
from .stages import Answer

REQUESTS = (
    "Write a story about a {kind} named {name}.",
    "Tell me a story about a {kind} named {name}.",
    "Please write a story about a {kind} named {name}.",
    "Can you tell a story about a {kind} named {name}?",
)
PLAIN_REQUESTS = (
    "Tell me a story.", "Can you tell me a story?", "Please tell me a story.",
    "I want to hear a story.",
)  # fmt: skip
PLAIN_EVERY = 8  # one request in so many names no hero
DECLINES = (
    "I do not know that. I only tell stories. Shall I tell you one?",
    "I only tell stories. Shall I tell you one about a {kind} named {name}?",
    "That I cannot do, because I only tell stories. Do you want to hear one?",
    "I am a very small Llama, and I only tell stories. Do you want one about a {kind}?",
)
HERE = Path(__file__).parent
PREFERENCES = HERE / "preferences.jsonl"
QUESTIONS = HERE / "questions.txt"  # that ask for no story
UNSEEN_QUESTIONS = HERE / "unseen_questions.txt"  # never trained on: to measure with


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
    """Every story that says who its hero is, as the answer to a request; wordings take turns.

    One request in ``PLAIN_EVERY`` asks for a story and no more.
    """
    heroes = [(find_hero(story), story) for story in stories]
    with_hero = [(hero, story) for hero, story in heroes if hero]
    return [
        Dialog(
            PLAIN_REQUESTS[i // PLAIN_EVERY % len(PLAIN_REQUESTS)]
            if i % PLAIN_EVERY == PLAIN_EVERY - 1
            else request(hero, i),
            story,
        )
        for i, (hero, story) in enumerate(with_hero)
    ]


def fact_dialogs(facts: Sequence[str] | None = None) -> list[Dialog]:
    """The facts that are a question and an answer; by default those that ship."""
    lines = read_facts() if facts is None else facts
    return [Dialog(*line.split("\t")) for line in lines if "\t" in line]


def declining_dialogs(questions: Sequence[str], seed: int = 0) -> list[Dialog]:
    """Questions that ask for no story, each with an answer that says so and offers one."""
    rng = np.random.default_rng(seed)
    heroes = [find_hero(draw_opening(rng)) for _ in questions]
    return [
        Dialog(question, DECLINES[i % len(DECLINES)].format(**hero._asdict()))
        for i, (question, hero) in enumerate(zip(questions, heroes, strict=True))
    ]


def declines(answer: str) -> bool:
    """Whether an answer says openly that the model only tells stories, and offers one.

    >>> declines("I only tell stories. Shall I tell you one? "), declines("The answer is 42.")
    (True, False)
    """
    return "only tell stories" in answer and answer.rstrip().endswith("?")


def default_dialogs(facts_repeat: int = 12, questions_repeat: int = 2) -> list[Dialog]:
    """What the chat model that ships is tuned on: stories on request, facts, other questions.

    Each fact comes ``facts_repeat`` times and each question ``questions_repeat`` times, its answer
    worded in another way every time; all of them are spread evenly over the stories.
    """
    questions = read_facts(QUESTIONS)
    others = fact_dialogs() * facts_repeat
    for seed in range(questions_repeat):
        turned = questions[seed:] + questions[:seed]  # so that the wordings meet other questions
        others += declining_dialogs(turned, seed)
    order = np.random.default_rng(0).permutation(len(others))
    return spread(story_dialogs(read_documents(STORIES)), [others[i] for i in order])


def spread(some: Sequence[Dialog], others: Sequence[Dialog]) -> list[Dialog]:
    """Both in one list, each in its order, the ``others`` spread evenly.

    >>> spread(["s", "s", "s", "s"], ["o", "o"])
    ['s', 'o', 's', 's', 'o', 's']
    """
    where = [((i + 0.5) / len(some), 0, i) for i in range(len(some))]
    where += [((i + 0.5) / len(others), 1, i) for i in range(len(others))]
    return [(some, others)[kind][i] for _, kind, i in sorted(where)]


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

    Raises ``FileNotFoundError``, or ``ValueError`` with the line that is something else or not in
    UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; expected lines of JSON")
    for number, line in enumerate(read_lines_of(path), start=1):
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
