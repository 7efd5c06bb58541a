"""Pieces from any of three formats give the ids of the sentencepiece library."""

import io
import json
import struct
from pathlib import Path

import pytest

from llama_np.tokenizer import stream_text
from tests.varied_text import VARIED
from weights_tools.tokenizers import load_tokenizer, save_tokenizer
from weights_tools.tokenizers.gguf_tokenizer import tokenizer_from_gguf
from weights_tools.tokenizers.read_tokenizer_json import read_tokenizer_json
from weights_tools.tokenizers.sentencepiece_json import (
    merges_of_pieces,
    sentencepiece_json,
    write_sentencepiece,
)
from weights_tools.tokenizers.sentencepiece_model import (
    BYTE,
    CONTROL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    PieceList,
    _fields,
    _last_message,
    model_bytes,
    parse_llama2c,
    parse_model,
)
from weights_tools.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer

library = pytest.importorskip("sentencepiece")
pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

LLAMA2 = Path(__file__).parents[3] / "shared/data/llama2_tokenizer.model"
TEXT = st.text() | st.text("ab <s>/0xA▁\n é猫", max_size=60)


def trained(**options) -> bytes:
    """A model like Llama 2's, learned by sentencepiece itself."""
    sentences = [line for text in VARIED for line in text.split("\n") if line]
    model = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences * 3),
        model_writer=model,
        **{"model_type": "bpe", "byte_fallback": True, "vocab_size": 600, "pad_id": -1}
        | {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
        | {"split_digits": True, "character_coverage": 0.99, "minloglevel": 2}
        | {"allow_whitespace_only_pieces": True}
        | options,
    )
    return model.getvalue()


def llama2c_bytes(theirs) -> bytes:
    """As export in llama2.c's tokenizer.py writes it."""
    tokens = []
    for i in range(theirs.vocab_size()):
        text = theirs.id_to_piece(i)
        text = {theirs.bos_id(): "\n<s>\n", theirs.eos_id(): "\n</s>\n"}.get(i, text)
        tokens.append((theirs.get_score(i), text.replace("▁", " ").encode()))
    longest = struct.pack("<i", max(len(text) for _, text in tokens))
    return longest + b"".join(struct.pack("<fi", s, len(text)) + text for s, text in tokens)


def gguf_values(theirs) -> dict:
    """As convert_hf_to_gguf.py in llama.cpp lists it."""
    ids = range(theirs.vocab_size())

    def kind(i):
        if theirs.is_unknown(i) or theirs.is_control(i):
            return UNKNOWN if theirs.is_unknown(i) else CONTROL
        return BYTE if theirs.is_byte(i) else 1

    values = {
        "model": "llama",
        "tokens": [theirs.id_to_piece(i) for i in ids],
        "scores": [theirs.get_score(i) for i in ids],
        "token_type": [kind(i) for i in ids],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "add_bos_token": True,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()}


@pytest.fixture(scope="module", params=["llama2", "small"])
def model(request):
    if request.param == "small":
        return trained()
    if not LLAMA2.is_file():
        pytest.skip("no tokenizer.model of Llama 2 at ../shared/data")
    return LLAMA2.read_bytes()


@pytest.fixture(scope="module")
def theirs(model):
    return library.SentencePieceProcessor(model_proto=model)


