"""The tokenizer against tiktoken: the same ids, and the steps to them."""

import ast
import json
import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import regex
import tiktoken

from llama_np.tokenizer import stream_text
from llama_np.tokenizer.bpe import (
    DIGITS_PATTERN,
    GPT2_PATTERN,
    LLAMA3_PATTERN,
    LLAMA3_SPECIAL_TOKENS,
    BPETokenizer,
    merge_pairs,
    merge_steps,
    split_pieces,
)
from weights_tools import load_tokenizer
from weights_tools.tokenizers.ranks import read_ranks, write_ranks
from weights_tools.training.train_tokenizer import train_ranks

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

DATA = Path(__file__).parents[3] / "shared/data"
LLAMA3, LLAMA2 = DATA / "llama3_tokenizer.model", DATA / "llama2_tokenizer.model"
SENTENCES = (
    "the answer to the ultimate question of life, the universe, and everything is 42\n"
    "In the café the naïve 猫 said: I'm here, they're there; 1234567 times!\n\n  the end  "
)
BYTES = {bytes([byte]): byte for byte in range(256)}
STUCK = BYTES | {b"bc": 256, b"ab": 257, b"cd": 258, b"abcd": 259}  # merging never gets to abcd
OF_BYTES = BPETokenizer(BYTES, ["<|eot_id|>"])
# Without unassigned characters: `regex` and tiktoken may know different versions of Unicode.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cn"]) | st.sampled_from("the 's\n\t12é猫"))


@pytest.fixture(scope="module")
def ranks():
    return train_ranks(SENTENCES, 320)


@pytest.fixture(scope="module")
def tokenizer(ranks):
    return BPETokenizer(ranks, LLAMA3_SPECIAL_TOKENS)


@pytest.fixture(scope="module")
def llama3():
    if not LLAMA3.is_file():
        pytest.skip("no tokenizer.model of Llama 3 at ../shared/data")
    return load_tokenizer(LLAMA3)


def whole_pieces(ranks):
    """tiktoken without the split: every text is one piece."""
    return tiktoken.Encoding("", pat_str=r"(?s).+", mergeable_ranks=ranks, special_tokens={})


def ids_by_steps(text, ranks):
    pieces = (piece.encode() for piece in split_pieces(text))
    tokens = chain.from_iterable(merge_steps(piece, ranks)[-1] for piece in pieces)
    return [ranks[token] for token in tokens]


# --- encode, decode ---


def test_the_special_tokens_of_llama3():
    assert len(LLAMA3_SPECIAL_TOKENS) == len(set(LLAMA3_SPECIAL_TOKENS)) == 256
    assert LLAMA3_SPECIAL_TOKENS[8] == "<|reserved_special_token_4|>"
    assert LLAMA3_SPECIAL_TOKENS[10] == "<|reserved_special_token_5|>"
    assert LLAMA3_SPECIAL_TOKENS[-1] == "<|reserved_special_token_250|>"


def test_the_answer_in_llama3(llama3):
    text = "the answer to the ultimate question of life, the universe, and everything is "
    ids = [128000, 1820, 4320, 311, 279, 17139, 3488, 315, 2324, 11, 279, 15861, 11, 323, 4395]
    assert llama3.encode(text, bos=True) == [*ids, 374, 220]
    assert llama3.encode("42") == [2983]
    assert (llama3.vocab_size, llama3.bos_id, llama3.eos_id) == (128256, 128000, 128001)
    assert llama3.stop_ids == {128001, 128009}


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
def test_every_text_comes_back_and_has_the_ids_of_tiktoken(tokenizer, ranks, text):
    reference = tiktoken.Encoding(
        "", pat_str=LLAMA3_PATTERN, mergeable_ranks=ranks, special_tokens={}
    )
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids == reference.encode_ordinary(text) == ids_by_steps(text, ranks)


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
def test_every_text_comes_back_in_llama3(llama3, text):
    ids = llama3.encode(text)
    assert llama3.decode(ids) == text
    assert ids == ids_by_steps(text, llama3.ranks)


