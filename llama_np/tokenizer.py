"""Text to token ids and back. tiktoken does the work; `bpe.py` makes it visible.

The reference is Meta's `llama/tokenizer.py` (github.com/meta-llama/llama3).
"""

import base64
import codecs
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tiktoken

from .bpe import LLAMA3_PATTERN

# llama/tokenizer.py, Tokenizer.__init__; Llama 3.1 gives a few of the reserved ones a name.
_RESERVED = [f"<|reserved_special_token_{i}|>" for i in range(251)]
LLAMA3_SPECIAL_TOKENS = (
    *("<|begin_of_text|>", "<|end_of_text|>", *_RESERVED[:4]),
    *("<|start_header_id|>", "<|end_header_id|>", _RESERVED[4], "<|eot_id|>", *_RESERVED[5:]),
)
STOP_TOKENS = ("<|end_of_text|>", "<|eot_id|>", "<|eom_id|>")  # the last since Llama 3.1
LONGEST_RUN = 25_000  # characters; llama/tokenizer.py, MAX_NO_WHITESPACES_CHARS


def read_ranks(path: str | os.PathLike) -> dict[bytes, int]:
    """Read a `tokenizer.model` in tiktoken's format: a base64 token, a space, its rank.

    We read it ourselves: tiktoken's own reader would fetch and cache.

    Raises FileNotFoundError if there is no such file, ValueError if it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"expected a tokenizer.model, found no file {path}; download one")
    data = path.read_bytes()
    if b"<unk>" in data[:64]:
        raise ValueError(
            f"{path}: expected tiktoken's text format, got a SentencePiece model as Llama 2 has it;"
            " use the tokenizer.model of a Llama 3"
        )
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.rstrip().splitlines(), start=1):
        try:
            encoded, rank = line.split()
            token = base64.b64decode(encoded, validate=True)
            if token in ranks:
                raise ValueError("the token comes twice")
            ranks[token] = int(rank)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: expected a base64 token not seen before and its rank,"
                f" got {line[:40]!r}; download the file again"
            ) from error
    _check_ranks(ranks, path)
    return ranks


def write_ranks(ranks: Mapping[bytes, int], path: str | os.PathLike) -> None:
    """Write a `tokenizer.model` that `read_ranks`, tiktoken and Meta's code can read."""
    path = Path(path)
    _check_ranks(ranks, path)
    lines = (
        base64.b64encode(token) + f" {rank}\n".encode()
        for token, rank in sorted(ranks.items(), key=lambda item: item[1])
    )
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    beside.write_bytes(b"".join(lines))
    beside.replace(path)  # so that nobody ever reads half a file


def _check_ranks(ranks: Mapping[bytes, int], source: object) -> None:
    taken = set(ranks.values())
    missing = [f"rank {rank}" for rank in range(len(ranks)) if rank not in taken]
    missing += [f"token {bytes([b])!r}" for b in range(256) if bytes([b]) not in ranks]
    if missing:
        raise ValueError(
            f"{source}: expected every single byte among the tokens, and the ranks 0 to"
            f" {len(ranks) - 1} once each; {len(missing)} missing, the first is {missing[0]};"
            " use a complete vocabulary"
        )


def _special_tokens_of(path: Path, first_id: int) -> list[str]:
    """The names under `added_tokens` in a tokenizer.json, whose ids must follow the ranks."""
    try:
        added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
        names = {token["id"]: token["content"] for token in added}
        return [names[i] for i in range(first_id, first_id + len(names))]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected JSON whose `added_tokens` have a content and the ids from {first_id}"
            f" on without gaps, got {error!r}; use the two files of one model"
        ) from error