@pytest.fixture(scope="module", params=["tokenizer.model", "written", "llama2.c", "gguf"])
def ours(request, model, theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    if request.param == "gguf":
        return tokenizer_from_gguf(gguf_values(theirs))
    if request.param == "llama2.c":
        (folder / "tokenizer.bin").write_bytes(llama2c_bytes(theirs))
        return SentencePieceTokenizer.from_llama2c(folder / "tokenizer.bin")
    (folder / "tokenizer.model").write_bytes(model)
    tokenizer = SentencePieceTokenizer.from_file(folder / "tokenizer.model")
    if request.param == "written":
        write_sentencepiece(tokenizer, folder)
        tokenizer = SentencePieceTokenizer.from_file(folder / "tokenizer.model")
    return tokenizer


@pytest.mark.parametrize("text", VARIED)
def test_varied_text(ours, theirs, text):
    ids = ours.encode(text)
    assert ids == theirs.encode(text)
    assert ours.decode(ids) == (" " + text if text else "")
    assert ours.encode(text, bos=True, eos=True) == [1, *ids, 2]


@settings(max_examples=100, deadline=None)
@given(text=TEXT)
def test_any_text(ours, theirs, text):
    ids = ours.encode(text)
    assert ids == theirs.encode(text)
    assert ours.decode(ids) == ((" " + text) if text else "").replace("▁", " ")
    assert "".join(stream_text(ours, ids)) == ours.decode(ids)
    assert "".join(ours.decode_bytes([i]).decode("latin-1") for i in ids) == ours.decode_bytes(
        ids
    ).decode("latin-1")


def test_all_three_are_the_same_vocabulary(ours, theirs):
    assert (ours.vocab_size, ours.bos_id, ours.eos_id) == (theirs.vocab_size(), 1, 2)
    assert ours.stop_ids == {2}
    assert ours.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2}
    for i in range(0, ours.vocab_size, 7):
        assert ours.piece_list.pieces[i].text == theirs.id_to_piece(i)
        assert ours.piece_list.pieces[i].score == theirs.get_score(i)


def test_the_written_model_has_all_that_was_read(ours, theirs):
    again = library.SentencePieceProcessor(model_proto=model_bytes(ours.piece_list))
    assert again.vocab_size() == theirs.vocab_size()
    for i in range(again.vocab_size()):
        assert again.id_to_piece(i) == theirs.id_to_piece(i)
    ends = [again.unk_id(), again.bos_id(), again.eos_id(), again.pad_id()]
    assert ends == [0, 1, 2, -1]
    text = "Hello  猫\n</s>"
    assert again.decode(again.encode(text)) == text


def test_the_unknown_piece_may_have_any_id():
    first, *others = tiny().pieces
    moved = PieceList([*others, first])
    data = model_bytes(moved)
    its = library.SentencePieceProcessor(model_proto=data)
    assert [its.unk_id(), its.bos_id(), its.eos_id()] == [len(others), 0, 1]
    assert parse_model(data) == moved
    trainer = dict(_fields(_last_message([*_fields(data)], 2)))
    assert trainer[40] == len(others)  # sentencepiece goes by the kind; transformers reads this


def test_a_continuation_keeps_its_space(ours):
    ids = ours.encode("the end of  the 猫🙂\n line")
    assert "".join(ours.decode([i]) for i in ids[:3]).startswith(" th")
    for cut in range(len(ids) + 1):
        head, tail = ours.decode_bytes(ids[:cut]), ours.decode_bytes(ids[cut:])
        assert head + tail == " the end of  the 猫🙂\n line".encode()


def test_bytes_and_labels(ours):
    assert ours.decode_bytes([3 + 0x0A, 3 + 0xE2]) == b"\n\xe2"
    assert [ours.token(i) for i in (0, 1, 13, 3 + 0xE2)] == ["<unk>", "<s>", r"\n", r"\xe2"]
    assert ours.token(ours.encode("é b")[0]).startswith("␣")
    with pytest.raises(ValueError, match="expected ids from 0 to"):
        ours.decode([ours.vocab_size])
    with pytest.raises(ValueError, match="lone surrogate"):
        ours.encode("a\ud800")


def test_names_of_special_tokens_are_ordinary_text(ours):
    text = "a</s> b"
    assert 2 not in ours.encode(text)
    assert ours.decode(ours.encode(text)) == " a</s> b"
    assert ours.encode(text, allow_special=True) == [*ours.encode("a"), 2, *ours.encode(" b")]


def test_a_million_of_one_character(ours, theirs):
    for character in (" ", "a", "猫"):
        text = character * 300_000
        assert ours.decode(ours.encode(text)) == " " + text


