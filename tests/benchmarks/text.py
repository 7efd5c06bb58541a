"""Text: characters a second through the tokenizer, and how long the lessons take."""

import importlib
import sys
import tempfile
import time
from pathlib import Path

import tiktoken

from tests.benchmarks.rows import Row
from tests.benchmarks.turns import seconds_for, take_turns
from weights_tools import load_tokenizer
from weights_tools.load import DOLL_HOUSE

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
SOURCES = NOTEBOOKS / "source"
STORIES = ROOT.parent / "shared/data/tinystories.txt"
LONG = 1_000_000  # characters
LEAST = 0.2  # seconds


def long_text() -> tuple[str, str]:
    """A million characters of stories where there are some, else of the lessons; and which."""
    if STORIES.is_file():
        return "stories", STORIES.read_text(encoding="utf-8")[:LONG]
    lessons = sorted(SOURCES.glob("*.py"))
    text = "".join(path.read_text(encoding="utf-8") for path in lessons)
    return "the lessons", (text * (1 + LONG // len(text)))[:LONG]


def tokenizer(repetitions: int) -> list[Row]:
    """Characters a second of ``Tokenizer.encode``, beside tiktoken with the same ranks."""
    kind, text = long_text()
    ours = load_tokenizer(DOLL_HOUSE / "tokenizer.model")
    alone = tiktoken.Encoding(
        "alone", pat_str=ours.pattern, mergeable_ranks=ours.ranks, special_tokens={}
    )
    if ours.encode(text) != alone.encode_ordinary(text):
        raise ValueError("our tokenizer and tiktoken disagree on a text")
    encoders = {"ours": ours.encode, "limit": alone.encode_ordinary}

    def rate(encode) -> float:
        return len(text) / seconds_for(lambda: encode(text), LEAST)

    samples = take_turns(
        {column: lambda encode=encode: rate(encode) for column, encode in encoders.items()},
        repetitions,
    )
    return [Row(f"tokenizer on a million characters of {kind}", "chars/s", samples, "tiktoken")]


def lessons(which: slice) -> list[Row]:
    """Seconds to execute lessons in a fresh kernel, with the doll-house."""
    sys.path.insert(0, str(NOTEBOOKS / "tools"))
    try:
        pages = importlib.import_module("pages")
    except SystemExit as missing:  # it says what to install
        raise ValueError(str(missing)) from None
    finally:
        sys.path.remove(str(NOTEBOOKS / "tools"))
    found = []
    for source in sorted(SOURCES.glob("[0-9]*.py"))[which]:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            pages.execute(pages.read_source(source), Path(folder), source.stem)
        seconds = time.perf_counter() - start
        found.append(Row(f"lesson {source.stem}", "s", {"ours": [seconds]}))
    return found
