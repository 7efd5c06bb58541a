"""tokenizer.json read by us gives the ids of the `tokenizers` library, or is refused."""

import json
from pathlib import Path

import pytest

from llama_np.tokenizer.bpe import (
    DIGITS_PATTERN,
    LLAMA3_PATTERN,
    LLAMA3_SPECIAL_TOKENS,
    BPETokenizer,
)
from tests.varied_text import VARIED
from weights_tools import load_tokenizer
from weights_tools.tokenizers.merging_order import order_of_merging
from weights_tools.tokenizers.read_tokenizer_json import read_tokenizer_json
from weights_tools.tokenizers.tokenizer_json import write_tokenizer_json
from weights_tools.training.train_tokenizer import train_ranks

library = pytest.importorskip("tokenizers")
pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tokenizers import decoders, models, pre_tokenizers, processors, trainers  # noqa: E402

DATA = Path(__file__).parents[3] / "shared/data"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<extra_{i}>" for i in range(14))]
# Without the names of special tokens, which they read in any text.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cn"]) | st.sampled_from("the 's\n\t12é猫")
).filter(lambda text: ">" not in text)


def smollm(alphabet, n_tokens=700):
    """As in SmolLM2: special tokens in front, every digit alone, no begin of text."""
    ours = library.Tokenizer(models.BPE())
    ours.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    ours.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    ours.train_from_iterator([text * 3 for text in VARIED], trainer)
    return ours


def saved(theirs, path):
    theirs.save(str(path))
    return read_tokenizer_json(path)


def ids_of(theirs, text):
    return theirs.encode(text, add_special_tokens=False).ids


REAL = pytest.param("real llama3", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["llama3", REAL, "gpt2", "smollm"])
def pair(request, tmp_path_factory):
    """Their tokenizer and ours, from the same file."""
    path = tmp_path_factory.mktemp("json") / "tokenizer.json"
    if request.param == "llama3":
        ranks = train_ranks("".join(VARIED) * 3, 600)
        write_tokenizer_json(BPETokenizer(ranks, LLAMA3_SPECIAL_TOKENS), path.parent)
    elif request.param == "real llama3":
        if not (DATA / "llama3_tokenizer.model").is_file():
            pytest.skip("no tokenizer.model of Llama 3 at ../shared/data")
        write_tokenizer_json(load_tokenizer(DATA / "llama3_tokenizer.model"), path.parent)
    elif request.param == "gpt2":
        if not (DATA / "gpt2_encoder.json").is_file():
            pytest.skip("no tokenizer of GPT-2 at ../shared/data")
        gpt2().save(str(path))
    else:
        smollm(pre_tokenizers.ByteLevel.alphabet()).save(str(path))
    return library.Tokenizer.from_file(str(path)), read_tokenizer_json(path)


def gpt2():
    vocab = json.loads((DATA / "gpt2_encoder.json").read_text(encoding="utf-8"))
    lines = (DATA / "gpt2_vocab.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    theirs = library.Tokenizer(
        models.BPE(vocab=vocab, merges=[tuple(line.split()) for line in lines])
    )
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.post_processor = processors.ByteLevel()
    theirs.add_special_tokens(["<|endoftext|>"])
    return theirs


@pytest.mark.parametrize("text", VARIED)
def test_varied_text(pair, text):
    theirs, ours = pair
    assert ours.encode(text) == ids_of(theirs, text)
    assert ours.decode(ours.encode(text)) == text


@settings(max_examples=200, deadline=None)
@given(text=TEXT | st.text("a' \n1", max_size=40))
def test_any_text(pair, text):
    theirs, ours = pair
    assert ours.encode(text) == ids_of(theirs, text)


LONG = 25_001
RUNS = ["a" * LONG + " b", " " * LONG + "the", " " * LONG + "12", "the" + " " * LONG, "." * LONG]
RUNS += ["the" + "\n" * LONG + "12", "a\u3000" + " " * LONG + "\n.", "\x1c" + " " * LONG + "\x1c "]
RUNS += [" " * LONG + "\u0663", "1 " * LONG, " \n\t" * LONG + "猫" + " " * LONG + "a"]