def test_user_defined_pieces_become_special_tokens(tmp_path):
    data = trained(user_defined_symbols=["<|im_start|>"], control_symbols=["<ctl>"])
    (tmp_path / "tokenizer.model").write_bytes(data)
    ours = SentencePieceTokenizer.from_file(tmp_path / "tokenizer.model")
    theirs = library.SentencePieceProcessor(model_proto=data)
    name, text = "<|im_start|>", "a <|im_start|> b <ctl>"
    assert ours.special_id(name) in theirs.encode(text)
    assert ours.special_id(name) not in ours.encode(text)
    assert ours.decode(ours.encode(text)) == " " + text
    assert ours.special_id(name) in ours.encode(text, allow_special=True)
    (tmp_path / "tokenizer.model").write_bytes(trained(user_defined_symbols=["the"]))
    with pytest.raises(ValueError, match="user-defined pieces to be names like <...>, got 'the'"):
        SentencePieceTokenizer.from_file(tmp_path / "tokenizer.model")


def test_without_a_dummy_prefix(tmp_path):
    data = trained(add_dummy_prefix=False)
    ours = SentencePieceTokenizer(parse_model(data))
    theirs = library.SentencePieceProcessor(model_proto=data)
    for text in VARIED:
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text
    write_sentencepiece(ours, tmp_path)
    again = read_tokenizer_json(tmp_path / "tokenizer.json")
    assert again.piece_list.dummy_prefix is False
    assert [again.encode(text) for text in VARIED] == [ours.encode(text) for text in VARIED]


# --- tokenizer.json ---


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    write_sentencepiece(SentencePieceTokenizer(parse_model(model)), folder, 256)
    return folder


@pytest.fixture(scope="module")
def of_transformers(folder):
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", [text for text in VARIED if text])
def test_transformers_opens_what_we_write(of_transformers, theirs, text):
    ids = of_transformers(text).input_ids
    assert ids == [1, *theirs.encode(text)]
    assert of_transformers.decode(ids, skip_special_tokens=True) == text


@settings(max_examples=100, deadline=None)
@given(text=st.text("abthe 12\n é猫▁", max_size=60) | st.text(min_size=1))
def test_transformers_agrees_on_any_text(of_transformers, theirs, text):
    names = ("<s>", "</s>", "<unk>")
    if not any(name in text for name in names):
        assert of_transformers(text).input_ids == [1, *theirs.encode(text)]


def test_the_merges_are_those_of_transformers(theirs):
    convert = pytest.importorskip("transformers.convert_slow_tokenizer")
    ids = {theirs.id_to_piece(i): i for i in range(theirs.vocab_size())}
    scores = {text: theirs.get_score(i) for text, i in ids.items()}
    pieces = parse_model(theirs.serialized_model_proto()).pieces
    assert merges_of_pieces(pieces) == convert.generate_merges(ids, scores)


def test_transformers_knows_the_ends(of_transformers, theirs):
    assert len(of_transformers) == theirs.vocab_size()
    assert (of_transformers.bos_token_id, of_transformers.eos_token_id) == (1, 2)
    assert (of_transformers.unk_token_id, of_transformers.model_max_length) == (0, 256)


def test_special_tokens_as_transformers_reads_them(of_transformers, folder):
    ours = SentencePieceTokenizer.from_file(folder / "tokenizer.model")
    text = "the end</s> x<s>\ny"
    assert of_transformers(text).input_ids == ours.encode(text, bos=True, allow_special=True)


@settings(max_examples=100, deadline=None)
@given(text=TEXT)
def test_pieces_from_tokenizer_json_alone(folder, theirs, text):
    assert from_json(folder).encode(text) == theirs.encode(text)


def from_json(folder, read={}):  # noqa: B006 - read once
    if folder not in read:
        read[folder] = read_tokenizer_json(folder / "tokenizer.json")
    return read[folder]


def test_tokenizer_json_alone(folder, theirs):
    ours = from_json(folder)
    assert (ours.bos_id, ours.eos_id, ours.stop_ids) == (1, 2, {2})
    assert ours.vocab_size == theirs.vocab_size()
    for text in VARIED:
        assert ours.encode(text) == theirs.encode(text)


