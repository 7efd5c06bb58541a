"""The trainer against its specification, and against tiktoken."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import tiktoken

from llama_np.tokenizer.bpe import LLAMA3_PATTERN, merge_pairs, merge_steps, split_pieces
from weights_tools.training.train_tokenizer import train_ranks

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

TINYSTORIES = Path(__file__).parents[3] / "shared/data/tinystories.txt"
BYTES = {bytes([byte]): byte for byte in range(256)}
FEW_LETTERS = st.text("ab", max_size=60) | st.text("abc ", max_size=60) | st.text("a ", max_size=60)


def train_ranks_slowly(text, vocab_size):
    """The specification: tokenize everything anew with the ranks so far, and count every pair.

    Returns what there is where no pair is left.
    """
    ranks = dict(BYTES)
    pieces = Counter(piece.encode() for piece in split_pieces(text))
    while len(ranks) < vocab_size:
        pairs = Counter()
        for piece, count in pieces.items():
            for pair in pairwise(merge_steps(piece, ranks)[-1]):
                pairs[pair] += count
        if not pairs:
            return ranks
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        ranks[b"".join(best)] = len(ranks)
    return ranks


@settings(max_examples=400, deadline=None)
@given(text=FEW_LETTERS | st.text(max_size=30), merges=st.integers(0, 20))
def test_the_trainer_equals_its_specification(text, merges):
    slow = train_ranks_slowly(text, 256 + merges)
    fast = train_ranks(text, len(slow))
    assert list(fast.items()) == list(slow.items())
    if len(slow) < 256 + merges:
        with pytest.raises(ValueError, match=f"got one that holds {len(slow)}:"):
            train_ranks(text, 256 + merges)


@settings(max_examples=200, deadline=None)
@given(text=FEW_LETTERS, merges=st.integers(1, 20))
def test_every_token_can_be_reached_by_merging(text, merges):
    ranks = train_ranks_slowly(text, 256 + merges)
    assert all(merge_pairs(token, ranks)[-1] == [token] for token in ranks)


def test_the_next_token_is_the_most_frequent_pair_in_tiktokens_ids():
    text = "she sells sea shells by the sea shore, and the shells she sells are sea shells " * 3
    ranks = train_ranks(text, 275)
    tokens = list(ranks)
    for size in range(256, 275):
        so_far = {token: ranks[token] for token in tokens[:size]}
        encoding = tiktoken.Encoding(
            "", pat_str=LLAMA3_PATTERN, mergeable_ranks=so_far, special_tokens={}
        )
        pairs = Counter()
        for piece in split_pieces(text):
            ids = encoding.encode_ordinary(piece)
            pairs.update(pairwise(tokens[i] for i in ids))
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        assert b"".join(best) == tokens[size]


def test_the_bytes_come_first_in_their_order():
    assert train_ranks("", 256) == BYTES
    assert list(train_ranks("abab", 257).items()) == [*BYTES.items(), (b"ab", 256)]


def test_equally_frequent_pairs_go_by_their_bytes():
    def learned(text):
        return list(train_ranks(text, 257))[256]

    assert learned("ab,cd") == b"cd"
    assert learned("cd,ab") == b"cd"
    assert learned("xa,xb") == b"xb"  # the left halves equal: the right ones decide
    assert learned("é!") == "é".encode()  # compared as bytes: é is 0xC3 0xA9


def test_a_pair_counts_at_every_position_and_is_joined_from_the_left():
    # aaa holds (a, a) twice, as often as (b, c) occurs, or it would lose to the greater pair.
    assert list(train_ranks("aaa,aaa,bc,bc,bc", 257))[256] == b"aa"
    assert list(train_ranks("aaabdaaabac", 259))[256:] == [b"aa", b"aaa", b"aaab"]


def test_a_list_of_documents_is_not_joined():
    assert train_ranks(["ab ", "ab ", "cd"], 257) == BYTES | {b"ab": 256}
    assert train_ranks(iter(["a", "b", "cd"]), 257) == BYTES | {b"cd": 256}
    with pytest.raises(ValueError, match="got one that holds 256"):
        train_ranks(["a", "b"], 257)


def test_the_pattern_is_the_callers():
    assert b"a b" in train_ranks("a b", 258, pattern=r"(?s).+")


def test_fewer_than_the_bytes_are_refused():
    with pytest.raises(ValueError, match="at least the 256 bytes, got 255"):
        train_ranks("text", 255)


@pytest.mark.slow
@pytest.mark.skipif(not TINYSTORIES.is_file(), reason="no tinystories.txt at ../shared/data")
def test_a_vocabulary_for_tinystories():
    text = TINYSTORIES.read_text(encoding="utf-8")
    stories = text.split("<|endoftext|>")
    ranks = train_ranks(stories, 1024)
    assert len(ranks) == 1024
    assert {b" the", b"Once", b" Lily", b" said"} <= ranks.keys()
    sample = "".join(stories[:50])
    assert train_ranks(sample, 300) == train_ranks_slowly(sample, 300)
