"""Text to token ids and back. tiktoken does the work; `bpe.py` makes it visible.

The reference is Meta's `llama/tokenizer.py` (github.com/meta-llama/llama3).
"""

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tiktoken

from .base import Tokenizer
from .merging import LLAMA3_PATTERN

# llama/tokenizer.py, Tokenizer.__init__; Llama 3.1 gives a few of the reserved ones a name.
_RESERVED = [f"<|reserved_special_token_{i}|>" for i in range(251)]
LLAMA3_SPECIAL_TOKENS = (
    *("<|begin_of_text|>", "<|end_of_text|>", *_RESERVED[:4]),
    *("<|start_header_id|>", "<|end_header_id|>", _RESERVED[4], "<|eot_id|>", *_RESERVED[5:]),
)
STOP_TOKENS = ("<|end_of_text|>", "<|eot_id|>", "<|eom_id|>")  # the last since Llama 3.1
# openai/gpt-2, src/encoder.py, Encoder.pat.
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The same on the stretches between digits, each of which is a piece of its own, as in SmolLM2:
# where a digit follows, white space is at the end of its stretch.
DIGITS_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
LONGEST_RUN = 25_000  # characters; llama/tokenizer.py, MAX_NO_WHITESPACES_CHARS
TOO_LONG = re.compile(  # looked for only where a run begins, or a long one would take n² steps
    rf"(?<!\s)\s{{{LONGEST_RUN + 1},}}|(?<!\S)\S{{{LONGEST_RUN + 1},}}"
)


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


def special_tokens_of(path: Path, first_id: int) -> list[str]:
    """The names under `added_tokens` in a tokenizer.json, whose ids must follow the ranks.

    Raises ValueError if there are none such.
    """
    try:
        added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
        names = {token["id"]: token["content"] for token in added}
        if not all(isinstance(name, str) for name in names.values()):
            raise TypeError("a content that is no text")
        return [names[i] for i in range(first_id, first_id + len(names))]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: expected JSON whose `added_tokens` have a content and the ids from {first_id}"
            f" on without gaps, got {type(error).__name__}: {str(error)[:100]};"
            " use the two files of one model"
        ) from error


class BPETokenizer(Tokenizer):
    """Text to ids and back by byte-pair encoding, from the ranks of a vocabulary.

    In Llama 3 a rank, the place in the order of merging, is also the token's id, and the special
    tokens take the ids behind. Other models number their tokens in other ways. Then `ids` gives the
    id of every token, `special_tokens` is a mapping from names to ids, and between them each id
    from 0 on comes once. A token of `ids` without a rank can be decoded, but no text leads to it; a
    byte with a rank and no id cannot be encoded. `pattern` cuts text into the pieces that are
    encoded one by one.

    `bos_id` and `eos_id` are None where the names have no begin or end of text.

    Raises ValueError for ranks or ids with gaps, and for a name that comes twice.

    >>> ranks = {bytes([b]): b for b in range(256)} | {b"th": 256, b"the": 257, b" the": 258}
    >>> tokenizer = BPETokenizer(ranks, ["<|begin_of_text|>", "<|end_of_text|>"])
    >>> tokenizer.encode("the the", bos=True)
    [259, 257, 258]
    >>> tokenizer.decode([257, 258]), [tokenizer.token(i) for i in [259, 258, 0xE2]]
    ('the the', ['<|begin_of_text|>', '␣the', '\\\\xe2'])
    """

    def __init__(
        self,
        ranks: Mapping[bytes, int],
        special_tokens: Sequence[str] | Mapping[str, int],
        *,
        ids: Mapping[bytes, int] | None = None,
        pattern: str = LLAMA3_PATTERN,
        bos: str | None = "<|begin_of_text|>",
        eos: str | None = "<|end_of_text|>",
        stop: Iterable[str] = STOP_TOKENS,
    ):
        _check_ranks(ranks, "ranks")
        if not isinstance(special_tokens, Mapping):
            if len(set(special_tokens)) != len(special_tokens):
                raise ValueError(
                    "expected different names in special_tokens, got one of them twice"
                )
            special_tokens = {name: i for i, name in enumerate(special_tokens, start=len(ranks))}
        self.ranks = dict(ranks)
        self.ids = dict(self.ranks if ids is None else ids)
        self.pattern = pattern
        ordinary = {i: token for token, i in self.ids.items()}
        if len(ordinary) != len(self.ids) or ordinary.keys() & special_tokens.values():
            raise ValueError("expected one token for each id, got an id with two of them")
        super().__init__(ordinary, special_tokens, bos, eos, stop)
        by_rank = sorted(self.ranks, key=self.ranks.__getitem__)
        self._id_of_rank = [self.ids.get(token) for token in by_rank]
        self._bpe = tiktoken.Encoding(
            "ranks", pat_str=pattern, mergeable_ranks=self.ranks, special_tokens={}
        )

    @classmethod
    def from_file(
        cls, path: str | os.PathLike, special_tokens: Sequence[str] | None = None
    ) -> "BPETokenizer":
        """Read a `tokenizer.model`, with the special tokens of a `tokenizer.json` beside it.

        Without such a file, and without `special_tokens`, they are Llama 3's 256.

        Raises what `read_ranks` raises; ValueError if the two files do not fit together.
        """
        ranks = read_ranks(path)
        beside = Path(path).with_name("tokenizer.json")
        if special_tokens is None and beside.is_file():
            special_tokens = special_tokens_of(beside, first_id=len(ranks))
        return cls(ranks, LLAMA3_SPECIAL_TOKENS if special_tokens is None else special_tokens)

    def _encode_ordinary(self, text: str) -> list[int]:
        ids = [
            self._id_of_rank[rank]
            for part in _cut_long_runs(text)
            for rank in self._bpe.encode_ordinary(part)
        ]
        if None in ids:
            missing = [token for token in self.ranks if token not in self.ids]
            bad = next(c for c in text if any(byte in c.encode() for byte in missing))
            raise ValueError(
                f"expected text that the vocabulary can spell, got {bad!a}, one of whose bytes is"
                " no token of this model; leave the character out"
            )
        return ids


def _cut_long_runs(text: str) -> Iterator[str]:
    """Cut inside runs of more than 25,000 spaces or non-spaces, where Meta's code cuts.

    tiktoken panics on a million spaces in a row, and its older versions take n² steps on one long
    word. Meta's code also cuts after every 400,000 characters, through words if need be; with the
    runs cut that is not needed.

    Source: _split_whitespaces_or_nonwhitespaces in llama/tokenizer.py; tiktoken's issue 195.
    """
    start = 0
    for run in TOO_LONG.finditer(text):
        for cut in range(run.start() + LONGEST_RUN, run.end(), LONGEST_RUN):
            yield text[start:cut]
            start = cut
    yield text[start:]