def test_other_layouts_of_tokenizer_json_are_refused(tmp_path):
    values = sentencepiece_json(SentencePieceTokenizer(parse_model(trained())))
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}
    unmade = values["model"] | {"merges": values["model"]["merges"][5:]}
    for changes, message in (
        ({"pre_tokenizer": metaspace}, "or a Metaspace that does not split, got"),
        ({"normalizer": None, "pre_tokenizer": metaspace | {"split": True}}, "does not split"),
        ({"normalizer": None, "pre_tokenizer": {"type": "Whitespace"}}, "does not split, got"),
        ({"normalizer": None}, "the normalizer of Llama 2"),
        ({"model": unmade}, "no merge makes the token"),
        ({"model": values["model"] | {"ignore_merges": True}}, "no ignore_merges"),
        ({"added_tokens": values["added_tokens"] * 2}, "a name like <...>, once, got '<unk>'"),
    ):
        (tmp_path / "tokenizer.json").write_text(json.dumps(values | changes))
        with pytest.raises(ValueError, match=message):
            read_tokenizer_json(tmp_path / "tokenizer.json")


def test_what_the_package_refuses_is_said():
    named = parse_model(trained())
    named = named._replace(pieces=[*named.pieces, Piece(f"<{'a' * 10_000}>", 0.0, USER_DEFINED)])
    with pytest.raises(ValueError, match="sentencepiece refuses these pieces: .*too long"):
        SentencePieceTokenizer(named)


def metaspace(scheme) -> dict:
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}


TO_SPACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
DOUBLE = {"type": "Replace", "pattern": {"Regex": "\\A▁"}, "content": "▁▁"}
LAYOUTS = {  # as transformers 5 writes them: LlamaTokenizer, without a prefix, TokenizersBackend
    "first": (None, metaspace("first")),
    "always": (None, metaspace("always")),
    "never": (None, metaspace("never")),
    "doubled": (
        {"type": "Sequence", "normalizers": [TO_SPACE, DOUBLE]},
        {"type": "Sequence", "pretokenizers": [metaspace("always")]},
    ),
}
SPACED = [*VARIED, " the", "  the", "▁the", "\nthe", " ", "  ", "▁", "the  the ", "the</s> the"]
SPACED += ["<s>the", " <s>the<s> the</s>", "the</s>the", "</s>", "<s> ", "the </s>\n"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_spaces_of_transformers_5(model, tmp_path, layout):
    spaces_agree(model, tmp_path, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_rule_of_tokenizer_json_counts_beside_a_tokenizer_model(tmp_path, layout):
    (tmp_path / "tokenizer.model").write_bytes(trained())
    spaces_agree(trained(), tmp_path, layout)


def spaces_agree(model, tmp_path, layout):
    tokenizers = pytest.importorskip("tokenizers")
    values = sentencepiece_json(SentencePieceTokenizer(parse_model(model)))
    normalizer, pre_tokenizer = LAYOUTS[layout]
    values |= {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer}
    values["model"]["unk_token"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    (tmp_path / "again").mkdir()
    save_tokenizer(ours, tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    for text in SPACED:
        wanted = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, allow_special=True) == wanted, text
        assert again.encode(text, allow_special=True) == wanted, text


@pytest.mark.parametrize(
    "told, layout", [({"legacy": False}, "first"), ({"add_prefix_space": False}, "never")]
)
def test_a_tokenizer_model_whose_spaces_are_told_beside_it(model, tmp_path, told, layout):
    """... in tokenizer_config.json; transformers makes these layouts of it."""
    tokenizers = pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.model").write_bytes(model)
    values = sentencepiece_json(load_tokenizer(tmp_path))
    values |= dict(zip(("normalizer", "pre_tokenizer"), LAYOUTS[layout], strict=True))
    theirs = tokenizers.Tokenizer.from_str(json.dumps(values))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told))
    ours = load_tokenizer(tmp_path)
    for text in SPACED:
        wanted = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, allow_special=True) == wanted, text


def test_what_transformers_5_writes(model, tmp_path):
    transformers = pytest.importorskip("transformers")
    written = sentencepiece_json(SentencePieceTokenizer(parse_model(model)))["model"]
    merges = [tuple(merge.split(" ")) for merge in written["merges"]]
    theirs = transformers.LlamaTokenizer(vocab=written["vocab"], merges=merges, add_bos_token=True)
    theirs.save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.model").exists()
    ours = load_tokenizer(tmp_path)
    assert (ours.bos_id, ours.eos_id, ours.stop_ids) == (1, 2, {2})
    for text in filter(None, SPACED):
        assert ours.encode(text, bos=True, allow_special=True) == theirs(text).input_ids, text


