"""Byte-pair encoding made visible: what tiktoken does in one go, step by step.

    text --split_pieces--> pieces --merge_steps--> tokens --ranks--> ids

A token is a string of bytes, and its rank is both its id and its place in the order of merging.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # llama/tokenizer.py, Tokenizer.pat_str


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
