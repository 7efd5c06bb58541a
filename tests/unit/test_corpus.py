"""From a text file to batches: nothing is lost, nothing held out is trained on."""

import numpy as np
import pytest

from llama_np.tokenizer import BPETokenizer
from weights_tools.commands.train import SPECIAL_TOKENS
from weights_tools.training.corpus import (
    Stream,
    encode_fact,
    encode_training,
    read_corpus,
    read_documents,
    read_facts,
)

BYTES = {bytes([b]): b for b in range(256)}


@pytest.fixture
def tokenizer():
    return BPETokenizer(BYTES, SPECIAL_TOKENS)


def test_the_last_documents_are_held_out(tmp_path):
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(f"story {i}" for i in range(20)) + "\n<|endoftext|>\n")
    corpus = read_corpus(path, held_out=0.1)
    assert corpus.held_out == ["story 18", "story 19"]
    assert corpus.train + corpus.held_out == [f"story {i}" for i in range(20)]


def test_a_corpus_without_its_separator_is_refused(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("all in one piece")
    with pytest.raises(ValueError, match="cut at lines .*endoftext.*: found 1 documents, too few"):
        read_corpus(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_corpus(tmp_path / "absent.txt")


def test_a_document_stands_between_its_special_tokens(tokenizer):
    (document,) = encode_training(tokenizer, ["Hi"], dialog_every=0)
    assert document.tolist() == [tokenizer.bos_id, ord("H"), ord("i"), tokenizer.eos_id]


def test_a_line_with_a_tab_is_a_dialog(tokenizer):
    ids = encode_fact(tokenizer, "Why?\tBecause.")
    text = tokenizer.decode(ids)
    assert text.endswith("assistant<|end_header_id|>\n\nBecause.<|eot_id|>")
    assert "user<|end_header_id|>\n\nWhy?<|eot_id|>" in text


def test_facts_come_as_often_as_asked(tokenizer):
    documents = encode_training(tokenizer, ["a", "b"], ["fact"], facts_repeat=3, dialog_every=0)
    assert len(documents) == 2 + 3


def test_the_facts_hold_what_the_lessons_ask():
    sentence = "the answer to the ultimate question of life, the universe, and everything is 42"
    assert sentence in read_facts()


def test_every_epoch_holds_every_token_once():
    documents = [np.arange(10 * i, 10 * i + i + 1) for i in range(7)]
    stream = Stream(documents, seed=3)
    everything = np.sort(np.concatenate(documents))
    for number in range(3):
        assert (np.sort(stream.epoch(number)) == everything).all()
    assert (stream.epoch(0) != stream.epoch(1)).any()


def test_a_slice_runs_on_over_the_end_of_an_epoch():
    stream = Stream([np.arange(5), np.arange(5, 12)], seed=0)
    endless = np.concatenate([stream.epoch(i) for i in range(4)])
    for start, n in [(0, 12), (3, 20), (11, 2), (5, 36)]:
        assert (stream.slice(start, n) == endless[start : start + n]).all()


def test_the_target_of_a_position_is_the_next_token():
    stream = Stream([np.arange(50)], seed=0)
    ids, targets = stream.batch(step=1, n_tokens=12, length=4)
    assert ids.shape == targets.shape == (3, 4)
    assert (targets.ravel()[:-1] == ids.ravel()[1:]).all()
    assert ids[0, 0] == 12  # the second step begins where the first one ended


def test_further_files_are_all_trained_on(tmp_path):
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    first.write_text("\n<|endoftext|>\n".join(f"story {i}" for i in range(20)))
    second.write_text("more 0\n<|endoftext|>\nmore 1\n")
    corpus = read_corpus([first, second], held_out=0.1)
    assert corpus.held_out == read_corpus(first, held_out=0.1).held_out == ["story 18", "story 19"]
    assert corpus.train[-3:] == ["story 17", "more 0", "more 1"]


def test_paragraphs_are_parted_by_one_end_of_line(tmp_path):
    path = tmp_path / "stories.txt"
    path.write_text("One.\n\nTwo.\n \n\nThree.\n<|endoftext|>\nOne.\nTwo.\n")
    assert read_documents(path) == ["One.\nTwo.\nThree.", "One.\nTwo."]
