"""Byte-pair encoding: text to pieces, to tokens, to ids. tiktoken does the work, and beside it
stands what it does in one go, step by step.

    text --split_pieces--> pieces --merge_steps--> tokens --ranks--> ids

A token is a string of bytes, and its rank is its place in the order of merging; in Llama 3 it is
also its id. The reference is Meta's `llama/tokenizer.py` (github.com/meta-llama/llama3).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import tiktoken

from .base import Tokenizer

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # llama/tokenizer.py, Tokenizer.pat_str
# llama/tokenizer.py, Tokenizer.__init__
_RESERVED = [f"<|reserved_special_token_{i}|>" for i in range(251)]
LLAMA3_SPECIAL_TOKENS = (
    *("<|begin_of_text|>", "<|end_of_text|>", *_RESERVED[:4]),
    *("<|start_header_id|>", "<|end_header_id|>", _RESERVED[4], "<|eot_id|>", *_RESERVED[5:]),
)
# Llama 3.1 gives some of the reserved ones a name, and the others move up. Source:
# github.com/meta-llama/llama-models, models/llama3/tokenizer.py
LLAMA3_1_SPECIAL_TOKENS = (
    *("<|begin_of_text|>", "<|end_of_text|>", *_RESERVED[:2]),
    *("<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|image|>", *_RESERVED[2:246]),
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

# What is a space for tiktoken: Unicode's White_Space, which is less than Python's.
_SPACE = r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
LONG_SPACES = re.compile(rf"(?<!{_SPACE}){_SPACE}{{{LONGEST_RUN + 1},}}")


def split_pieces(text: str, pattern: str = LLAMA3_PATTERN) -> list[str]:
    """Cut a text into the pieces that are tokenized one by one; no token crosses a cut.

    A word takes the one space before it along, digits go in threes. A space at the very end
    stands alone. The `regex` package and tiktoken each bring their own Unicode tables: they may
    disagree on characters that only the newest Unicode version assigns.

    >>> split_pieces("Everything is 1234. ")
    ['Everything', ' is', ' ', '123', '4', '.', ' ']
    """
    import regex  # only who looks inside needs it, and it takes a while to import

    return regex.findall(pattern, text)


def merge_once(parts: Sequence[bytes], ranks: Mapping[bytes, int]) -> list[bytes] | None:
    """Join the neighbours whose joined bytes have the lowest rank, or None if none are a token.

    Of equal ranks the leftmost goes first.

    >>> merge_once([b"b", b"a", b"n", b"a", b"n"], {b"an": 256, b"na": 257})
    [b'b', b'an', b'a', b'n']
    """
    joined = [left + right for left, right in pairwise(parts)]
    tokens = [(ranks[token], at) for at, token in enumerate(joined) if token in ranks]
    if not tokens:
        return None
    _, at = min(tokens)
    return [*parts[:at], joined[at], *parts[at + 2 :]]


def merge_pairs(piece: bytes, ranks: Mapping[bytes, int]) -> list[list[bytes]]:
    """Byte-pair merging alone: the parts at the start (single bytes) and after every merge.

    Written to be read: a piece of n bytes costs about n² steps.

    Source: Sennrich et al. 2016, arXiv 1508.07909, on bytes as in GPT-2.

    >>> merge_pairs(b"banan", {b"an": 256, b"ban": 257})[1:]
    [[b'b', b'an', b'a', b'n'], [b'b', b'an', b'an'], [b'ban', b'an']]
    """
    steps = [[piece[i : i + 1] for i in range(len(piece))]]
    while (merged := merge_once(steps[-1], ranks)) is not None:
        steps.append(merged)
    return steps


def merge_steps(piece: bytes, ranks: Mapping[bytes, int]) -> list[list[bytes]]:
    """How a piece becomes tokens: its single bytes first, its tokens last.

    These are the steps of `merge_pairs`, with one surprise: a piece that is itself a token is
    taken whole, even where merging would get stuck on the way. Then there are two states only,
    the bytes and the token. 588 of Llama 3's 128,000 tokens can be reached in no other way, all of
    them among those added to the 100,256 of GPT-4's vocabulary (Dubey et al. 2024, section 3.2):
    a vocabulary learned in one go has none.

    >>> ranks = {b"bc": 256, b"ab": 257, b"cd": 258, b"abcd": 259}
    >>> merge_pairs(b"abcd", ranks)[-1]  # bc comes first, and leaves nothing to join
    [b'a', b'bc', b'd']
    >>> merge_steps(b"abcd", ranks)
    [[b'a', b'b', b'c', b'd'], [b'abcd']]
    """
    steps = merge_pairs(piece, ranks)
    return [steps[0], [piece]] if piece in ranks and steps[-1] != [piece] else steps


def check_ranks(ranks: Mapping[bytes, int], source: object) -> None:
    """Raise ValueError unless every byte is a token, and the ranks count up from 0."""
    taken = set(ranks.values())
    missing = [f"rank {rank}" for rank in range(len(ranks)) if rank not in taken]
    missing += [f"token {bytes([b])!r}" for b in range(256) if bytes([b]) not in ranks]
    if missing:
        raise ValueError(
            f"{source}: expected every single byte among the tokens, and the ranks 0 to"
            f" {len(ranks) - 1} once each; {len(missing)} missing, the first is {missing[0]};"
            " use a complete vocabulary"
        )


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
        stop: Iterable[str | int] = STOP_TOKENS,
    ):
        check_ranks(ranks, "ranks")
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

    def _encode_ordinary(self, text: str, at_start: bool) -> list[int]:
        ids = [
            self._id_of_rank[rank]
            for part, whole in self._parts(text)
            for rank in (self._as_one_piece if whole else self._bpe).encode_ordinary(part)
        ]
        if None in ids:
            missing = [token for token in self.ranks if token not in self.ids]
            bad = next(c for c in text if any(byte in c.encode() for byte in missing))
            raise ValueError(
                f"expected text that the vocabulary can spell, got {bad!a}, one of whose bytes is"
                " no token of this model; leave the character out"
            )
        return ids

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """Parts of a text to be encoded one by one, and whether a part is one piece.

        Llama 3's text is cut as Meta's code does. With the other patterns, only what tiktoken
        cannot cut is cut here, and at the same places: long runs of spaces.
        """
        if self.pattern == LLAMA3_PATTERN:
            yield from ((part, False) for part in _cut_long_runs(text))
        else:
            yield from _around_long_spaces(text, whole_before_digits=self.pattern == DIGITS_PATTERN)

    @cached_property
    def _as_one_piece(self) -> tiktoken.Encoding:
        """An engine that takes each text as one piece."""
        return tiktoken.Encoding(
            "one piece", pat_str=r"(?s).+", mergeable_ranks=self.ranks, special_tokens={}
        )


def _around_long_spaces(text: str, whole_before_digits: bool) -> Iterator[tuple[str, bool]]:
    """Runs of more than 25,000 spaces as pieces of their own, and what lies between.

    tiktoken panics on a million. Where something follows, the last space goes with it; in SmolLM2's
    pattern not with a digit.
    """
    start = 0
    for run in LONG_SPACES.finditer(text):
        follows = text[run.end() : run.end() + 1]
        alone = not follows or (whole_before_digits and unicodedata.category(follows)[0] == "N")
        end = run.end() - (not alone)
        yield text[start : run.start()], False
        yield text[run.start() : end], True
        start = end
    yield text[start:], False


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
