"""From a list of merges to one rank per token: what tiktoken and sentencepiece need.

Hugging Face joins two neighbours if their *pair* is in the list. tiktoken and sentencepiece join
them if the joined *token* is in the vocabulary. Both come to the same if every token is given the
rank of the one merge that makes it from its own parts. For as long as no merge crosses the borders
of a stretch of text, the stretch goes through the very states that it goes through alone; of these
only one has two parts. So a token that its own characters do not lead to never appears, and no
other pair ever stands where a token could be made. Tests compare with the `tokenizers` library.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TypeVar

from llama_np.config import brief
from llama_np.tokenizer.base import check_lengths

Text = TypeVar("Text", bytes, str)

NEVER = 1 << 60  # behind every merge


def merge_alone(token: Text, place: Mapping[tuple[Text, Text], int]) -> tuple[int, int]:
    """How many parts a token's own characters end in, and the place of the last merge (-1: none).

    >>> place = {(b"b", b"c"): 0, (b"a", b"b"): 1, (b"a", b"bc"): 2}
    >>> merge_alone(b"abc", place), merge_alone(b"a", place), merge_alone(b"bcb", place)
    ((1, 2), (1, -1), (2, 0))
    """
    parts = [token[i : i + 1] for i in range(len(token))]
    last = -1
    while len(parts) > 1:
        places = [place.get(pair, NEVER) for pair in pairwise(parts)]
        if (first := min(places)) == NEVER:
            break
        last, at = first, places.index(first)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return len(parts), last


def out_of_reach(
    ids: Mapping[Text, int], merges: Iterable[tuple[Text, Text]], order: Iterable[Text]
) -> list[Text]:
    """The tokens that are not in the order of merging, since no text leads to them.

    They may have any rank as long as no two parts of one ever stand alone. Raises ValueError for
    one whose characters end in two: there the pair would be joined that the list does not have.

    >>> ids, merges = {"a": 0, "b": 1, "ab": 2, "abba": 3}, [("a", "b")]
    >>> out_of_reach(ids, merges, ["a", "b", "ab"])
    ['abba']
    """
    place = {pair: i for i, pair in enumerate(merges)}
    apart = sorted(ids.keys() - order, key=ids.__getitem__)
    for token in apart:
        if merge_alone(token, place)[0] == 2:
            raise ValueError(f"no merge makes the token {brief.repr(token)} of its two halves")
    return apart


def order_of_merging(
    ids: Mapping[Text, int], merges: Iterable[tuple[Text, Text]], whole_pieces: bool
) -> list[Text]:
    """The tokens that text can lead to, in the order of merging; of equals the smaller id first.

    `whole_pieces` (Hugging Face's `ignore_merges`) takes a piece that is a token as it is, so then
    every token is in the list. By their ids if that is an order of merging too, as in Llama 3.

    Raises ValueError for a merge of or to something that is no token, for tokens that are too long
    (merging one alone is written to be read, and takes n² steps), and where ranks cannot say what
    the merges say: with whole pieces, a token whose own characters end in a pair that is not in
    the list.

    >>> ids = {"a": 0, "b": 1, "ab": 4, "abb": 3, "ba": 2}
    >>> order_of_merging(ids, [("a", "b"), ("ab", "b")], whole_pieces=False)
    ['a', 'b', 'ab', 'abb']
    """
    place = {}
    for i, (left, right) in enumerate(merges):
        if not {left, right, left + right} <= ids.keys():
            raise ValueError(
                f"the merge of {brief.repr(left)} and {brief.repr(right)} is not about tokens"
            )
        place[left, right] = i
    check_lengths(ids)
    ends = {token: merge_alone(token, place) for token in ids}
    reached = {token: last for token, (n_parts, last) in ends.items() if n_parts == 1}
    if not whole_pieces:
        return sorted(reached, key=lambda token: (reached[token], ids[token]))
    for token, (n_parts, _) in ends.items():
        if n_parts == 2:
            raise ValueError(f"no merge makes the token {brief.repr(token)} of its two halves")
    by_id = sorted(ids, key=ids.__getitem__)
    in_order = [reached[token] for token in by_id if token in reached]
    if in_order == sorted(in_order):
        return by_id
    return sorted(ids, key=lambda token: (reached.get(token, len(place)), ids[token]))