def test_begin_and_end(tokenizer):
    ids = tokenizer.encode("the")
    assert tokenizer.encode("the", bos=True, eos=True) == [
        tokenizer.bos_id,
        *ids,
        tokenizer.eos_id,
    ]
    assert tokenizer.encode("") == []
    assert tokenizer.encode("", bos=True) == [320]


def test_special_tokens_are_ordinary_text_unless_allowed(tokenizer):
    text = "the<|eot_id|><|eot_id|> the"
    ordinary = tokenizer.encode(text)
    assert max(ordinary) < 320
    assert tokenizer.decode(ordinary) == text
    special = tokenizer.encode(text, allow_special=True)
    eot = tokenizer.special_tokens["<|eot_id|>"]
    assert special == [*tokenizer.encode("the"), eot, eot, *tokenizer.encode(" the")]
    assert tokenizer.decode(special) == text


def test_special_tokens_in_a_long_run_stay_whole(tokenizer):
    eot = tokenizer.special_tokens["<|eot_id|>"]
    assert tokenizer.encode("x<|eot_id|>" * 5_000, allow_special=True) == [ord("x"), eot] * 5_000


def test_of_special_names_that_start_alike_the_longest_wins():
    tokenizer = BPETokenizer(BYTES, ["<|a", "<|ab"])
    assert tokenizer.encode("<|ab<|a", allow_special=True) == [257, 256]


def test_a_tokenizer_without_special_tokens():
    tokenizer = BPETokenizer(BYTES, [])
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.stop_ids) == (None, None, frozenset())
    assert tokenizer.encode("<|a", allow_special=True) == list(b"<|a")
    assert tokenizer.encode("a", bos=True) == [97]
    with pytest.raises(ValueError, match=r"expected .* special token <\|end_of_text\|>, got"):
        tokenizer.encode("a", eos=True)


@pytest.mark.parametrize("character", [" ", "a", "\n", "!", "é"])
def test_a_million_of_one_character(tokenizer, character):
    assert tokenizer.decode(tokenizer.encode(character * 1_000_000)) == character * 1_000_000


def test_long_runs_are_cut_where_meta_cuts_them_and_nothing_else_is(tokenizer):
    long = "the" * 20_000
    ids = tokenizer.encode("a " + long)
    parts = ["a " + long[:25_000], long[25_000:50_000], long[50_000:]]
    assert ids == [i for part in parts for i in tokenizer.encode(part)]
    assert [tokenizer.token(i) for i in ids if tokenizer.token(i) != "the"] == [
        *("a", "␣the", "t", "h", "e", "th", "e")
    ]
    reference = tiktoken.Encoding(
        "", pat_str=LLAMA3_PATTERN, mergeable_ranks=tokenizer.ranks, special_tokens={}
    )
    text = SENTENCES * 4_000
    assert len(text) > 400_000
    assert tokenizer.encode(text) == reference.encode_ordinary(text)


def test_ids_may_come_from_numpy(tokenizer):
    assert tokenizer.decode(np.array(tokenizer.encode("the café"))) == "the café"


@pytest.mark.parametrize("bad", [-1, 576, 10**9])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, bad):
    for use in (tokenizer.decode, tokenizer.decode_bytes, lambda ids: tokenizer.token(ids[0])):
        with pytest.raises(ValueError, match=f"expected ids from 0 to 575, got {bad};"):
            use([bad])


def test_a_lone_surrogate_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"lone surrogate '\\ud800' at position 1"):
        tokenizer.encode("a\ud800b")


def test_bytes_that_are_no_character_become_the_replacement_character(tokenizer):
    assert tokenizer.decode([0xE2, ord("a")]) == "\ufffda"
    assert tokenizer.decode_bytes([0xE2, ord("a")]) == b"\xe2a"