# --- names that are looked for in the normalized text ---

LLAMA2S = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, TO_SPACE]}
LATE = {"<|im_start|>": True, "<|im_end|>": True, "<plain>": False, "<with a space>": True}
NAMED = ["<|im_start|>user\nthe end<|im_end|>\n<|im_start|>the", "<|im_start|> the", "<|im_start|>"]
NAMED += [" <|im_start|>the", "the<|im_start|> the <|im_end|>the", "the  <|im_end|>  the"]
NAMED += [
    "the</s><|im_end|>the",
    "</s> <|im_end|> ",
    "<plain><|im_start|>a<plain>a",
    "▁<|im_end|>a",
]
NAMED += [
    "a <with a space>b",
    "a<with a space> b",
    "<|im_start|><|im_end|>",
    "<|im_start|> <|im_end|>",
]


def with_late_names(layout) -> dict:
    values = sentencepiece_json(SentencePieceTokenizer(parse_model(trained())))
    normalizer, pre_tokenizer = (LAYOUTS | {"Llama 2's": (LLAMA2S, None)})[layout]
    first = len(values["model"]["vocab"])
    added = [
        {"id": i, "content": name, "normalized": late, "special": False}
        | dict.fromkeys(["single_word", "lstrip", "rstrip"], False)
        for i, (name, late) in enumerate(LATE.items(), start=first)
    ]
    values["added_tokens"] += added
    return values | {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer}


@pytest.mark.parametrize("layout", [*LAYOUTS, "Llama 2's"])
def test_names_that_are_normalized(tmp_path, layout):
    """As `tokenizer.add_tokens(["<|im_start|>"])` leaves them."""
    tokenizers = pytest.importorskip("tokenizers")
    values = with_late_names(layout)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    theirs, ours = tokenizers.Tokenizer.from_str(json.dumps(values)), load_tokenizer(tmp_path)
    (tmp_path / "again").mkdir()
    assert save_tokenizer(ours, tmp_path / "again") is None
    assert not (tmp_path / "again" / "tokenizer.model").exists()
    again = load_tokenizer(tmp_path / "again")
    for text in [*NAMED, *SPACED]:
        wanted = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, allow_special=True) == wanted, text
        assert again.encode(text, allow_special=True) == wanted, text


@pytest.fixture(scope="module", params=[*LAYOUTS, "Llama 2's"])
def late_pair(request, tmp_path_factory):
    """Their tokenizer and ours, from the same file."""
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path_factory.mktemp("late") / "tokenizer.json"
    path.write_text(json.dumps(with_late_names(request.param)), encoding="utf-8")
    return tokenizers.Tokenizer.from_file(str(path)), read_tokenizer_json(path)


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.sampled_from([*LATE, "</s>", " ", "the", "▁", "\n", "é"]), max_size=8))
def test_any_order_of_names_that_are_normalized(late_pair, parts):
    theirs, ours = late_pair
    wanted = theirs.encode("".join(parts), add_special_tokens=False).ids
    assert ours.encode("".join(parts), allow_special=True) == wanted


def test_a_guarded_name_that_is_normalized(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(with_late_names("Llama 2's")))
    ours = load_tokenizer(tmp_path)
    start, text = ours.special_id("<|im_start|>"), "<|im_start|>the <#|im_start|>"
    ids = ours.encode(text, allow_special=True, guard="#")
    assert ids.count(start) == 1
    assert ours.decode(ids) == "<|im_start|>the <|im_start|>"


@pytest.mark.parametrize(
    "config",
    [
        {"tokenizer_class": "PreTrainedTokenizerFast"},
        {"tokenizer_class": "LlamaTokenizer"},
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "added_tokens_decoder": {"600": {"content": "<|im_start|>", "special": True}},
        },
    ],
    ids=["as in tokenizer.json", "without a normalizer", "said otherwise"],
)
def test_which_names_transformers_finds(tmp_path, config):
    transformers = pytest.importorskip("transformers")
    values = with_late_names("Llama 2's")
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    ours, theirs = load_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in NAMED:
        ids = ours.encode(text, allow_special=True), theirs(text).input_ids
        special = [[i for i in each if i > 2 and i in ours.special_tokens.values()] for each in ids]
        assert special[0] == special[1], text


