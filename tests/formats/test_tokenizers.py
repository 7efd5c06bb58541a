"""Which tokenizer a folder or a GGUF file has; what we save is found again."""

import json
from pathlib import Path

import pytest

from llama_np.tokenizer import stream_text
from llama_np.tokenizer.bpe import LLAMA3_SPECIAL_TOKENS, BPETokenizer
from tests.varied_text import VARIED
from weights_tools.tokenizers import load_tokenizer, save_tokenizer
from weights_tools.tokenizers.gguf_tokenizer import tokenizer_from_gguf
from weights_tools.tokenizers.ranks import write_ranks
from weights_tools.tokenizers.sentencepiece_model import (
    BYTE,
    CONTROL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
)
from weights_tools.tokenizers.tokenizer_json import merges_of, tokenizer_json, write_tokenizer_json
from weights_tools.training.train_tokenizer import train_ranks

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

DATA = Path(__file__).parents[3] / "shared/data"
RANKS = train_ranks("".join(VARIED), 400)
NAMES = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]


@pytest.fixture(scope="module")
def llama3():
    return BPETokenizer(RANKS, NAMES)


def in_front():
    """The ids of ordinary tokens start at 3, backwards."""
    ids = {token: 402 - rank for token, rank in RANKS.items()}
    return BPETokenizer(RANKS, {name: i for i, name in enumerate(NAMES)}, ids=ids, bos=None)


@pytest.fixture
def llama2():
    """A SentencePieceTokenizer of 262 pieces."""
    pytest.importorskip("sentencepiece")
    from weights_tools.tokenizers.sentencepiece_tokenizer import SentencePieceTokenizer

    return SentencePieceTokenizer(pieces())


