"""White space, empty lines and capitals in files that people write."""

import hashlib

import pytest

from tests.folders import command, write_folder, write_shards
from weights_tools.commands.make_stories import keep_good, words
from weights_tools.formats.hugging_face import tensor_files
from weights_tools.load import DOLL_HOUSE, load_model, open_model
from weights_tools.tokenizers import load_tokenizer
from weights_tools.training.corpus import read_corpus, read_documents, read_facts
from weights_tools.training.dialogs import Dialog, read_lines
from weights_tools.training.drills import draw_drills, frequent_words, is_held_out


def test_lines_that_hold_nothing_but_white_space_are_no_facts(tmp_path):
    path = tmp_path / "facts.txt"
    path.write_text("one\n\n  \t\ntwo\twith an answer\n \n")
    assert read_facts(path) == ["one", "two\twith an answer"]


def test_documents_that_hold_nothing_are_none(tmp_path):
    path = tmp_path / "stories.txt"
    path.write_text("  one \n***\n\n \n***\ntwo\n***\n***\n***\n")
    assert read_documents(path, "***") == ["one", "two"]
    (tmp_path / "more.txt").write_text("three\n***\nfour\n")
    corpus = read_corpus([path, tmp_path / "more.txt"], "***", held_out=0.5)
    assert (corpus.train, corpus.held_out) == (["one", "three", "four"], ["two"])


def test_a_dialog_whose_answer_is_white_space_is_refused_with_its_line(tmp_path):
    path = tmp_path / "dialogs.jsonl"
    good = '{"question": "a", "answer": "b"}\n'
    path.write_text(good + "\n" + good)
    assert list(read_lines(path, Dialog)) == [Dialog("a", "b")] * 2
    path.write_text(good + '\n{"question": "a", "answer": " "}\n')
    with pytest.raises(ValueError, match="line 3: expected"):
        list(read_lines(path, Dialog))


def test_checksums_with_white_space_around(tmp_path, house):
    write_folder(tmp_path, *house)
    sums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in tmp_path.iterdir()}
    lines = "".join(f"  {sum_}   *{name}  \r\n" for name, sum_ in sums.items())
    (tmp_path / "SHA256SUMS").write_text(f"# made by hand\n \n{lines}")
    _, out, _ = command("verify", tmp_path)
    assert "SHA256SUMS" not in out
    (tmp_path / "SHA256SUMS").write_text(
        lines.replace("  ", " ", 1).replace(sums["config.json"], "00")
    )
    _, out, _ = command("verify", tmp_path)
    assert f"{tmp_path / 'config.json'}: differs from its checksum" in out


def test_capitals_make_no_other_word():
    assert words("It's Tom. TOM sat!") == ["it's", "tom", "tom", "sat"]
    assert is_held_out("Clobnabesh") == is_held_out("clobnabesh")
    opening = "Once upon a time, there was a big cat named Tom."
    stories = [f"{opening} One day Tom saw the {sun}." for sun in ("sun", "Sun")]
    assert keep_good(stories, often=2) == stories


def test_as_many_frequent_words_as_asked():
    texts = ["the cat saw the dog", "the dog ran", "a Cat sat"]
    assert frequent_words(texts, 3) == ["the", "dog", "cat"]
    assert frequent_words(texts, 1) == ["the"] and len(frequent_words(texts, 99)) == 6
    assert frequent_words(["A I"], 5) == []  # then lists are made of invented words
    assert all(draw_drills(2, [], 0))


def test_kinds_of_drills_take_turns():
    """Four lists to three new names and one odd word, in eight."""
    drills = draw_drills(16, ["xx"], seed=0)
    lists = [i for i, drill in enumerate(drills) if set(drill) <= set("x ,")]
    assert len(drills) == 16 and lists == [i for i in range(16) if i % 2 == 0]


# --- paths ---


def test_shards_of_a_folder_that_is_reached_in_another_way(tmp_path, house, monkeypatch):
    """A relative path, and a link to the folder itself: its shards are in it all the same."""
    (tmp_path / "real").mkdir()
    write_shards(tmp_path / "real", *house)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    for path in ("real", "link", "./real/../real"):
        assert open_model(path).config == house[0]
    assert [file.name for file in tensor_files(tmp_path / "link")] == [
        "a.safetensors", "b.safetensors"
    ]  # fmt: skip


def test_a_tokenizer_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(DOLL_HOUSE.parent))
    monkeypatch.setenv("USERPROFILE", str(DOLL_HOUSE.parent))
    assert load_tokenizer("~/doll_house").vocab_size == load_model("~/doll_house").config.vocab_size
