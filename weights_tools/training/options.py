"""Options that several training commands share, each with its default in its help."""

import argparse
from pathlib import Path

from ..arguments import seed
from .corpus import SEPARATOR
from .trainer import Hyperparameters

RECIPE_OPTIONS = {
    "steps": "updates of the weights",
    "peak_rate": "highest learning rate",
    "warm_up": "steps up to the highest rate",
    "weight_decay": "pull of the matrices towards zero",
    "dropout": "share of numbers dropped from what a block adds",
    "clip": "longest gradient",
    "ema_decay": "share of the averaged weights that a step keeps",
    "seed": "the same seed gives the same model",
}


def add_option(group, name: str, default, text: str) -> None:
    """One option with its default shown; the default also says what type it is."""
    kind = seed if name == "seed" else type(default) if default is not None else int
    shown = "" if default is None else " (default: %(default)s)"
    group.add_argument(
        f"--{name.replace('_', '-')}", type=kind, default=default, metavar="N", help=text + shown
    )


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which text is meant, the same for training and evaluation."""
    parser.add_argument(
        "--corpus", type=Path, required=True, nargs="+", metavar="FILE",
        help="text files of documents; what is held out comes from the first",
    )  # fmt: skip
    parser.add_argument(
        "--separator", default=SEPARATOR, metavar="TEXT",
        help="the line between two documents (default: %(default)s)",
    )  # fmt: skip
    add_option(parser, "held_out", 0.05, "share at the end that training never sees")


def add_recipe_options(parser: argparse.ArgumentParser, defaults: Hyperparameters) -> None:
    """The options of ``Hyperparameters``."""
    group = parser.add_argument_group("recipe")
    for name, text in RECIPE_OPTIONS.items():
        add_option(group, name, getattr(defaults, name), text)


def recipe_of(args: argparse.Namespace) -> Hyperparameters:
    """The recipe that the options describe."""
    return Hyperparameters(**{name: getattr(args, name) for name in RECIPE_OPTIONS})


def add_model_option(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Which model to start from or to measure."""
    told = default or "the variable LLAMA_MODEL, else the model that ships"
    parser.add_argument(
        "--model", default=default, metavar="MODEL", help=f"folder, file or name (default: {told})"
    )
