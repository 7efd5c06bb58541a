"""python -m llama_np, as a person meets it: a process of its own."""

import io
import os
import signal
import subprocess
import sys

import pytest

from llama_np.tokenizer import BPETokenizer, encode_dialog
from tests.checks import interruptible
from weights_tools.__main__ import main as weights_tools_main
from weights_tools.commands import exit_status
from weights_tools.commands.generate import ask, main
from weights_tools.load import DOLL_HOUSE, load_model
from weights_tools.tokenizers.chat_template import ChatTemplate

COMMAND = [sys.executable, "-m", "llama_np"]


def run(*options):
    environment = {k: v for k, v in os.environ.items() if k != "LLAMA_MODEL"}
    return subprocess.run(
        [*COMMAND, *options], capture_output=True, encoding="utf-8", env=environment, timeout=60
    )


def test_it_goes_on_from_the_prompt():
    done = run("Once upon a time", "--temperature", "0", "--max-new-tokens", "12")
    assert done.returncode == 0
    assert done.stdout.startswith("Once upon a time") and len(done.stdout) > 30
    assert "12 tokens, " in done.stderr and "tokens/s, doll_house" in done.stderr


def test_the_same_seed_gives_the_same_text():
    texts = {run("Once", "--seed", s, "--max-new-tokens", "20").stdout for s in ("1", "1", "2")}
    assert len(texts) == 2