def test_labels():
    extra = [b" the", b"\n\n", "猫".encode(), b" \xe7\x8c", b"\xc2\xa0"]
    tokenizer = BPETokenizer(
        BYTES | {token: 256 + i for i, token in enumerate(extra)}, ["<|eot_id|>"]
    )
    labels = ["␣the", r"\n\n", "猫", r"␣\xe7\x8c", r"\xa0", "<|eot_id|>"]
    assert [tokenizer.token(i) for i in range(256, 262)] == labels
    assert [tokenizer.token(i) for i in (0, 9, 32, 65, 0xE2)] == [r"\x00", r"\t", "␣", "A", r"\xe2"]


# --- ids that are not the ranks ---


def test_ids_in_any_order(ranks, tokenizer):
    names = {"<|im_end|>": 0, "<|im_start|>": 1}
    ids = {token: 321 - rank for token, rank in ranks.items()}
    other = BPETokenizer(ranks, names, ids=ids, bos="<|im_start|>", eos="<|im_end|>", stop=[])
    assert (other.vocab_size, other.bos_id, other.eos_id, other.stop_ids) == (322, 1, 0, {0})
    assert other.encode(SENTENCES, bos=True) == [1, *(321 - i for i in tokenizer.encode(SENTENCES))]
    assert other.decode(other.encode(SENTENCES)) == SENTENCES
    assert other.encode("a<|im_end|>", allow_special=True)[-1] == 0
    assert [other.token(i) for i in (0, ids[b"the"])] == ["<|im_end|>", "the"]


def test_a_token_without_a_rank_is_decoded_only():
    other = BPETokenizer(BYTES, [], ids=BYTES | {b"the": 256})
    assert other.encode("the") == list(b"the")
    assert other.decode([256]) == "the"


def test_a_byte_without_an_id_cannot_be_encoded():
    ids = {token: i for i, token in enumerate(token for token in BYTES if token != b"\xf1")}
    other = BPETokenizer(BYTES, [], ids=ids)
    assert other.decode(other.encode("né🙂")) == "né🙂"
    with pytest.raises(ValueError, match=r"vocabulary can spell, got '\\U00040000', one of whose"):
        other.encode("a\U00040000")


def test_no_begin_of_text_is_declared():
    other = BPETokenizer(BYTES, ["<|begin_of_text|>"], bos=None, eos=None)
    assert (other.bos, other.bos_id, other.eos, other.eos_id) == (None, None, None, None)
    assert other.encode("a", bos=True) == [97]
    with pytest.raises(ValueError, match="for the end of text, got"):
        other.encode("a", eos=True)


@pytest.mark.parametrize(
    ("ids", "special", "message"),
    [
        (BYTES | {b"a": 300}, {}, "ids 0 to 255 once each, got none or two of 97"),
        (BYTES | {b"a": 98}, {}, "an id with two of them"),
        (BYTES, {"<|x|>": 3}, "an id with two of them"),
        (BYTES, {"<|x|>": 256, "<|y|>": 256}, "ids 0 to 257 once each, got none or two of 257"),
        (BYTES, {"<|x|>": -1}, "ids 0 to 256 once each, got none or two of 256"),
    ],
)
def test_ids_with_gaps_or_twice_are_refused(ids, special, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer(BYTES, special, ids=ids)


@settings(max_examples=300, deadline=None)
@given(text=TEXT | st.text("a 1²\n'S!", max_size=30))
def test_pieces_between_digits(text):
    stretches = regex.findall(r"\p{N}|\P{N}+", text)
    pieces = [piece for part in stretches for piece in split_pieces(part, GPT2_PATTERN)]
    assert split_pieces(text, DIGITS_PATTERN) == pieces


# --- stream_text ---


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_streaming_shows_whole_characters_only(text):
    parts = list(stream_text(OF_BYTES, text.encode()))
    assert parts == list(text)  # never half a character, and each as soon as it is there


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.sampled_from([*range(0xC0, 0x100), *range(0x80, 0x90), 65, 256])))
def test_streaming_any_ids_agrees_with_decode(ids):
    assert "".join(stream_text(OF_BYTES, ids)) == OF_BYTES.decode(ids)


