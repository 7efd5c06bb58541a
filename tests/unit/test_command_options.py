"""Every option of every command: what it takes, what it refuses, what must be given."""

import argparse
from pathlib import Path

import pytest

from weights_tools.__main__ import make_parser
from weights_tools.commands import dpo, finetune, generate, grpo
from weights_tools.training.corpus import SEPARATOR
from weights_tools.training.options import recipe_of
from weights_tools.training.trainer import Hyperparameters

NUMBERS = ("N", "S", "K", "P", "T", "R")  # how the help calls a number
PARSERS = next(a.choices for a in make_parser()._actions if isinstance(a.choices, dict))
PARSERS = dict(PARSERS, generate=argparse.ArgumentParser())  # its door is python -m llama_np
generate.add_arguments(PARSERS["generate"])
OPTIONS = [
    (name, action)
    for name, parser in PARSERS.items()
    for action in parser._actions
    if action.option_strings and not isinstance(action, argparse._HelpAction)
]


def minimal(name, but=None) -> list[str]:
    """As few arguments as a command takes; without the option ``but``."""
    words = []
    for action in PARSERS[name]._actions:
        if not action.option_strings and action.nargs != "?":
            words.append("a-model")
        elif action.required and action.option_strings and action is not but:
            words += [action.option_strings[0]] + ([] if action.nargs == 0 else ["something"])
    return words


def name_of(value):
    return value if isinstance(value, str) else value.option_strings[0]


@pytest.mark.parametrize("name, action", OPTIONS, ids=name_of)
def test_an_option_takes_its_kind_and_refuses_others(name, action, capsys):
    parser, option = PARSERS[name], action.option_strings[0]

    def parse(*words):
        return getattr(parser.parse_args([*minimal(name, but=action), *words]), action.dest)

    if action.nargs == 0:  # a switch
        assert parse(option) is True
        assert action.required or parser.parse_args(minimal(name)).__dict__[action.dest] is False
        return
    if action.required:
        with pytest.raises(SystemExit):
            parser.parse_args(minimal(name, but=action))
        assert option in capsys.readouterr().err
    if action.choices:
        assert parse(option, list(action.choices)[-1]) == list(action.choices)[-1]
        with pytest.raises(SystemExit):
            parse(option, "something-else")
        assert "invalid choice" in capsys.readouterr().err
    elif action.metavar in NUMBERS:
        number = parse(option, "3")
        assert number == 3 and type(number) in (int, float)
        if action.default is not None:
            assert type(number) is type(action.default)
        with pytest.raises(SystemExit):
            parse(option, "many")
        told = capsys.readouterr().err
        assert option in told and ("invalid" in told or "expected" in told)
    else:
        value = parse(option, "some/where")
        value = value[0] if isinstance(value, list) else value
        is_path = action.metavar in ("FILE", "DIR")
        assert isinstance(value, Path if is_path else str) and Path(value) == Path("some/where")


def test_what_must_be_said():
    """Where to write, what to learn from, and in how many bits."""
    found = {(name, action.dest) for name, action in OPTIONS if action.required}
    assert found >= {
        ("train", "out"), ("train", "corpus"), ("finetune", "out"), ("dpo", "out"),
        ("grpo", "out"), ("evaluate", "corpus"), ("quantize", "int8"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name, recipe",
    [
        ("train", Hyperparameters()),
        ("finetune", finetune.RECIPE),
        ("dpo", dpo.RECIPE),
        ("grpo", grpo.RECIPE),
    ],
)
def test_the_recipe_where_nothing_is_said(name, recipe):
    assert recipe_of(PARSERS[name].parse_args(minimal(name))) == recipe


def test_several_files_and_another_separator():
    words = ["train", "--out", "o", "--corpus", "a", "b"]
    args = make_parser().parse_args(words)
    assert args.corpus == [Path("a"), Path("b")] and args.separator == SEPARATOR
    assert make_parser().parse_args([*words, "--separator", "***"]).separator == "***"
