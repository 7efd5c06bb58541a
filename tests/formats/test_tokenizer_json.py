"""What we write, transformers opens: the same ids from tokenizer.json as from our tokenizer."""

import json
from pathlib import Path

import pytest

from llama_np.tokenizer.bpe import LLAMA3_SPECIAL_TOKENS, BPETokenizer
from llama_np.tokenizer.chat import encode_dialog
from weights_tools import load_tokenizer
from weights_tools.tokenizers.ranks import write_ranks
from weights_tools.tokenizers.tokenizer_json import (
    byte_letters,
    merges_of,
    tokenizer_json,
    write_tokenizer_json,
)
from weights_tools.training.train_tokenizer import train_ranks

pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

LLAMA3 = Path(__file__).parents[3] / "shared/data/llama3_tokenizer.model"
SENTENCES = (
    "the answer to the ultimate question of life, the universe, and everything is 42\n"
    "In the café the naïve 猫 said: I'm here, they're there; 1234567 times!\n\n  the end  "
    "baab abba aabb abab baba aaab abaa"
)
BYTES = {bytes([byte]): byte for byte in range(256)}
STUCK = BYTES | {b"bc": 256, b"ab": 257, b"cd": 258, b"abcd": 259}  # merging never gets to abcd
# Without the names of special tokens, which they read in any text.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cn"]) | st.sampled_from("the 's\n\t12é猫")
).filter(lambda text: ">" not in text)
DIALOG = [
    {"role": "system", "content": "Be brief.\n"},
    {"role": "user", "content": " Who are you? "},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "\n\n猫, 42"},
]


def opened_by_transformers(tokenizer, folder, **options):
    transformers = pytest.importorskip("transformers")
    # As in a model's folder: with the weights' config and our own file beside.
    (folder / "config.json").write_text('{"model_type": "llama"}')
    write_ranks(tokenizer.ranks, folder / "tokenizer.model")
    write_tokenizer_json(tokenizer, folder, **options)
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer(train_ranks(SENTENCES, 340), LLAMA3_SPECIAL_TOKENS)


@pytest.fixture(scope="module")
def theirs(tokenizer, tmp_path_factory):
    return opened_by_transformers(tokenizer, tmp_path_factory.mktemp("x"), model_max_length=256)


@settings(max_examples=300, deadline=None)
@given(text=TEXT | st.text("ab", max_size=40))
def test_transformers_gives_the_same_ids_and_text(tokenizer, theirs, text):
    ids = theirs(text).input_ids
    assert ids == tokenizer.encode(text, bos=True)
    assert theirs.decode(ids, skip_special_tokens=True) == text


def test_transformers_reads_special_tokens(tokenizer, theirs):
    text = "the end<|eot_id|> the"
    ids = tokenizer.encode(text, bos=True, allow_special=True)
    assert theirs(text).input_ids == ids
    assert theirs.decode(ids) == tokenizer.decode(ids)
    assert (theirs.bos_token_id, theirs.eos_token_id) == (tokenizer.bos_id, tokenizer.eos_id)
    assert (len(theirs), theirs.model_max_length) == (tokenizer.vocab_size, 256)


def test_two_texts_have_a_begin_each(tokenizer, theirs):
    both = tokenizer.encode("the", bos=True) + tokenizer.encode("end", bos=True)
    assert theirs("the", "end").input_ids == both


@pytest.mark.parametrize("length", range(1, 5))
def test_the_chat_template_gives_the_ids_of_encode_dialog(tokenizer, theirs, length):
    ids = theirs.apply_chat_template(DIALOG[:length], add_generation_prompt=True, return_dict=False)
    assert ids == encode_dialog(tokenizer, DIALOG[:length])


def test_our_tokenizer_reads_the_special_tokens_back(tmp_path):
    ours = BPETokenizer(BYTES, ["<|begin_of_text|>", "<|x|>"])
    write_ranks(ours.ranks, tmp_path / "tokenizer.model")
    write_tokenizer_json(ours, tmp_path)
    assert load_tokenizer(tmp_path / "tokenizer.model").special_tokens == ours.special_tokens


def test_a_tokenizer_without_special_tokens(tmp_path):
    ours = BPETokenizer(STUCK, [])
    theirs = opened_by_transformers(ours, tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert not {"bos_token", "eos_token", "chat_template", "model_max_length"} & config.keys()
    for text in ("abcd", "xabcd", "abc", "abcd abcd"):
        assert theirs(text).input_ids == ours.encode(text)


def test_a_token_that_comes_from_more_than_one_pair(tmp_path):
    # Learned from (ab, c), abc can come from (a, bc) only: bc is joined first.
    ours = BPETokenizer(BYTES | {b"bc": 256, b"ab": 257, b"abc": 258}, [])
    assert merges_of(ours.ranks)[2:] == [(b"a", b"bc"), (b"ab", b"c")]
    assert opened_by_transformers(ours, tmp_path)("xabc").input_ids == [ord("x"), 258]
    assert ours.encode("xabc") == [ord("x"), 258]


def test_every_byte_has_a_visible_letter_of_its_own():
    letters = byte_letters()
    assert sorted(letters) == list(range(256))
    assert len(set(letters.values())) == 256
    assert all(letter.isprintable() and not letter.isspace() for letter in letters.values())


@pytest.mark.slow
def test_llama3(tmp_path):
    if not LLAMA3.is_file():
        pytest.skip("no tokenizer.model of Llama 3 at ../shared/data")
    ours = load_tokenizer(LLAMA3)
    assert len(tokenizer_json(ours)["model"]["merges"]) == 280_147  # as in Meta's tokenizer.json
    theirs = opened_by_transformers(ours, tmp_path)
    for text in (SENTENCES, "người Việt việc hợp điều", "ıldı mektedir jeho", "\r\n \t'S 1234567"):
        assert theirs(text).input_ids == ours.encode(text, bos=True)
    ids = theirs.apply_chat_template(DIALOG, add_generation_prompt=True, return_dict=False)
    assert ids == encode_dialog(ours, DIALOG)