def test_streaming_yields_while_ids_come():
    def ids():
        yield from b"a\xc3"
        raise KeyboardInterrupt

    stream = stream_text(OF_BYTES, ids())
    assert next(stream) == "a"
    with pytest.raises(KeyboardInterrupt):
        next(stream)


# --- split_pieces, merge_steps ---


def test_pieces():
    assert split_pieces("I'm  here, 12345!\n\n x ") == [
        *("I", "'m", " ", " here", ",", " ", "123", "45", "!\n\n", " x", " ")
    ]


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
def test_pieces_join_to_the_text(text):
    assert "".join(split_pieces(text)) == text


@settings(max_examples=300, deadline=None)
@given(text=st.text("aab", min_size=1, max_size=300) | st.text(min_size=1))
def test_merge_steps_end_where_tiktoken_does(text):
    ranks = STUCK | {b"aa": 260, b"ba": 261, b"aaa": 262, b"baab": 263}
    steps = merge_steps(text.encode(), ranks)
    assert steps[0] == [bytes([byte]) for byte in text.encode()]
    assert all(b"".join(step) == text.encode() for step in steps)
    assert [ranks[token] for token in steps[-1]] == whole_pieces(ranks).encode_ordinary(text)


def test_a_piece_that_merging_cannot_reach_is_looked_up():
    assert merge_pairs(b"abcd", STUCK) == [
        [b"a", b"b", b"c", b"d"],
        [b"a", b"bc", b"d"],
    ]
    assert merge_steps(b"abcd", STUCK) == [[b"a", b"b", b"c", b"d"], [b"abcd"]]
    assert merge_steps(b"xabcd", STUCK)[-1] == [b"x", b"a", b"bc", b"d"]
    assert whole_pieces(STUCK).encode_ordinary("abcd") == [259]
    assert whole_pieces(STUCK).encode_ordinary("xabcd") == [ord("x"), ord("a"), 256, ord("d")]


def test_of_equal_ranks_the_leftmost_pair_goes_first():
    assert merge_pairs(b"aaa", {b"aa": 256})[-1] == [b"aa", b"a"]


@pytest.mark.slow
def test_every_token_of_llama3_through_merge_steps(llama3):
    reference = whole_pieces(llama3.ranks)
    out_of_reach = []
    for token, rank in llama3.ranks.items():
        assert merge_steps(token, llama3.ranks)[-1] == [token]
        assert reference.encode_single_token(token) == rank
        if merge_pairs(token, llama3.ranks)[-1] != [token]:
            assert reference.encode_ordinary(token.decode()) == [rank]
            out_of_reach.append(rank)
    assert len(out_of_reach) == 588
    assert min(out_of_reach) >= 100_256  # all among those added to the vocabulary of GPT-4


# --- files ---


def test_ranks_survive_a_file(ranks, tmp_path):
    write_ranks(dict(reversed(ranks.items())), tmp_path / "tokenizer.model")
    assert read_ranks(tmp_path / "tokenizer.model") == ranks
    assert (tmp_path / "tokenizer.model").read_text().splitlines()[:2] == ["AA== 0", "AQ== 1"]
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.model"]
    with (tmp_path / "tokenizer.model").open("a") as file:
        file.write("\n \n")  # as an editor may leave it
    assert read_ranks(tmp_path / "tokenizer.model") == ranks


def test_the_file_of_llama3_is_written_byte_for_byte(llama3, tmp_path):
    write_ranks(llama3.ranks, tmp_path / "tokenizer.model")
    assert (tmp_path / "tokenizer.model").read_bytes() == LLAMA3.read_bytes()


def test_a_tokenizer_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*none; expected a tok"):
        load_tokenizer(tmp_path / "none")
    assert load_tokenizer(tmp_path) is None  # a folder without one