@pytest.mark.parametrize("text", RUNS, ids=range(len(RUNS)))
def test_long_runs_are_cut_where_the_library_cuts(pair, text):
    """Llama 3's are cut as in Meta's code: see test_tokenizer.py."""
    theirs, ours = pair
    if ours.pattern != LLAMA3_PATTERN:
        assert ours.encode(text) == ids_of(theirs, text)


def test_a_million_spaces(pair):
    _, ours = pair
    for text in (" " * 10**6, "\n" * 10**6 + "the"):
        assert ours.decode(ours.encode(text)) == text


def test_every_token_alone(pair):
    theirs, ours = pair
    assert (ours.vocab_size, ours.special_tokens) == (
        theirs.get_vocab_size(),
        {token.content: i for i, token in theirs.get_added_tokens_decoder().items()},
    )
    texts = [ours.decode([i]) for i in range(0, ours.vocab_size, 1 + ours.vocab_size // 3000)]
    for text in texts:
        if text not in ours.special_tokens:
            assert ours.encode(text) == ids_of(theirs, text)


def test_special_tokens(pair):
    theirs, ours = pair
    name = list(ours.special_tokens)[-1]
    text = f"the end{name} the"
    assert ours.encode(text, allow_special=True) == ids_of(theirs, text)
    assert ours.special_tokens[name] not in ours.encode(text)
    assert ours.decode(ours.encode(text)) == text


@pytest.mark.slow
def test_transformers_opens_what_we_write_of_it(pair, tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs, ours = pair
    if ours.vocab_size > 100_000:
        pytest.skip("written as it was read; test_tokenizer_json.py opens Llama 3's")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    write_tokenizer_json(ours, tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in filter(None, VARIED):
        assert again(text, add_special_tokens=False).input_ids == ids_of(theirs, text)
        assert again(text).input_ids == ours.encode(text, bos=ours.bos_id is not None)
    assert len(again) == ours.vocab_size
    assert again.get_added_vocab() == ours.special_tokens
    once_more = read_tokenizer_json(tmp_path / "tokenizer.json")
    assert (once_more.ids, once_more.ranks) == (ours.ids, ours.ranks)


def test_ids_in_front_and_no_begin(tmp_path):
    ours = saved(smollm(pre_tokenizers.ByteLevel.alphabet()), tmp_path / "tokenizer.json")
    assert [ours.special_id(name) for name in SPECIAL] == list(range(17))
    assert (ours.bos_id, ours.eos_id, ours.pattern) == (None, None, DIGITS_PATTERN)
    assert ours.encode("a", bos=True) == ours.encode("a")


def test_what_files_beside_declare(tmp_path):
    theirs = smollm(pre_tokenizers.ByteLevel.alphabet())
    config = {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [0, 2]}')
    ours = saved(theirs, tmp_path / "tokenizer.json")
    assert (ours.bos_id, ours.eos_id, ours.stop_ids) == (None, 2, {0, 2})


@pytest.mark.parametrize("has_template", [True, False])
@pytest.mark.parametrize("says", [None, True, False])
def test_the_template_alone_puts_a_begin_token_in_front(tmp_path, has_template, says):
    transformers = pytest.importorskip("transformers")
    theirs = smollm(pre_tokenizers.ByteLevel.alphabet())
    if has_template:
        theirs.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
        )
    config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    config |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    config |= {} if says is None else {"add_bos_token": says}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours = saved(theirs, tmp_path / "tokenizer.json")
    assert ours.bos_id == (1 if has_template else None)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert ours.encode("a b", bos=True) == again("a b").input_ids


def test_a_byte_that_is_no_token(tmp_path):
    theirs = smollm([], n_tokens=450)
    ours = saved(theirs, tmp_path / "tokenizer.json")
    assert len(ours.ids) < len(ours.ranks)
    for text in VARIED:
        assert ours.encode(text) == ids_of(theirs, text)
    with pytest.raises(ValueError, match=r"vocabulary can spell, got '\\x00', one of whose bytes"):
        ours.encode("a\x00b")


def test_names_that_are_looked_for_late(tmp_path):
    """Those with `normalized`, in what the others leave; there is no normalizer here."""
    theirs = smollm(pre_tokenizers.ByteLevel.alphabet())
    plain = [library.AddedToken(name, normalized=False) for name in ("<a>", "<b>")]
    theirs.add_tokens([*plain, library.AddedToken("<<a>>"), library.AddedToken("<c>")])
    ours = saved(theirs, tmp_path / "tokenizer.json")
    write_tokenizer_json(ours, tmp_path)
    again = read_tokenizer_json(tmp_path / "tokenizer.json")
    for text in ("<<a>>", "<c><b>a<c> <a>", "<<a> <b>>", "the<c>the"):
        for tokenizer in (ours, again):
            assert tokenizer.encode(text, allow_special=True) == ids_of(theirs, text)


# --- ranks from merges ---

LETTERS = {letter: i for i, letter in enumerate("abcd")}


def byte_level_json(more, merges, ignore_merges):
    """A tokenizer of all bytes and of `more` tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*more, *alphabet])}
    theirs = library.Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return theirs


@pytest.mark.parametrize("ignore_merges", [True, False])
def test_a_token_that_no_merge_makes(tmp_path, ignore_merges):
    # abcd: never by merges (bc comes first); xyz: in no merge at all.
    merges = [("b", "c"), ("a", "b"), ("c", "d"), ("ab", "cd")]
    theirs = byte_level_json(["abcd", "xyz", "bc", "cd", "ab"], merges, ignore_merges)
    ours = saved(theirs, tmp_path / "tokenizer.json")
    for text in ("abcd", "abcd abcd", "xabcd", "xyz", "xyz xyzxyz", "abc", "ab cd"):
        assert ours.encode(text) == ids_of(theirs, text)
    assert ours.decode([0, 1]) == "abcdxyz"
    write_tokenizer_json(ours, tmp_path)
    again = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in ("abcd", "abcd abcd", "xabcd", "xyz", "xyz xyzxyz", "abc", "ab cd"):
        assert ours.encode(text) == ids_of(again, text)


def test_a_pair_that_is_not_in_the_list(tmp_path):
    merges = [("b", "c"), ("a", "b"), ("ab", "c")]  # abc has the parts a and bc
    ours = saved(byte_level_json(["bc", "ab", "abc"], merges, False), tmp_path / "t.json")
    assert [ours.token(i) for i in ours.encode("abc")] == ["a", "bc"]
    with pytest.raises(ValueError, match="no merge makes the token b'abc' of its two halves"):
        saved(byte_level_json(["bc", "ab", "abc"], merges, True), tmp_path / "t.json")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_merges_at_all(tmp_path_factory, data):
    """Vocabularies nobody would learn: merges in any order, some out of reach."""
    tokens = list("abc")
    merges = []
    for _ in range(data.draw(st.integers(1, 10))):
        left, right = (data.draw(st.sampled_from(tokens)) for _ in "lr")
        if (left, right) not in merges and len(left + right) < 9:
            merges.append((left, right))
            tokens += [left + right] * (left + right not in tokens)
    merges = data.draw(st.permutations(merges))
    more = data.draw(st.permutations([token for token in tokens if len(token) > 1]))
    whole = data.draw(st.booleans())
    theirs = byte_level_json(more, merges, whole)
    path = tmp_path_factory.getbasetemp() / "any.json"
    try:
        ours = saved(theirs, path)
    except ValueError as error:
        assert whole and "of its two halves" in str(error)
        return
    for text in data.draw(st.lists(st.text("abc", max_size=14), min_size=1, max_size=12)):
        assert ours.encode(text) == ids_of(theirs, text)


def test_order():
    ids = LETTERS | {"ab": 5, "abc": 4}
    assert order_of_merging(ids, [("a", "b"), ("ab", "c")], True)[-2:] == ["ab", "abc"]
    with pytest.raises(ValueError, match="the merge of 'a' and 'd' is not about tokens"):
        order_of_merging(ids, [("a", "d")], True)
    with pytest.raises(ValueError, match="2001 characters"):
        order_of_merging({"a" * 2001: 0}, [], True)


# --- what is refused ---


def small():
    return {
        "added_tokens": [{"id": 258, "content": "<|x|>", "special": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": None,
        "model": {
            "type": "BPE",
            "vocab": {
                token: i
                for i, token in enumerate(
                    [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ab", "Ġa"]
                )
            },
            "merges": ["a b", ["Ġ", "a"]],
        },
    }


def written(values, path):
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def test_both_spellings_of_merges(tmp_path):
    ours = read_tokenizer_json(written(small(), tmp_path / "tokenizer.json"))
    assert ours.encode("ab ac") == [256, 257, ours.ids[b"c"]]


DIGITS = {"type": "Digits", "individual_digits": False}
TEMPLATE = {"type": "BertProcessing", "sep": ["x", 1], "cls": ["y", 2]}


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("model", "type"), "Unigram", "the model type BPE, got 'Unigram'"),
        (("model", "type"), "WordPiece", "the model type BPE, got 'WordPiece'"),
        (("model", "dropout"), 0.1, "no dropout, got 0.1"),
        (("model", "end_of_word_suffix"), "</w>", "no end_of_word_suffix"),
        (("model", "byte_fallback"), True, "the normalizer of Llama 2 beside byte_fallback, or a"),
        (("model", "vocab"), [], "expected vocab as dict"),
        (("model", "vocab"), {"a": "0"}, "the id of 'a' as int"),
        (("model", "vocab"), {"a": 0, "b": 0}, "an id with two of them|not one of two tokens"),
        (("model", "merges"), ["a b c"], "expected merges of two tokens"),
        (("model", "merges"), ["a q"], "is not about tokens"),
        (("model", "merges"), ["a 猫"], "is not one of two tokens"),
        (("model", "merges"), 5, "expected merges as list"),
        (("normalizer",), {"type": "NFC"}, "no normalizer"),
        (("pre_tokenizer",), None, "expected the pre_tokenizer of Llama 3, GPT-2 or SmolLM2"),
        (("pre_tokenizer",), {"type": "Sequence", "pretokenizers": [DIGITS]}, "got .*Digits"),
        (("pre_tokenizer", "add_prefix_space"), True, "expected the pre_tokenizer of Llama 3"),
        (("pre_tokenizer",), {"type": "Sequence", "pretokenizers": "x"}, "expected the pre_tok"),
        (("post_processor",), TEMPLATE, "another post_processor than 'BertProcessing'"),
        (("added_tokens",), {"a": 1}, "expected added_tokens as list"),
        (("added_tokens",), [{"id": 258, "content": "  "}], "to be a name like"),
        (("added_tokens",), [{"id": 999, "content": "<x>"}], "ids 0 to 258 once each"),
        (("added_tokens",), [{"id": 5, "content": "<x>"}], "an id with two of them"),
        (("added_tokens",), [{"id": 5, "content": "ab", "special": True}], "has the id 256 in vo"),
        (("added_tokens",), [{"id": 258, "content": "<x>", "lstrip": True}], "without lstrip"),
        (("model",), None, "expected model as dict"),
    ],
)
def test_what_could_give_other_ids_is_refused(tmp_path, where, value, message):
    values = small()
    part = values
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    path = written(values, tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match=message) as refusal:
        read_tokenizer_json(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 200_000, "{}", '"x"', '{"model": 1}'])
def test_no_tokenizer_at_all(tmp_path, content):
    path = written(content, tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match="tokenizer.json: ") as refusal:
        read_tokenizer_json(path)
    assert "\n" not in str(refusal.value)
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        read_tokenizer_json(tmp_path / "nothing.json")


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 400) | st.floats() | st.sampled_from(
        ["", "a", "ab", "<|x|>", "Ġ", "BPE", "Sequence", "ByteLevel", "\ud800", "猫"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "id", "content", "a", "ab", "single"]), inner),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_json_in_any_place_is_read_or_refused(tmp_path_factory, data):
    values = small()
    for _ in range(data.draw(st.integers(1, 2))):
        part, key = values, data.draw(st.sampled_from(sorted(values)))
        while isinstance(part[key], (dict, list)) and part[key] and data.draw(st.booleans()):
            part = part[key]
            key = data.draw(
                st.sampled_from([*part] if isinstance(part, dict) else [*range(len(part))])
            )
        part[key] = data.draw(ANY_JSON)
    read_or_refuse(written(values, tmp_path_factory.getbasetemp() / "fuzzed.json"))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    content = bytearray(json.dumps(small(), ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    read_or_refuse(path)


def read_or_refuse(path):
    try:
        ours = read_tokenizer_json(path)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(ours.decode(range(ours.vocab_size)), str)