def pieces():
    from weights_tools.tokenizers.sentencepiece_model import PieceList

    listed = [Piece("<unk>", 0.0, UNKNOWN), Piece("<s>", 0.0, CONTROL), Piece("</s>", 0.0, CONTROL)]
    listed += [Piece(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    return PieceList([*listed, Piece("▁", -3.0), Piece("a", -2.0), Piece("▁a", -1.0)])


def same(ours, other):
    assert type(ours) is type(other)
    for name in ("vocab_size", "special_tokens", "bos_id", "eos_id", "stop_ids"):
        assert getattr(ours, name) == getattr(other, name), name
    for text in VARIED:
        assert ours.encode(text) == other.encode(text)
    ids = range(ours.vocab_size)
    assert ours.decode_bytes(ids) == other.decode_bytes(ids)


# --- folders ---


def test_what_is_saved_is_found_again(llama3, llama2, tmp_path):
    for number, tokenizer in enumerate((llama3, in_front(), llama2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_tokenizer(tokenizer, folder, 256)
        same(load_tokenizer(folder), tokenizer)
        (folder / "tokenizer.model").unlink(missing_ok=True)  # tokenizer.json says it all
        same(load_tokenizer(folder), tokenizer)
        config = json.loads((folder / "tokenizer_config.json").read_text())
        assert config["model_max_length"] == 256
    assert [path.name for path in (tmp_path / "1").glob("tokenizer*.model")] == []


def test_tiktoken_only_where_ranks_are_ids(llama3, tmp_path):
    for tokenizer, there in ((llama3, True), (in_front(), False)):
        save_tokenizer(tokenizer, tmp_path)
        assert (tmp_path / "tokenizer.model").is_file() is there
        (tmp_path / "tokenizer.model").unlink(missing_ok=True)


def test_transformers_gives_the_same_ids(llama3, llama2, tmp_path):
    transformers = pytest.importorskip("transformers")
    for number, tokenizer in enumerate((llama3, in_front(), llama2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text('{"model_type": "llama"}')
        save_tokenizer(tokenizer, folder, 256)
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        for text in filter(None, VARIED):
            ids = tokenizer.encode(text, bos=tokenizer.bos_id is not None)
            assert theirs(text).input_ids == ids
            assert theirs.decode(ids, skip_special_tokens=True) == text
        assert (theirs.bos_token_id, theirs.eos_token_id) == (tokenizer.bos_id, tokenizer.eos_id)


def test_nothing_there(tmp_path):
    assert load_tokenizer(tmp_path) is None


def test_under_original_with_names_from_the_folder(llama3, tmp_path):
    (tmp_path / "original").mkdir()
    write_ranks(RANKS, tmp_path / "original" / "tokenizer.model")
    assert load_tokenizer(tmp_path).special_tokens.keys() == set(LLAMA3_SPECIAL_TOKENS)
    write_tokenizer_json(llama3, tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [401]}')
    same(load_tokenizer(tmp_path), llama3)


def test_special_tokens_behind_the_pieces(llama2, tmp_path):
    save_tokenizer(llama2, tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    more = [
        {"id": 262 + i, "content": name} for i, name in enumerate(["<|im_start|>", "<|im_end|>"])
    ]
    values["added_tokens"] += more
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 263}')
    for _ in range(2):
        ours = load_tokenizer(tmp_path)
        assert (ours.vocab_size, ours.bos_id, ours.eos_id, ours.stop_ids) == (264, 1, 2, {2, 263})
        assert ours.encode("a<|im_end|>", allow_special=True) == [261, 263]
        (tmp_path / "tokenizer.model").unlink(missing_ok=True)
    save_tokenizer(llama2, tmp_path)
    values["added_tokens"][-1]["id"] = 270
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="expected ids from 0 on without gaps"):
        load_tokenizer(tmp_path)


def other_merges(values):
    merges, vocab = values["model"]["merges"], values["model"]["vocab"]
    values["model"]["merges"] = [*reversed(merges[:2]), *merges[2:]] if len(merges) > 1 else merges
    first, second = [token for token in vocab if len(token) > 1][-2:]
    vocab[first], vocab[second] = vocab[second], vocab[first]


def one_more_token(values):
    vocab, merges = values["model"]["vocab"], values["model"]["merges"]
    added = values["added_tokens"]
    first = min(token["id"] for token in added)
    vocab["zq"] = first
    merges.append("z q")
    for token in added:
        token["id"] += 1


def alone_digits(values):
    digits = {"type": "Digits", "individual_digits": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    level["trim_offsets"] = True
    values["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, level]}


@pytest.mark.parametrize("where", [".", "original"])
@pytest.mark.parametrize("changed", [other_merges, one_more_token, alone_digits])
def test_tokenizer_json_counts_beside_ranks_that_say_something_else(
    tmp_path, llama3, changed, where
):
    library = pytest.importorskip("tokenizers")
    values = tokenizer_json(llama3)
    values["post_processor"] = None
    changed(values)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    (tmp_path / where).mkdir(exist_ok=True)
    write_ranks(RANKS, tmp_path / where / "tokenizer.model")
    theirs, ours = library.Tokenizer.from_str(json.dumps(values)), load_tokenizer(tmp_path)
    for text in [*VARIED, "zqzq 1234<|eot_id|>"]:
        assert ours.encode(text, allow_special=True) == theirs.encode(text).ids


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("normalizer", {"type": "Lowercase"}, "expected no normalizer"),
        ("pre_tokenizer", {"type": "Whitespace"}, "expected the pre_tokenizer of Llama 3"),
        ("model", {"type": "Unigram"}, "the model type BPE, got 'Unigram'"),
    ],
)
def test_a_tokenizer_json_that_is_refused_is_not_replaced(tmp_path, llama3, key, value, message):
    save_tokenizer(llama3, tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ValueError, match=message) as refusal:
        load_tokenizer(tmp_path)
    assert str(path) in str(refusal.value)


def test_names_of_added_tokens_stand_in_tokenizer_json(llama2, tmp_path):
    """... also for a tokenizer.model that is asked for by its name."""
    save_tokenizer(llama2, tmp_path)
    path = tmp_path / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values["added_tokens"].append({"id": 262, "content": "<|im_end|>"})
    path.write_text(json.dumps(values))
    assert load_tokenizer(tmp_path / "tokenizer.model").special_tokens["<|im_end|>"] == 262


@pytest.mark.parametrize("scaled", [None, False, True])
def test_the_names_of_meta(tmp_path, scaled):
    """Since Llama 3.1, which has another RoPE, some of the reserved tokens have a name.

    As in models/llama3/tokenizer.py of github.com/meta-llama/llama-models.
    """
    write_ranks(RANKS, tmp_path / "tokenizer.model")
    params = {} if scaled is None else {"use_scaled_rope": scaled}
    (tmp_path / "params.json").write_text(json.dumps(params))
    ours = load_tokenizer(tmp_path)
    names = [ours.token(400 + i) for i in range(12)]
    assert ours.vocab_size == 656
    assert names[:4] == [*NAMES[:2], *(f"<|reserved_special_token_{i}|>" for i in (0, 1))]
    assert names[9] == "<|eot_id|>" and names[6:8] == ["<|start_header_id|>", "<|end_header_id|>"]
    if scaled:
        assert names[4:6] == ["<|finetune_right_pad_id|>", "<|step_id|>"]
        assert names[8:] == ["<|eom_id|>", "<|eot_id|>", "<|python_tag|>", "<|image|>"]
        assert ours.stop_ids == {401, 408, 409}
    else:
        assert tuple(names) == LLAMA3_SPECIAL_TOKENS[:12]
        assert ours.stop_ids == {401, 409}
    assert ours.token(655) == f"<|reserved_special_token_{245 if scaled else 250}|>"


def test_an_end_that_is_no_added_token(llama3, tmp_path):
    """It stands in the vocabulary alone; transformers makes a special token of it."""
    transformers = pytest.importorskip("transformers")
    values = tokenizer_json(llama3)
    end = values["added_tokens"].pop()
    values["model"]["vocab"] |= {
        "<|begin_of_text|>": 400,
        "<|end_of_text|>": 401,
        "<|eot_id|>": 402,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end["content"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours, theirs = load_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (ours.eos, ours.eos_id) == (theirs.eos_token, theirs.eos_token_id) == (NAMES[2], 402)
    text = "the end<|eot_id|> of"
    assert ours.encode(text, bos=True, allow_special=True) == theirs(text).input_ids


# --- vocab.json and merges.txt ---


def write_gpt2(folder, tokenizer, **config):
    values = tokenizer_json(tokenizer)["model"]
    vocab = values["vocab"] | tokenizer.special_tokens
    (folder / "vocab.json").write_text(json.dumps(vocab))
    lines = ["#version: 0.2", *values["merges"], ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


ENDS = {"bos_token": NAMES[0], "eos_token": NAMES[1], "unk_token": NAMES[1]}


@pytest.mark.parametrize("add_bos", [None, True, False])
def test_the_two_files_of_gpt2(llama3, tmp_path, add_bos):
    transformers = pytest.importorskip("transformers")
    added = {"402": {"content": NAMES[2], "special": True}}
    config = ENDS | {"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": added}
    write_gpt2(
        tmp_path, llama3, **config, **({} if add_bos is None else {"add_bos_token": add_bos})
    )
    ours, theirs = load_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (ours.bos_id, ours.eos_id) == (400 if add_bos else None, 401)
    for text in filter(None, [*VARIED, "the<|end_of_text|> end<|eot_id|>"]):
        assert ours.encode(text, bos=True, allow_special=True) == theirs(text).input_ids


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tokenizer_class": "LlamaTokenizer"}, "tokenizer_class GPT2Tokenizer, .* got 'LlamaTok"),
        ({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}, "no add_prefix_space"),
        ({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<gone>"}, "which is no added token"),
    ],
)
def test_two_files_that_are_refused(llama3, tmp_path, config, message):
    write_gpt2(tmp_path, llama3, **ENDS | config)
    with pytest.raises(ValueError, match=message) as refusal:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_two_files_of_which_nothing_is_said(llama3, tmp_path):
    """As in a folder of GPT-2, whose reader knows them."""
    write_gpt2(tmp_path, llama3)
    assert load_tokenizer(tmp_path) is None


NEW = ["<|im_start|>", "<|im_end|>"]


def beside_the_pieces(folder, layout):
    """What fine-tuning of 2023 left beside a tokenizer.model, in either spelling."""
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"}
    if layout == "added_tokens.json":
        added = {name: 262 + i for i, name in enumerate(NEW)}
        (folder / layout).write_text(json.dumps(added))
        ends = {"eos_token": {"content": NEW[1], "lstrip": False}}
        (folder / "special_tokens_map.json").write_text(json.dumps(ends))
    else:
        added = {str(262 + i): {"content": name} for i, name in enumerate(NEW)}
        config |= {"added_tokens_decoder": added | {"1": {"content": "<s>", "special": True}}}
        config |= {"eos_token": NEW[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("layout", ["added_tokens.json", "added_tokens_decoder"])
def test_special_tokens_without_a_tokenizer_json(llama2, tmp_path, layout):
    save_tokenizer(llama2, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    beside_the_pieces(tmp_path, layout)
    ours = load_tokenizer(tmp_path)
    assert (ours.vocab_size, ours.bos_id, ours.eos_id, ours.stop_ids) == (264, 1, 263, {263})
    assert ours.encode("a<|im_end|>", bos=True, allow_special=True) == [1, 261, 263]
    assert ours.decode([262, 261, 263]) == "<|im_start|> a<|im_end|>"
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 262]}')
    assert load_tokenizer(tmp_path).stop_ids == {2, 262, 263}
    (tmp_path / "to").mkdir()
    save_tokenizer(ours, tmp_path / "to")
    same(load_tokenizer(tmp_path / "to"), ours)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": False}))
    assert load_tokenizer(tmp_path).bos_id is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("added_tokens.json", {"<a>": 270}, "with the ids from 262 on, without gaps"),
        ("added_tokens.json", {"<a>": 5}, "the added token '<a>' has the id 5, which is another"),
        ("added_tokens.json", {"<a>": -1}, "the added token '<a>' has the id -1"),
        ("added_tokens.json", {"<a>": "x"}, "expected id as int"),
        ("added_tokens.json", {"plain": 262}, "to be a name like"),
        ("tokenizer_config.json", {"added_tokens_decoder": [1]}, "added_tokens_decoder as dict"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": {}}}, "expected an id as the key"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"262": 5}}, "an added token as dict"),
        ("tokenizer_config.json", {"eos_token": "<gone>"}, "which is no added token"),
    ],
)
def test_added_tokens_that_cannot_be(llama2, tmp_path, name, content, message):
    save_tokenizer(llama2, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as refusal:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_ranks_without_a_tokenizer_json(llama3, tmp_path):
    """Their names stand in tokenizer_config.json, and generation_config.json stops the writing."""
    write_ranks(RANKS, tmp_path / "tokenizer.model")
    assert load_tokenizer(tmp_path).special_tokens["<|eot_id|>"] == 409
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [409, 408]}')
    stops = {408, 409, 401}
    assert load_tokenizer(tmp_path).stop_ids == stops
    added = {str(400 + i): {"content": name} for i, name in enumerate(NAMES)}
    config = {"added_tokens_decoder": added, "eos_token": "<|eot_id|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    ours = load_tokenizer(tmp_path)
    assert (ours.vocab_size, ours.bos_id, ours.eos_id) == (403, 400, 402)
    added["405"] = {"content": "<|gap|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="expected added tokens with the ids from 400 on"):
        load_tokenizer(tmp_path)
    added["403"] = {"content": "|"}
    del added["405"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="expected added tokens that are no ordinary ones, got .|"):
        load_tokenizer(tmp_path)


def test_a_vocabulary_too_large_for_the_model(llama3, tmp_path):
    save_tokenizer(llama3, tmp_path)
    assert load_tokenizer(tmp_path, 403).vocab_size == 403
    assert load_tokenizer(tmp_path, 401).vocab_size == 403  # two special tokens without a row
    with pytest.raises(ValueError, match="the tokenizer has 403 tokens, the model only 399"):
        load_tokenizer(tmp_path, 399)


def test_ids_that_pad_the_vocabulary_decode_to_nothing(llama3, llama2, tmp_path):
    for number, tokenizer in enumerate((llama3, llama2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        save_tokenizer(tokenizer, folder)
        padded, n = load_tokenizer(folder, 500), tokenizer.vocab_size
        ids = tokenizer.encode("the end")
        assert padded.decode([*ids, n, 499, *ids]) == tokenizer.decode(ids + ids)
        assert list(stream_text(padded, [n, 499])) == [] and padded.token(499) == "(none)"
        for tok, outside in ((padded, 500), (padded, -1), (tokenizer, n)):
            with pytest.raises(ValueError, match=f"got {outside}; use the tokenizer"):
                tok.decode([outside])


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\x0e\n\x05<unk>", b"\x00\x01", b"\xff" * 50])
def test_a_file_that_is_neither(tmp_path, content):
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(ValueError, match="tokenizer.model.*: ") as refusal:
        load_tokenizer(tmp_path)
    assert "\n" not in str(refusal.value)


JSON = json.dumps(tokenizer_json(BPETokenizer(RANKS, NAMES)))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_files_beside_are_used_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    write_ranks(RANKS, folder / "tokenizer.model")
    junk = st.binary(max_size=30) | st.sampled_from(
        [b"[]", b"[" * 100_000, b'{"eos_token_id": {}}', b'{"bos_token": 5}', b'{"eos_token": "x"}']
        + [b'{"added_tokens": [{"id": 400, "content": []}]}', b'{"added_tokens": [3]}', b"\xff\xfe"]
        + [b'{"add_bos_token": [1], "bos_token": "<|eot_id|>"}', JSON.encode()]
    )
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_bytes(data.draw(junk))
    try:
        load_tokenizer(folder)
    except ValueError as error:
        assert "\n" not in str(error) and str(folder) in str(error) and len(str(error)) < 600


# --- GGUF ---


def gguf(tokenizer, pre, **changes):
    """As convert_hf_to_gguf.py in llama.cpp lists byte-level BPE."""
    written = tokenizer_json(tokenizer)["model"]
    tokens = {i: token for token, i in written["vocab"].items()}
    tokens |= {i: name for name, i in tokenizer.special_tokens.items()}
    special = tokenizer.special_tokens.values()
    values = {
        "model": "gpt2",
        "pre": pre,
        "tokens": [tokens[i] for i in range(len(tokens))],
        "token_type": [CONTROL if i in special else 1 for i in range(len(tokens))],
        "merges": written["merges"],
        "bos_token_id": tokenizer.special_tokens[NAMES[0]],
        "eos_token_id": tokenizer.special_tokens[NAMES[1]],
    }
    return {f"tokenizer.ggml.{key}": value for key, value in (values | changes).items()}


def test_gguf_of_llama3(llama3):
    for pre in ("llama-bpe", "llama3", "llama-v3"):
        same(tokenizer_from_gguf(gguf(llama3, pre)), llama3)
    assert tokenizer_from_gguf(gguf(llama3, "llama-bpe", add_bos_token=False)).bos_id is None


def test_gguf_with_ids_in_another_order():
    same(tokenizer_from_gguf(gguf(in_front(), "llama-bpe", add_bos_token=False)), in_front())


def test_gguf_of_a_llama3_that_joins_what_it_can(llama3):
    """As llama.cpp cuts under this name: Llama 3's pieces, merged from their bytes."""
    ours = tokenizer_from_gguf(gguf(llama3, "smaug-bpe"))
    assert (ours.bos_id, ours.pattern) == (None, llama3.pattern)
    assert tokenizer_from_gguf(gguf(llama3, "smaug-bpe", add_bos_token=True)).bos_id == 400
    for text in VARIED:
        assert ours.decode(ours.encode(text)) == text


def test_gguf_stops_at_names_that_llama_cpp_knows(llama3):
    ranks = dict(list(RANKS.items())[:400])
    named = BPETokenizer(ranks, [*NAMES, "<|im_end|>", "<|endoftext|>", "<|other|>"])
    values = gguf(named, "llama-bpe")
    values["tokenizer.ggml.token_type"][403] = 1  # as an ordinary token, which is a common fault
    values["tokenizer.ggml.token_type"][404] = USER_DEFINED
    ours = tokenizer_from_gguf(values)
    assert ours.stop_ids == {401, 402, 403, 404}
    assert ours.encode("a<|im_end|>", allow_special=True)[-1] == 403


def test_an_ordinary_token_may_end_the_writing(llama3, llama2, tmp_path):
    """Named by its id as eos, as transformers and llama.cpp take it."""
    for tokenizer, kind in ((llama3, "llama-bpe"), (llama2, None)):
        folder = tmp_path / str(kind)
        folder.mkdir()
        save_tokenizer(tokenizer, folder)
        (folder / "generation_config.json").write_text('{"eos_token_id": [65, 999999, true]}')
        ours = load_tokenizer(folder)
        assert ours.stop_ids == tokenizer.stop_ids | {65}
        assert 65 not in ours.special_tokens.values()
    values = gguf(llama3, "llama-bpe")
    values["tokenizer.ggml.eos_token_id"] = 65
    assert 65 in tokenizer_from_gguf(values).stop_ids


def test_gguf_without_types_of_tokens(llama3, llama2):
    values = gguf(llama3, "llama-bpe")
    del values["tokenizer.ggml.token_type"]
    same(tokenizer_from_gguf(values), llama3)
    listed = zip(*pieces().pieces, strict=True)
    values = {"model": "llama"} | dict(zip(("tokens", "scores"), map(list, listed), strict=False))
    same(tokenizer_from_gguf({f"tokenizer.ggml.{k}": v for k, v in values.items()}), llama2)


@pytest.mark.parametrize("pre", ["smollm", "starcoder", "gpt-2", "phi-2"])
def test_gguf_with_other_pieces(llama3, pre):
    library = pytest.importorskip("tokenizers")
    steps = [library.pre_tokenizers.Digits(True)] if pre in ("smollm", "starcoder") else []
    steps.append(library.pre_tokenizers.ByteLevel(add_prefix_space=False))
    theirs = library.Tokenizer.from_str(json.dumps(tokenizer_json(llama3)))
    theirs.pre_tokenizer = library.pre_tokenizers.Sequence(steps)
    ours = tokenizer_from_gguf(gguf(llama3, pre))
    assert (ours.bos_id, ours.eos_id) == (None, 401)
    for text in VARIED:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_gguf_of_llama2(llama2):
    values = {
        "model": "llama",
        "tokens": [piece.text for piece in pieces().pieces],
        "scores": [piece.score for piece in pieces().pieces],
        "token_type": [piece.kind for piece in pieces().pieces],
    }
    metadata = {f"tokenizer.ggml.{key}": value for key, value in values.items()}
    same(tokenizer_from_gguf(metadata), llama2)
    without = tokenizer_from_gguf(metadata | {"tokenizer.ggml.add_space_prefix": False})
    assert without.decode(without.encode("a a")) == "a a"
    tokens = [token.replace("</s>", "<other>") for token in values["tokens"]]
    other = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.eos_token_id": 70}
    assert tokenizer_from_gguf(metadata | other).stop_ids == {70}  # not 2, the end in Llama 2
    padded = metadata | {
        "tokenizer.ggml.tokens": [*values["tokens"], "[PAD262]"],
        "tokenizer.ggml.scores": [*values["scores"], -1000.0],
        "tokenizer.ggml.token_type": [*values["token_type"], UNUSED],
    }
    assert tokenizer_from_gguf(padded).special_tokens["[PAD262]"] == 262


@pytest.mark.parametrize("no_id", [2**32 - 1, 32_000, -1])
def test_gguf_with_a_role_for_no_token(llama3, llama2, no_id):
    """The usual one, or none: llama.cpp warns and does the same."""
    roles = {f"{role}_token_id": no_id for role in ("bos", "eos", "eot", "eom", "padding")}
    ours = tokenizer_from_gguf(gguf(llama3, "llama-bpe", **roles))
    assert (ours.bos_id, ours.eos_id, ours.stop_ids) == (None, None, {401, 402})
    metadata = {f"tokenizer.ggml.{key}": value for key, value in gguf_llama2(**roles).items()}
    same(tokenizer_from_gguf(metadata), llama2)


def gguf_llama2(**changes) -> dict:
    texts, scores, kinds = (list(column) for column in zip(*pieces().pieces, strict=True))
    values = {"model": "llama", "tokens": texts, "scores": scores, "token_type": kinds}
    return values | changes


def test_gguf_without_scores(llama2):
    """They are all 0 then, as in llama.cpp: the leftmost pair is joined first."""
    values = gguf_llama2()
    del values["scores"]
    ours = tokenizer_from_gguf({f"tokenizer.ggml.{key}": v for key, v in values.items()})
    assert {piece.score for piece in ours.piece_list.pieces} == {0.0}
    assert ours.encode("a aa") == [261, 261, 260]


def test_no_tokenizer_in_the_file():
    assert tokenizer_from_gguf({"general.architecture": "llama"}) is None
    for kind in ("none", "no_vocab"):
        assert tokenizer_from_gguf({"tokenizer.ggml.model": kind}) is None


TYPES = [1] * 400 + [CONTROL] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "bert"}, "tokenizer.ggml.model of 'llama' or 'gpt2', got 'bert'"),
        ({"model": 7}, "tokenizer.ggml.model of 'llama' or 'gpt2', got 7"),
        ({"pre": "default"}, "tokenizer.ggml.pre among .*, got 'default'"),
        ({"pre": None}, "tokenizer.ggml.pre among .*, got None"),
        ({"pre": ["gpt-2"]}, "tokenizer.ggml.pre among"),
        ({"tokens": None}, "expected tokenizer.ggml.tokens as a list, got NoneType"),
        ({"tokens": [1, 2]}, "expected tokenizer.ggml.tokens as a list"),
        ({"tokens": ["a", "b"]}, "expected 2 entries in tokenizer.ggml.token_type, got 403"),
        ({"tokens": ["a"] * 403}, "got one of them twice"),
        ({"token_type": TYPES[1:]}, "expected 403 entries in tokenizer.ggml.token_type, got 402"),
        ({"token_type": [USER_DEFINED, *TYPES[1:]]}, "user-defined tokens to be names"),
        ({"merges": ["a b c"]}, "expected merges of two tokens"),
        ({"merges": ["a 猫"]}, "is not one of two tokens"),
        ({"model": "llama", "scores": None}, "expected tokenizer.ggml.scores as a list"),
        ({"eos_token_id": "2"}, "expected eos_token_id as a number, got '2'"),
        ({"model": "llama", "scores": [0.0] * 403}, "one piece of type unknown"),
        ({"model": "llama", "scores": [10**400] * 403}, "has the score|type unknown|too large"),
    ],
)
def test_gguf_that_is_refused(llama3, changes, message):
    with pytest.raises(ValueError, match=message) as refusal:
        tokenizer_from_gguf(gguf(llama3, **{"pre": "llama-bpe"} | changes))
    assert "\n" not in str(refusal.value)


ANY = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=3)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_metadata_is_read_or_refused(data):
    small = BPETokenizer({bytes([b]): b for b in range(256)} | {b"ab": 256}, NAMES)
    values = gguf(small, "gpt-2", scores=[0.0] * 260)
    if data.draw(st.booleans()):
        values["tokenizer.ggml.model"] = "llama"
        listed = zip(*pieces().pieces, strict=True)
        for key, entries in zip(("tokens", "scores", "token_type"), listed, strict=True):
            values[f"tokenizer.ggml.{key}"] = list(entries)
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(values)))
        if isinstance(values[key], list) and values[key] and data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(values[key]) - 1))
            values[key] = [*values[key]]
            values[key][at] = data.draw(ANY | st.sampled_from(values[key]))
        else:
            values[key] = data.draw(ANY | st.lists(ANY, max_size=3))
    try:
        ours = tokenizer_from_gguf(values)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert ours is None or isinstance(ours.decode(range(ours.vocab_size)), str)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "llama3_tokenizer.model").is_file(), reason="no ../shared/data")
def test_gguf_of_the_real_llama3():
    ours = load_tokenizer(DATA / "llama3_tokenizer.model")
    assert len(merges_of(ours.ranks)) == 280_147
    same(tokenizer_from_gguf(gguf(ours, "llama-bpe")), ours)
