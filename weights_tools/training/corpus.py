"""From a text file to batches of token ids.

A corpus is a text file of documents, separated by a line of its own. Its last part is held out and
never trained on. Beside the corpus stand the facts: one short document a line; a line with a tab is
a question and its answer, in the dialog format.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llama_np.tokenizer import Tokenizer
from llama_np.tokenizer.chat import encode_dialog

from ..reading import read_lines_of, read_text

FACTS = Path(__file__).with_name("facts.txt")
STORIES = Path(__file__).with_name("stories.txt")  # told by the doll-house: see ``make-stories``
SEPARATOR = "<|endoftext|>"  # the line between two documents
ASK_FOR_STORY = "Tell me a story."


class Corpus(NamedTuple):
    """Documents to train on, and documents that training never sees."""

    train: list[str]
    held_out: list[str]


def read_documents(path: Path, separator: str = SEPARATOR) -> list[str]:
    """The documents of a text file, without empty ones, blank lines and white space at their ends.

    Some sources put blank lines between paragraphs, others single ends of line: here all are the
    latter, so that a model need not guess which source it reads. Raises ``FileNotFoundError``, or
    ``ValueError`` for a file that is not in UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; expected a text file to train on")
    documents = [
        re.sub(r"\n\s*\n", "\n", part.strip()) for part in read_text(path).split(f"\n{separator}\n")
    ]
    return [text for text in documents if text and text != separator]


def hold_out(documents: Sequence[str], share: float = 0.05, source: str = "the text") -> Corpus:
    """Set the last ``share`` of the documents aside. Raises ``ValueError`` for an empty part."""
    n_train = round(len(documents) * (1 - share))
    if not 0 < n_train < len(documents):
        raise ValueError(
            f"{source}: found {len(documents)} documents, too few to train on some and hold "
            f"{share:.0%} out"
        )
    return Corpus(list(documents[:n_train]), list(documents[n_train:]))


def read_corpus(
    paths: Path | Sequence[Path], separator: str = SEPARATOR, held_out: float = 0.05
) -> Corpus:
    """Split text files at their separator lines; the first file's last ``held_out`` share is set
    aside, so that further files change nothing in what is measured.

    Raises ``FileNotFoundError``, or ``ValueError`` where either part would be empty.
    """
    first, *others = [paths] if isinstance(paths, Path) else paths
    source = f"{first}, cut at lines {separator!r} (--separator)"
    corpus = hold_out(read_documents(first, separator), held_out, source)
    more = [text for path in others for text in read_documents(path, separator)]
    return Corpus(corpus.train + more, corpus.held_out)


def read_facts(path: Path = FACTS) -> list[str]:
    """The lines of the facts file, without empty ones."""
    return [line for line in read_lines_of(path) if line.strip()]


def encode_document(tokenizer: Tokenizer, text: str) -> list[int]:
    """A text between begin-of-text and end-of-text."""
    return tokenizer.encode(text, bos=True, eos=True)


def encode_answer(
    tokenizer: Tokenizer, question: str, answer: str, earlier: Sequence[dict[str, str]] = ()
) -> tuple[list[int], int]:
    """A question and its answer in the dialog format, and how many of the ids stand before it.

    The answer is closed with the end of the turn. ``earlier`` are messages of the same talk.
    """
    asked = encode_dialog(tokenizer, [*earlier, {"role": "user", "content": question}])
    answered = [*tokenizer.encode(answer), tokenizer.special_id("<|eot_id|>")]
    return asked + answered, len(asked)


def encode_fact(tokenizer: Tokenizer, line: str) -> list[int]:
    """One line of the facts: a short document, or a question and its answer."""
    question, tab, answer = line.partition("\t")
    return (
        encode_answer(tokenizer, question, answer)[0] if tab else encode_document(tokenizer, line)
    )


def encode_training(
    tokenizer: Tokenizer,
    stories: Sequence[str],
    facts: Sequence[str] = (),
    facts_repeat: int = 1,
    dialog_every: int = 20,
    drills: Sequence[str] = (),
) -> list[np.ndarray]:
    """All documents of one epoch: stories and drills once, every fact ``facts_repeat`` times.

    One story in ``dialog_every`` is told as the answer to a request, so that the model meets the
    dialog format.
    """
    encoded = [
        encode_answer(tokenizer, ASK_FOR_STORY, story)[0]
        if dialog_every and i % dialog_every == 0
        else encode_document(tokenizer, story)
        for i, story in enumerate(stories)
    ]
    encoded += [encode_fact(tokenizer, fact) for fact in facts] * facts_repeat
    encoded += [encode_document(tokenizer, drill) for drill in drills]
    return [np.array(ids, dtype=np.int32) for ids in encoded]


def digest(documents: Sequence[np.ndarray]) -> str:
    """Eight digits that name the documents: other text, other tokens or other order differ."""
    return hashlib.sha256(np.concatenate(documents).astype(np.int32).tobytes()).hexdigest()[:8]


class Stream:
    """All documents end to end, epoch after epoch, each epoch in an order of its own.

    Nothing is remembered between calls: what stands where follows from the seed alone, so training
    goes on after an interruption as if there had been none.
    """

    def __init__(self, documents: Sequence[np.ndarray], seed: int):
        self.documents = documents
        self.seed = seed
        self.length = sum(len(document) for document in documents)
        self._epoch: tuple[int, np.ndarray] | None = None

    def epoch(self, number: int) -> np.ndarray:
        """The tokens of one epoch."""
        if self._epoch is None or self._epoch[0] != number:
            order = np.random.default_rng([self.seed, number]).permutation(len(self.documents))
            self._epoch = number, np.concatenate([self.documents[i] for i in order])
        return self._epoch[1]

    def slice(self, start: int, n: int) -> np.ndarray:
        """``n`` tokens from position ``start`` of the endless stream."""
        number, offset = divmod(start, self.length)
        tokens = self.epoch(number)[offset : offset + n]
        if len(tokens) < n:
            tokens = np.concatenate([tokens, self.slice(start + len(tokens), n - len(tokens))])
        return tokens

    def batch(self, step: int, n_tokens: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids and targets of one step, each (n_tokens / length, length).

        The target of a position is the token that follows it.
        """
        tokens = self.slice(step * n_tokens, n_tokens + 1)
        return tokens[:-1].reshape(-1, length), tokens[1:].reshape(-1, length)
