"""White space, empty lines and capitals in files that people write."""

import codecs
import hashlib

import pytest

from tests.folders import command, write_folder, write_shards
from weights_tools.commands.make_stories import keep_good, words
from weights_tools.formats.hugging_face import tensor_files
from weights_tools.load import DOLL_HOUSE, load_model, open_model
from weights_tools.tokenizers import load_tokenizer
from weights_tools.training.corpus import read_corpus, read_documents, read_facts
from weights_tools.training.dialogs import Dialog, read_lines, write_lines
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
    path.write_text(good + "\n \t\n" + good)
    assert list(read_lines(path, Dialog)) == [Dialog("a", "b")] * 2
    path.write_text(good + "\n" + good)
    assert list(read_lines(path, Dialog)) == [Dialog("a", "b")] * 2
    path.write_text(good + '\n{"question": "a", "answer": " "}\n')
    with pytest.raises(ValueError, match="line 3: expected"):
        list(read_lines(path, Dialog))


SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # where str.splitlines cuts, and JSON does not


def test_what_we_write_can_be_read_back_whatever_it_holds(tmp_path):
    dialogs = [Dialog(f"a{mark}b", f"{mark}c") for mark in SEPARATORS] + [Dialog("é猫", "\r\n\\")]
    write_lines(tmp_path / "dialogs.jsonl", dialogs)
    assert list(read_lines(tmp_path / "dialogs.jsonl", Dialog)) == dialogs


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_marks_and_ends_of_line_of_other_systems(tmp_path, end):
    """A byte-order mark is no part of the first document, line or name."""
    (tmp_path / "dialogs.jsonl").write_bytes(
        codecs.BOM_UTF8 + end.join([b'{"question": "a", "answer": "b"}'] * 2) + end
    )
    assert list(read_lines(tmp_path / "dialogs.jsonl", Dialog)) == [Dialog("a", "b")] * 2
    stories = end.join([b"one", b"***", b"two\xe2\x80\xa8still", b""])
    (tmp_path / "stories.txt").write_bytes(codecs.BOM_UTF8 + stories)
    assert read_documents(tmp_path / "stories.txt", "***") == ["one", "two\u2028still"]
    (tmp_path / "facts.txt").write_bytes(
        codecs.BOM_UTF8 + b"a fact" + end + "one\u2028fact".encode()
    )
    assert read_facts(tmp_path / "facts.txt") == ["a fact", "one\u2028fact"]


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, b""])
def test_a_file_in_another_encoding_is_named_with_its_line(tmp_path, mark):
    path = tmp_path / "any"
    text = '{"question": "a", "answer": "b"}\n{"question": "é", "answer": "b"}\n'
    readers = (lambda p: list(read_lines(p, Dialog)), read_documents, read_facts)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        path.write_bytes(text.encode(encoding))
        for read in readers:
            with pytest.raises(ValueError, match="any: is in UTF-16 or UTF-32; expected UTF-8"):
                read(path)
    path.write_bytes(mark + text.encode("latin-1"))
    for read in readers:
        with pytest.raises(
            ValueError, match="any, line 2: the byte 0xe9 is no UTF-8 .Latin-1..; save"
        ):
            read(path)


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
