"""Nothing that a stranger has written is a command to the terminal, whichever way it comes out."""

import io
import json
import shutil
import sys

import numpy as np
import pytest

from llama_np.tokenizer import BPETokenizer
from llama_np.weights import Weights
from tests.folders import command, write_config
from tests.fuzz.seeds import tokenizer_json
from tests.tiny import random_weights, tiny_config
from weights_tools.commands.generate import main as generate
from weights_tools.load import load_model
from weights_tools.progress import Progress
from weights_tools.save import save_model
from weights_tools.terminal import Terminal, plain_streams, printable

TITLE, CLEAR, CLIP, TURN = "\x1b]0;title\x07", "\x1b[2J", "\x9d52;c;eA==\x9c", "\u202e"
EVIL = f"{TITLE}{CLEAR}{CLIP}{TURN}\r\b\x7f\0\u2066\u2028\ud800"


def is_plain(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "").isprintable()


def test_what_is_kept_and_what_is_replaced():
    kept = "a\tb\nné猫🙂 \u200dשלום"
    assert printable(kept) == kept
    for character in map(chr, [*range(32), *range(127, 160), *range(0x2028, 0x202F)]):
        assert printable(character) == (
            character if character in "\t\n" else ascii(character)[1:-1]
        )
    assert is_plain(printable(EVIL)) and printable("\x1b[2J") == r"\x1b[2J"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A model that writes nothing but commands; so do its special tokens, template and config."""
    folder = tmp_path_factory.mktemp("hostile")
    evil = EVIL.replace("\ud800", "").encode()
    ranks = {bytes([b]): b for b in range(256)} | {evil: 256}
    names = [f"<|{EVIL[:-1]}{i}|>" for i in range(3)]
    tokenizer = BPETokenizer(ranks, names, bos=names[0], eos=names[1])
    config = tiny_config(vocab_size=260, rope_scaling=None, context_length=32)
    named = {
        name: np.full_like(array, not name.endswith((".wo", ".w_down")))
        for name, array in random_weights(config, np.float32).named()
    }
    named["output"] *= np.arange(260) == 256  # so this one is chosen
    save_model(folder, config, Weights.from_named(named), tokenizer, bf16=False)
    template = f"{{{{ raise_exception({EVIL[:-1]!r}) }}}}"
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def broken(hostile, tmp_path, name, text):
    folder = tmp_path / "broken"
    shutil.copytree(hostile, folder)
    (folder / name).write_bytes(text.encode(errors="surrogatepass"))
    return folder


@pytest.mark.parametrize("verb", [["inspect"], ["inspect", "--all"], ["verify"]])
def test_looking_at_a_hostile_model(hostile, verb):
    _, out, told = command(*verb, hostile)
    assert is_plain(out) and is_plain(told) and r"\x1b[2J" in out + told


def test_converting_a_hostile_model(hostile, tmp_path):
    for verb in (["convert"], ["quantize", "--int8"]):
        status, out, told = command(*verb, hostile, tmp_path / verb[0])
        assert status == 0 and is_plain(out) and is_plain(told)


@pytest.mark.parametrize(
    "options", [[], ["--logprobs"], ["--chat"], ["--special"], ["--system", "x", "--chat"]]
)
def test_generating_with_a_hostile_model(hostile, options, capsys):
    generate(["Once", "--model", str(hostile), "--max-new-tokens", "3", "--seed", "1", *options])
    out, told = capsys.readouterr()
    assert is_plain(out) and is_plain(told) and (r"\x1b" in out + told)


@pytest.mark.parametrize(
    "name, text",
    [("config.json", json.dumps({"model_type": EVIL})),
     ("config.json", EVIL),
     ("tokenizer.json", json.dumps({"model": {"type": EVIL}})),
     ("tokenizer_config.json", json.dumps({"bos_token": EVIL})),
     ("SHA256SUMS", EVIL),
     ("tokenizer.model", EVIL)],
)  # fmt: skip
def test_errors_about_hostile_files(hostile, tmp_path, name, text):
    folder = broken(hostile, tmp_path, name, text)
    for verb in ("inspect", "verify"):
        _, out, told = command(verb, folder)
        assert is_plain(out) and is_plain(told) and told.count("\n") <= 1


def test_a_hostile_path(tmp_path):
    folder = tmp_path / EVIL[:-2].replace("\0", "")
    folder.mkdir()
    write_config(folder, tiny_config())
    status, _, told = command("inspect", folder)
    assert status == 1 and is_plain(told) and told.count("\n") == 1


def test_a_hostile_text_to_train_on(tmp_path):
    (tmp_path / "stories.txt").write_text(EVIL[:-1], encoding="utf-8")
    for verb in ("train", "evaluate"):
        try:
            _, out, told = command(verb, "--corpus", tmp_path / "stories.txt", "--out", tmp_path / EVIL[:5])  # fmt: skip  # noqa: E501
        except SystemExit:
            continue
        assert is_plain(out) and is_plain(told)


def test_notes_of_load_model(hostile, tmp_path, capsys):
    """In a notebook or a script there is no command around it."""
    load_model(broken(hostile, tmp_path, "tokenizer.json", json.dumps({EVIL: 1})))
    told = capsys.readouterr().err
    assert told.startswith("note: ") and is_plain(told)


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_progress_says_it_plainly():
    screen = Screen()
    progress = Progress(2, screen)
    progress.show(1, EVIL, force=True)
    progress.say(EVIL)
    assert is_plain(screen.getvalue().replace("\r\x1b[K", ""))


def test_streams_are_given_back_and_may_be_closed(monkeypatch):
    before = sys.stdout, sys.stderr
    with plain_streams(), plain_streams():
        assert isinstance(sys.stdout, Terminal) and not isinstance(sys.stdout.stream, Terminal)
    assert (sys.stdout, sys.stderr) == before
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with plain_streams():
        print(EVIL, flush=True)
        assert not sys.stdout.isatty()
    assert sys.stdout is None


def test_names_in_a_vocabulary(tmp_path):
    tokenizer_json(tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    values["added_tokens"][0]["lstrip"] = True
    values["added_tokens"][0]["content"] = EVIL
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    from weights_tools.tokenizers import load_tokenizer

    with pytest.raises(ValueError) as caught:
        load_tokenizer(tmp_path)
    assert str(caught.value).isprintable()