def test_logprobs_list_prompt_and_continuation(capsys):
    assert main(["Once upon", "--logprobs", "--max-new-tokens", "3", "--temperature", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[1] == "<|begin_of_text|>"
    assert lines[1].split()[2] == "Once" and float(lines[1].split()[1]) < 0
    assert len(lines) == 1 + 2 + 3


def test_chat_answers_without_echoing(capsys):
    assert main(["What is your name?", "--chat", "--temperature", "0"]) == 0
    told = capsys.readouterr().out
    assert "only tell stories" in told and "What" not in told


def test_a_talk_goes_on_until_the_input_ends():
    environment = {k: v for k, v in os.environ.items() if k != "LLAMA_MODEL"}
    done = subprocess.run(
        [*COMMAND, "--chat", "--temperature", "0", "--max-new-tokens", "20"],
        input="Write a story about a cat named Tom.\nWhat is six times seven?\n",
        capture_output=True, encoding="utf-8", env=environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first.startswith("Once upon a time, there was a") and "Tom" in first
    assert "doll_house_chat" in done.stderr and "tokens, " in done.stderr


def test_a_question_that_is_too_long_does_not_end_the_talk():
    done = subprocess.run(
        [*COMMAND, "--chat", "--max-new-tokens", "5"],
        input="word " * 3000 + "\nWhy?\n", capture_output=True, encoding="utf-8", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
    assert "shorten the prompt" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "program, rest",
    [("llama_np", ["Once", "--model"]), ("weights_tools", ["inspect"])],
)
def test_the_status_says_that_something_was_wrong(program, rest):
    done = subprocess.run(
        [sys.executable, "-m", program, *rest, "no/such"], capture_output=True, encoding="utf-8"
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such file or folder" in done.stderr and done.stderr.count("\n") == 1


def test_white_space_around_a_question_is_no_part_of_it(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("  Why? \n \t\nNever read\n"))
    assert [ask(), ask()] == ["Why?", ""]


@pytest.mark.parametrize(
    "options, words",
    [
        ([], "expected a prompt, for example"),
        (["", "--chat"], "prompt is empty; write one: a question"),
        (["Once", "--temperature", "-1"], "temperature must be 0"),
        (["Once", "--temperature", "nan"], "temperature must be 0"),
        (["Once", "--top-p", "0"], "top_p must be above 0"),
        (["Once", "--top-k", "0"], "top_k must be at least 1"),
        (["Once", "--min-p", "2"], "min_p must be between 0 and 1"),
        (["Once", "--repetition-penalty", "0"], "repetition_penalty must be above 0"),
        (["Once", "--max-new-tokens", "-1"], "max_new_tokens must be 0 or more"),
        (["Once", "--model", "no/such/folder"], "no such file or folder"),
        (["word " * 3000], "shorten the prompt"),
    ],
)
def test_bad_input_is_one_line(options, words, capsys):
    assert main(options) == 1
    told = capsys.readouterr().err
    assert words in told and told.startswith("error: ") and told.count("\n") == 1


def test_a_text_can_begin_with_nothing(monkeypatch, capsys):
    options = ["", "--temperature", "0", "--max-new-tokens", "8"]
    assert main(options) == 0 and len(capsys.readouterr().out) > 10
    assert main([*options, "--logprobs"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 8
    model = load_model(DOLL_HOUSE)
    ranks, names = model.tokenizer.ranks, model.tokenizer.special_tokens
    without = BPETokenizer(ranks, names, ids=model.tokenizer.ids, bos=None)
    monkeypatch.setattr(
        "weights_tools.commands.generate.load_model", lambda *_: model._replace(tokenizer=without)
    )
    assert main(options) == 1
    assert "this model has no token that begins a text" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error():
    process = subprocess.Popen(
        [*COMMAND, "Once upon a time", "--seed", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(1)
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 0 and "Traceback" not in told


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interruption_ends_cleanly():
    process = subprocess.Popen(
        [*COMMAND, "Once upon a time", "--seed", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=interruptible,
    )
    process.stdout.read(len("Once upon a time") + 1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"[stopped: " in told and b"Traceback" not in told


def test_it_says_when_there_is_no_tokenizer(tmp_path, capsys):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((DOLL_HOUSE / name).read_bytes())
    assert main(["Once", "--model", str(tmp_path)]) == 1
    assert "found no tokenizer, or none that can be read, so" in capsys.readouterr().err


@pytest.fixture
def with_tokenizer(monkeypatch):
    """Let a model be loaded with this tokenizer."""

    def take(tokenizer, name="doll-house"):
        model = load_model(name)._replace(tokenizer=tokenizer)
        monkeypatch.setattr("weights_tools.commands.generate.load_model", lambda *_: model)

    return take


def test_a_chat_needs_a_template_or_the_tokens_of_a_chat(with_tokenizer, capsys):
    ranks = load_model(DOLL_HOUSE).tokenizer.ranks
    with_tokenizer(BPETokenizer(ranks, ["<|begin_of_text|>"]))
    assert main(["Why?", "--chat"]) == 1
    told = capsys.readouterr().err
    assert "this model has no chat template, and not the special tokens of Llama 3's chats" in told


def test_without_a_template_llama_3s_tokens_are_enough(with_tokenizer, capsys):
    options = ["Why?", "--chat", "--temperature", "0", "--model", "doll-house"]
    assert main(options) == 0
    told = capsys.readouterr().out
    tokenizer = load_model(DOLL_HOUSE).tokenizer
    assert tokenizer.chat_template is not None
    tokenizer.chat_template = None
    with_tokenizer(tokenizer)
    assert main(options) == 0
    assert capsys.readouterr().out == told


def ids_given(options, capsys) -> list[int]:
    """The ids of the prompt that a command line leads to."""
    assert main([*options, "--logprobs", "--max-new-tokens", "0"]) == 0
    return [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]


def test_the_system_text_comes_first(with_tokenizer, capsys):
    tokenizer = load_model(DOLL_HOUSE).tokenizer
    with_tokenizer(tokenizer)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    ids = ids_given(["Why?", "--chat", "--system", "Be brief."], capsys)
    assert ids == encode_dialog(tokenizer, messages)
    assert main(["Why?", "--system", "Be brief."]) == 1
    assert "--system is for talks; put --chat beside it" in capsys.readouterr().err


def test_a_template_that_refuses_is_one_line(with_tokenizer, capsys):
    tokenizer = load_model(DOLL_HOUSE).tokenizer
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    tokenizer.chat_template = ChatTemplate(source, {})
    with_tokenizer(tokenizer)
    assert main(["Why?", "--chat", "--system", "Be brief."]) == 1
    told = capsys.readouterr().err
    assert told == "error: the model's chat template cannot be rendered: no system\n"
    tokenizer.chat_template = ChatTemplate("{{ nothing() }}", {})
    assert main(["--chat"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {DOLL_HOUSE}: the model's chat template cannot be rendered")


@pytest.mark.parametrize("refused", ["messages[-1].role != 'user'", "messages[0].role != 'system'"])
def test_a_template_may_refuse_other_dialogs_than_this(with_tokenizer, capsys, refused):
    """Such as the one that would tell what ends a turn."""
    tokenizer = load_model("doll-house-chat").tokenizer
    with_tokenizer(tokenizer, "doll-house-chat")
    options = ["Why?", "--chat", "--system", "Be brief.", "--temperature", "0"]
    assert main(options) == 0
    told = capsys.readouterr().out
    raises = f"{{% if {refused} %}}{{{{ raise_exception('not so') }}}}{{% endif %}}"
    source, names = tokenizer.chat_template
    tokenizer.chat_template = ChatTemplate(raises + source, names)
    tokenizer.stop_ids = frozenset()
    assert main(options) == 0
    assert capsys.readouterr().out == told
    if "system" in refused:
        assert main([options[0], "--chat"]) == 1
        told = capsys.readouterr().err
        assert told == "error: the model's chat template cannot be rendered: not so\n"


def test_the_turn_ends_where_the_template_ends_it(with_tokenizer, capsys):
    """Even if the model's own files do not stop there."""
    options = ["Why?", "--chat", "--temperature", "0", "--model", "doll-house-chat"]
    assert main(options) == 0
    told = capsys.readouterr().out
    tokenizer = load_model("doll-house-chat").tokenizer
    tokenizer.stop_ids = frozenset()
    with_tokenizer(tokenizer, "doll-house-chat")
    assert main(options) == 0
    assert capsys.readouterr().out == told


def test_special_tokens_in_a_prompt(with_tokenizer, capsys):
    tokenizer = load_model(DOLL_HOUSE).tokenizer
    with_tokenizer(tokenizer)
    text = "Hi<|eot_id|>"
    assert ids_given([text], capsys) == tokenizer.encode(text, bos=True)
    special = tokenizer.encode(text, bos=True, allow_special=True)
    assert ids_given([text, "--special"], capsys) == special
    assert special[-1] == tokenizer.special_tokens["<|eot_id|>"]
    assert ids_given([f"<|begin_of_text|>{text}", "--special"], capsys) == special  # one begin


def test_an_ordinary_token_may_end_the_text(with_tokenizer, capsys):
    options = ["Once upon a time", "--temperature", "0", "--max-new-tokens", "30"]
    assert main(options) == 0
    told = capsys.readouterr().out
    tokenizer = load_model(DOLL_HOUSE).tokenizer
    (stop,) = tokenizer.encode(".")
    assert 0 < told.index(".") < len(told) - 2
    tokenizer.stop_ids = frozenset({stop})
    with_tokenizer(tokenizer)
    assert main(options) == 0
    assert capsys.readouterr().out == f"{told[: told.index('.')]}\n"


def test_the_command_of_weights_tools_is_the_same(capsys):
    options = ["Once upon", "--max-new-tokens", "3", "--temperature", "0"]
    assert main(options) == 0
    told = capsys.readouterr().out
    assert weights_tools_main(["generate", *options]) == 0
    assert capsys.readouterr().out == told
    for run_main, words in (
        (main, ["--help"]),
        (weights_tools_main, ["generate", "--help"]),
    ):
        with pytest.raises(SystemExit):
            run_main(words)
    told = capsys.readouterr().out
    assert "usage: python -m llama_np [" in told
    assert "usage: python -m weights_tools generate [" in told


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_signals_end_a_command_tidily_and_are_left_as_they_were():
    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]

    def run(_):
        within.extend(handlers())
        os.kill(os.getpid(), signal.SIGTERM)

    within, before = [], handlers()
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
        with pytest.raises(SystemExit) as caught:
            exit_status(run, None)
        assert caught.value.code == 128 + signal.SIGTERM
        assert within[0] != before[0] and within[1] == signal.SIG_IGN
        assert handlers() == [before[0], signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGHUP, before[1])


def test_a_seed_is_a_whole_number(capsys):
    for command in (
        main,
        lambda argv: weights_tools_main(["make-stories", "--out", "x", *argv[1:]]),
    ):
        with pytest.raises(SystemExit):
            command(["Once", "--seed", "-1"])
        assert "argument --seed: expected a whole number of 0 or more" in capsys.readouterr().err


def test_a_talk_needs_an_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["--chat"]) == 1
    assert "the standard input is closed" in capsys.readouterr().err