def test_special_tokens_beside_the_file(tmp_path):
    path = tmp_path / "tokenizer.model"
    write_ranks(BYTES, path)
    assert load_tokenizer(path).special_tokens["<|begin_of_text|>"] == 256
    assert load_tokenizer(path).vocab_size == 512
    added = [{"id": 257, "content": "<|eot_id|>"}, {"id": 256, "content": "<|begin_of_text|>"}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    names = {"<|begin_of_text|>": 256, "<|eot_id|>": 257}
    assert load_tokenizer(path).special_tokens == names
    assert load_tokenizer(path).stop_ids == {257}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[" * 100_000,
        "[]",
        "{}",
        '{"added_tokens": [{"id": 300, "content": "<|eot_id|>"}]}',
        '{"added_tokens": [{"id": 256, "content": []}]}',
    ],
    ids=["no JSON", "too deep", "a list", "no added_tokens", "a gap before the ids", "no name"],
)
def test_a_tokenizer_json_that_does_not_fit_is_refused(tmp_path, content):
    write_ranks(BYTES, tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer.json").write_text(content)
    for path in (tmp_path / "tokenizer.model", tmp_path):
        with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}.*: ") as refusal:
            load_tokenizer(path)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "line 1: expected a base64 token"),
        (b"IQ== 0\nI?== 1\n", "line 2: expected a base64 token"),
        (b"IQ== 0\nIg== one\n", "line 2: expected a base64 token"),
        (b"IQ== 0\n\nIg== 1\n", "line 2: expected a base64 token"),
        (b"IQ== 0\nIQ== 1\n", "line 2: expected a base64 token not seen before"),
        (b"IQ== 0\nIg== 2\n", "ranks 0 to 1 once each; .* the first is rank 1"),
        (b"IQ== 0\nIg== 0\n", "ranks 0 to 1 once each; .* the first is rank 1"),
        (b"IQ== 0\nIg== 1\n", r"every single byte .* 254 missing, the first is token b'\\x00'"),
        (b"", "256 missing"),
        (b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02", "SentencePiece model as Llama 2"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, content, message):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as refusal:
        read_ranks(path)
    assert str(path) in str(refusal.value)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.model"
    write_ranks(BYTES, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        read_ranks(path)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)


def test_a_missing_file_is_refused(tmp_path):
    for path in (tmp_path / "tokenizer.model", tmp_path):
        with pytest.raises(FileNotFoundError, match="expected a tokenizer.model, found no file"):
            read_ranks(path)


@pytest.mark.skipif(not LLAMA2.is_file(), reason="no tokenizer.model of Llama 2 at ../shared/data")
def test_the_file_of_llama2_is_refused():
    with pytest.raises(ValueError, match="SentencePiece model as Llama 2 has it"):
        read_ranks(LLAMA2)


def test_ranks_with_a_gap_are_neither_used_nor_written(tmp_path):
    for use in (lambda r: BPETokenizer(r, []), lambda r: write_ranks(r, tmp_path / "x")):
        with pytest.raises(ValueError, match="the first is rank 256"):
            use(BYTES | {b"ab": 257})
    assert not list(tmp_path.iterdir())


def test_special_tokens_must_differ():
    with pytest.raises(ValueError, match="expected different names"):
        BPETokenizer(BYTES, ["<|a|>", "<|a|>"])


def test_lesson_01_says_what_the_file_of_llama_3_gives(llama3):
    lesson = Path(__file__).parents[2] / "notebooks/source/01_tokens.py"
    tree = ast.parse(lesson.read_text(encoding="utf-8"))
    assigned = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}
    stored = assigned["llama3"]
    for key, ids in zip(stored.keys, stored.values, strict=True):
        text = ast.literal_eval(assigned.get(ast.unparse(key), key))
        assert llama3.encode(text) == ast.literal_eval(ids)