class Tokenizer:
    """Text to ids and back, by the ranks of a vocabulary and the names of its special tokens.

    Special tokens take the ids after the ranks. `bos_id` and `eos_id` are None where the names
    have no begin or end of text.

    >>> ranks = {bytes([b]): b for b in range(256)} | {b"th": 256, b"the": 257, b" the": 258}
    >>> tokenizer = Tokenizer(ranks, ["<|begin_of_text|>", "<|end_of_text|>"])
    >>> tokenizer.encode("the the", bos=True)
    [259, 257, 258]
    >>> tokenizer.decode([257, 258]), [tokenizer.token(i) for i in [259, 258, 0xE2]]
    ('the the', ['<|begin_of_text|>', '␣the', '\\\\xe2'])
    """

    def __init__(self, ranks: Mapping[bytes, int], special_tokens: Sequence[str]):
        _check_ranks(ranks, "ranks")
        if len(set(special_tokens)) != len(special_tokens):
            raise ValueError("expected different names in special_tokens, got one of them twice")
        self.ranks = dict(ranks)
        self.special_tokens = {name: i for i, name in enumerate(special_tokens, start=len(ranks))}
        self.vocab_size = len(self.ranks) + len(self.special_tokens)
        self.bos_id = self.special_tokens.get("<|begin_of_text|>")
        self.eos_id = self.special_tokens.get("<|end_of_text|>")
        self.stop_ids = frozenset(
            self.special_tokens[name] for name in STOP_TOKENS if name in self.special_tokens
        )
        self._bytes = sorted(self.ranks, key=self.ranks.__getitem__)
        self._bytes += [name.encode() for name in self.special_tokens]
        self._bpe = tiktoken.Encoding(
            "llama3", pat_str=LLAMA3_PATTERN, mergeable_ranks=self.ranks, special_tokens={}
        )

    @classmethod
    def from_file(
        cls, path: str | os.PathLike, special_tokens: Sequence[str] | None = None
    ) -> "Tokenizer":
        """Read a `tokenizer.model`, with the special tokens of a `tokenizer.json` beside it.

        Without such a file, and without `special_tokens`, they are Llama 3's 256.

        Raises what `read_ranks` raises; ValueError if the two files do not fit together.
        """
        ranks = read_ranks(path)
        beside = Path(path).with_name("tokenizer.json")
        if special_tokens is None and beside.is_file():
            special_tokens = _special_tokens_of(beside, first_id=len(ranks))
        return cls(ranks, LLAMA3_SPECIAL_TOKENS if special_tokens is None else special_tokens)

    def encode(
        self, text: str, bos: bool = False, eos: bool = False, allow_special: bool = False
    ) -> list[int]:
        """The ids of a text, between begin and end of text where asked for.

        The name of a special token inside the text stays ordinary text, so that what a user types
        can never end the user's turn; `allow_special=True` reads it as the token.

        Raises ValueError for a lone surrogate, which is no character and has no bytes (tiktoken
        would turn it into U+FFFD), and for `bos` or `eos` where the tokenizer has none.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"expected characters, got the lone surrogate {text[error.start]!a} at position"
                f' {error.start}; text.encode("utf-8", "replace").decode() puts a ? in its place'
            ) from None
        ids = [self.special_id("<|begin_of_text|>")] if bos else []
        for stretch in self._split_special(text) if allow_special else [text]:
            if allow_special and stretch in self.special_tokens:
                ids.append(self.special_tokens[stretch])
            else:
                for part in _cut_long_runs(stretch):
                    ids += self._bpe.encode_ordinary(part)
        return ids + [self.special_id("<|end_of_text|>")] if eos else ids

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of the ids; special tokens appear by name.

        Raises ValueError for an id outside 0 to vocab_size - 1.
        """
        return b"".join([self._bytes_of(token_id) for token_id in ids])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids, with U+FFFD for bytes that are no character.

        One token may hold part of a character only: decode a list in one go, or `stream_text` it.
        """
        return self.decode_bytes(ids).decode(errors="replace")

    def token(self, token_id: int) -> str:
        r"""A label for one token: ␣ for a space, \n for a newline, \xe2 for part of a character."""
        text = self._bytes_of(token_id).decode(errors="backslashreplace").replace(" ", "␣")
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

    def special_id(self, name: str) -> int:
        """The id of a special token; ValueError if the tokenizer has none of that name."""
        if name not in self.special_tokens:
            raise ValueError(
                f"expected a tokenizer with the special token {name}, got one with"
                f" {list(self.special_tokens)[:8]}; use the tokenizer that belongs to the model"
            )
        return self.special_tokens[name]

    def _bytes_of(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.vocab_size:  # a negative index would count from the end
            raise ValueError(
                f"expected ids from 0 to {self.vocab_size - 1}, got {token_id};"
                " use the tokenizer that belongs to the model"
            )
        return self._bytes[token_id]

    def _split_special(self, text: str) -> list[str]:
        names = sorted(self.special_tokens, key=len, reverse=True)  # the longest match wins
        return re.split(f"({'|'.join(map(re.escape, names))})", text) if names else [text]


def _cut_long_runs(text: str) -> Iterator[str]:
    """Cut inside runs of more than 25,000 spaces or non-spaces, where Meta's code cuts.

    tiktoken panics on a million spaces in a row, and its older versions take n² steps on one long
    word. Meta's code also cuts after every 400,000 characters, through words if need be; with the
    runs cut that is not needed.

    Source: _split_whitespaces_or_nonwhitespaces in llama/tokenizer.py; tiktoken's issue 195.
    """
    start = 0
    for run in re.finditer(r"\s+|\S+", text) if len(text) > LONGEST_RUN else ():
        for cut in range(run.start() + LONGEST_RUN, run.end(), LONGEST_RUN):
            yield text[start:cut]
            start = cut
    yield text[start:]


def stream_text(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield the text of ids as they come, holding back bytes until their character is complete.

    The parts join to `tokenizer.decode(ids)`; bytes that never become a character are U+FFFD.

    >>> tokenizer = Tokenizer({bytes([b]): b for b in range(256)}, [])
    >>> list(stream_text(tokenizer, iter("né".encode())))
    ['n', 'é']
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token_id in ids:
        if text := decoder.decode(tokenizer.decode_bytes([token_id])):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