# --- pieces that merges cannot say ---


def test_equal_scores_cannot_be_merges():
    pieces = [Piece(text, 0.0) for text in ("a", "b", "c", "ab", "bc")]
    with pytest.raises(ValueError, match="'ab' and 'bc' have the same score"):
        merges_of_pieces(pieces)


def test_merges_start_from_pieces():
    """sentencepiece joins any characters; of "ce" without a piece "c", transformers makes bytes."""
    pieces = [Piece("e", -1.0), Piece("ce", -2.0)]
    with pytest.raises(ValueError, match="'ce' has the character 'c', which is no piece"):
        merges_of_pieces(pieces)


TIED = [Piece(text, 0.0) for text in ("b", "c", "ab", "bc")]


@pytest.mark.parametrize("more", [TIED, [Piece("▁ce", -9.0), Piece("e", -8.0)]], ids=["tied", "c"])
@pytest.mark.parametrize("bos", ["<s>", None])
def test_only_a_tokenizer_model_is_written(tmp_path, more, bos):
    pieces = [*tiny().pieces, *more]
    ours = SentencePieceTokenizer(PieceList(pieces, bos, "</s>"))
    told = save_tokenizer(ours, tmp_path)
    assert told.startswith("only a tokenizer.model is written, without a tokenizer.json: the piece")
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["tokenizer.model", "tokenizer_config.json"]
    again = load_tokenizer(tmp_path)
    assert (again.bos_id, again.eos_id) == (ours.bos_id, 2)
    for text in ("abc", "aabcb bc", "ce ce"):
        assert again.encode(text, bos=True) == ours.encode(text, bos=True)


def test_nothing_is_written_that_says_something_else(tmp_path):
    tied = tiny()._replace(pieces=[*tiny().pieces, *TIED], dummy_prefix=False, metaspace="first")
    told = save_tokenizer(SentencePieceTokenizer(tied), tmp_path)
    assert told.startswith("no tokenizer is written, without a tokenizer.json: the pieces 'ab' and")
    assert [*tmp_path.iterdir()] == []


def test_pieces_out_of_reach(tmp_path):
    """No text leads to abba, neither here nor in the library; both go on without it."""
    tokenizers = pytest.importorskip("tokenizers")
    more = [("b", -4), ("ab", 0), ("abba", -5), ("bb", -6), ("abbab", -7)]
    more = [Piece(text, float(score)) for text, score in more]
    ours = SentencePieceTokenizer(tiny()._replace(pieces=[*tiny().pieces, *more]))
    assert save_tokenizer(ours, tmp_path) is None
    again = load_tokenizer(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert again.vocab_size == ours.vocab_size
    for text in ("abba", "abbab", "aabbab bb", "bbb abbabba"):
        wanted = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text) == again.encode(text) == wanted
    (tmp_path / "more").mkdir()
    assert save_tokenizer(again, tmp_path / "more") is None
    assert load_tokenizer(tmp_path / "more").encode("abbabb") == ours.encode("abbabb")


# --- damaged files ---


def tiny() -> PieceList:
    pieces = [Piece("<unk>", 0, UNKNOWN), Piece("<s>", 0, CONTROL), Piece("</s>", 0, CONTROL)]
    pieces += [Piece(f"<0x{byte:02X}>", 0, BYTE) for byte in range(256)]
    return PieceList([*pieces, Piece("▁", -3), Piece("a", -2), Piece("▁a", -1)])


