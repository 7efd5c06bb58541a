"""Learn a vocabulary from text: byte-level byte-pair encoding, with ranks as tiktoken reads them.

The rule is short. Cut the text into pieces, and each piece into its bytes. As long as the
vocabulary is too small, count every pair of neighbours in the pieces, and join the most frequent
pair into a new token wherever it stands, from left to right.

Two things follow, and tests hold them. The pieces are at every moment what tiktoken makes of them
with the ranks so far. And every token can be reached by merging its own bytes: what lies between
the two ends of a token was merged without regard to what lies outside. So no token is learned
twice, from two different pairs. (Of Llama 3's vocabulary, which was put together from two, 588
tokens cannot be reached: see `llama_np.tokenizer.bpe.merge_steps`.)

Source: Sennrich et al. 2016, arXiv 1508.07909, algorithm 1. Counting only what changed follows
its authors' subword-nmt.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from llama_np.tokenizer.bpe import LLAMA3_PATTERN, split_pieces

Pair = tuple[bytes, bytes]


def train_ranks(
    text: str | Iterable[str], vocab_size: int, pattern: str = LLAMA3_PATTERN
) -> dict[bytes, int]:
    """Learn `vocab_size` tokens, special tokens not counted, from a text or from many.

    The 256 single bytes come first, in the order of their values (Llama 3's file has another
    order, which matters as little), then one token per merge. Of equally frequent pairs the
    greater (left, right) wins, compared as bytes. A pair counts at every position, so `aaa` holds
    (a, a) twice. Special tokens mean nothing here: split documents before.

    Raises ValueError if `vocab_size` is below 256, or if no pair is left before it is reached: a
    smaller vocabulary than the model expects would only show later.

    >>> ranks = train_ranks("low lower lowest", 260)
    >>> [token for token, rank in ranks.items() if rank >= 256]
    [b'ow', b'low', b'lowe', b' lowe']
    """
    if vocab_size < 256:
        raise ValueError(f"expected a vocab_size of at least the 256 bytes, got {vocab_size}")
    texts = [text] if isinstance(text, str) else text
    counts = Counter(piece.encode() for one in texts for piece in split_pieces(one, pattern))
    ranks = {bytes([byte]): byte for byte in range(256)}
    tokens_of = {piece: [bytes([byte]) for byte in piece] for piece in counts}
    pairs = _Pairs()
    for piece, tokens in tokens_of.items():
        pairs.replace(piece, [], tokens, counts[piece])
    while len(ranks) < vocab_size:
        pair = pairs.pop_most_frequent()
        if pair is None:
            raise ValueError(
                f"expected a text that holds {vocab_size} tokens, got one that holds {len(ranks)}:"
                " with them every piece is one token; add text or ask for fewer"
            )
        ranks[pair[0] + pair[1]] = len(ranks)
        for piece in pairs.pieces_with.pop(pair):
            joined = _join(tokens_of[piece], pair)
            pairs.replace(piece, tokens_of[piece], joined, counts[piece])
            tokens_of[piece] = joined
    return ranks


def _join(tokens: Sequence[bytes], pair: Pair) -> list[bytes]:
    """Join a pair wherever it stands, from left to right: aaa becomes aa, a."""
    joined: list[bytes] = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


class _LargestFirst(tuple):
    """A tuple that sorts backwards: heapq keeps what is smallest in front."""

    __slots__ = ()
    __lt__ = tuple.__gt__


class _Pairs:
    """How often each pair of neighbours stands in the pieces, and in which."""

    def __init__(self):
        self.frequency: Counter[Pair] = Counter()
        self.pieces_with: defaultdict[Pair, set[bytes]] = defaultdict(set)  # now or once
        self._changed: set[Pair] = set()
        self._heap: list[_LargestFirst] = []

    def replace(self, piece: bytes, old: Sequence[bytes], new: Sequence[bytes], count: int) -> None:
        """A piece that occurs `count` times has `new` tokens in the place of `old` ones."""
        for pair in pairwise(old):
            self.frequency[pair] -= count
            self._changed.add(pair)
        for pair in pairwise(new):
            self.frequency[pair] += count
            self._changed.add(pair)
            self.pieces_with[pair].add(piece)

    def pop_most_frequent(self) -> Pair | None:
        """The most frequent pair, of equals the greatest, or None if no pair is left."""
        for pair in self._changed:
            heapq.heappush(self._heap, _LargestFirst((self.frequency[pair], pair)))
        self._changed.clear()
        while self._heap:
            count, pair = heapq.heappop(self._heap)
            if 0 < count == self.frequency[pair]:  # else the entry is out of date
                return pair
        return None