def changed(i, **changes):
    pieces = tiny().pieces
    pieces[i] = pieces[i]._replace(**changes)
    return pieces


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "pieces that differ, got 0"),
        (changed(-1, text="a"), "pieces that differ, got 2 of 'a'"),
        (changed(-1, text=""), "piece 261 has no text"),
        (changed(-1, text="a\0"), "piece 261 has no text"),
        (changed(-1, kind=7), "piece 261 has no text or an unknown type"),
        (changed(-1, score=float("nan")), "has the score nan"),
        (changed(-1, score=1e39), "has the score 1e"),
        (changed(-1, kind=UNKNOWN), "exactly one piece of type unknown"),
        (changed(0, kind=CONTROL), "exactly one piece of type unknown"),
        (changed(5, text="<0x100>"), "bytes <0x00> to <0xFF> as pieces"),
        (changed(5, kind=CONTROL), "bytes <0x00> to <0xFF> as pieces, got 255"),
        (changed(-1, kind=USER_DEFINED), "user-defined pieces to be names"),
        (changed(-1, kind=UNUSED), "user-defined pieces to be names"),
    ],
)
def test_pieces_that_are_no_model(pieces, message):
    with pytest.raises(ValueError, match=message):
        SentencePieceTokenizer(tiny()._replace(pieces=pieces))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model_type": "unigram", "vocab_size": 480},
            "expected byte-pair encoding with byte_fallback",
        ),
        ({"byte_fallback": False, "character_coverage": 1.0}, "encoding with byte_fallback"),
        ({"normalization_rule_name": "nmt_nfkc"}, "leaves the text as it is"),
        ({"remove_extra_whitespaces": True}, "leaves the text as it is"),
        ({"treat_whitespace_as_suffix": True}, "spaces as part of the piece behind them"),
    ],
)
def test_other_kinds_of_models_are_refused(tmp_path, options, message):
    (tmp_path / "tokenizer.model").write_bytes(trained(**options))
    with pytest.raises(ValueError, match=message) as refusal:
        SentencePieceTokenizer.from_file(tmp_path / "tokenizer.model")
    assert str(tmp_path) in str(refusal.value)


def test_a_missing_file(tmp_path):
    for read in (SentencePieceTokenizer.from_file, SentencePieceTokenizer.from_llama2c):
        with pytest.raises(FileNotFoundError, match="found no file"):
            read(tmp_path / "x")


LLAMA2C = struct.pack("<i", 6) + b"".join(
    struct.pack("<fi", p.score, len(text)) + text
    for p in tiny().pieces
    for text in [p.text.replace("▁", " ").encode()]
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "fewer than 4 bytes"),
        (LLAMA2C[:-1], "token 261 cannot have a length"),
        (LLAMA2C[:-6], "token 261 is cut off"),
        (struct.pack("<i", 9) + LLAMA2C[4:], "a longest token of 9 bytes, got 6"),
        (struct.pack("<i", 5) + LLAMA2C[4:], "token 3 cannot have a length of 6"),
        (struct.pack("<ifi", 99, 0, -1), "token 0 cannot have a length of -1 bytes"),
        (struct.pack("<ifi", 2**31 - 1, 0, 2**31 - 1), "cannot have a length of 2147483647"),
        (struct.pack("<ifi", 1, 0, 1) + b"\xff", "expected text in UTF-8"),
    ],
)
def test_a_damaged_file_of_llama2c(tmp_path, data, message):
    (tmp_path / "tokenizer.bin").write_bytes(data)
    with pytest.raises(ValueError, match=message) as refusal:
        SentencePieceTokenizer.from_llama2c(tmp_path / "tokenizer.bin")
    assert str(tmp_path) in str(refusal.value)


def damaged(data, content: bytes) -> bytes:
    content = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 60))
        content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content)))
        content[at:at] = content[at : at + data.draw(st.integers(0, 40))]
    return bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("parse", [parse_model, parse_llama2c])
def test_a_damaged_file_is_read_or_refused(parse, data, capfd):
    whole = model_bytes(tiny()) if parse is parse_model else LLAMA2C
    try:
        ours = SentencePieceTokenizer(parse(damaged(data, whole)))
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        ours.decode(ours.encode("a a<0x0A>b"))
    assert capfd.readouterr().err == ""


def test_the_whole_one_is_read():
    for pieces in (parse_model(model_bytes(tiny())), parse_llama2c(LLAMA2C)):
        assert pieces == tiny()
        assert SentencePieceTokenizer(pieces).encode("aa a") == [261, 260, 261]


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with pytest.raises(ValueError, match="needs a package: pip install sentencepiece"):
        SentencePieceTokenizer(tiny())
