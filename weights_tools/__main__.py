"""python -m weights_tools COMMAND: see --help of each."""

import argparse
import os
import signal
import sys

from .commands import convert, download, dpo, finetune, quantize, verify
from .commands import inspect as describe
from .commands import make_preferences as compare
from .commands import make_stories as tell
from .commands import train as training

COMMANDS = {  # a line of help, the description, what adds the arguments, what runs it
    "inspect": (
        "show what is in a model and the memory it needs",
        (describe.DESCRIPTION, describe.add_arguments, describe.run),
    ),
    "verify": (
        "check that a model is whole",
        (verify.DESCRIPTION, verify.add_arguments, verify.run),
    ),
    "convert": (
        "write a model from any source as a Hugging Face folder",
        (convert.DESCRIPTION, convert.add_arguments, convert.run),
    ),
    "quantize": (
        "write a model in 8 bits a number",
        (quantize.DESCRIPTION, quantize.add_arguments, quantize.run),
    ),
    "download": (
        "get a model from the Hugging Face hub",
        (download.DESCRIPTION, download.add_arguments, download.run),
    ),
    "train": (
        "train a tokenizer and a model from a text file",
        (training.TRAIN, training.add_train_arguments, training.run_train),
    ),
    "finetune": (
        "teach a model to answer",
        (finetune.DESCRIPTION, finetune.add_arguments, finetune.run),
    ),
    "dpo": (
        "teach a chat model what is preferred",
        (dpo.DESCRIPTION, dpo.add_arguments, dpo.run),
    ),
    "tell": (
        "let a model tell stories to train on",
        (tell.DESCRIPTION, tell.add_arguments, tell.run),
    ),
    "compare": (
        "pair answers of a chat model by a rule, for dpo",
        (compare.DESCRIPTION, compare.add_arguments, compare.run),
    ),
    "evaluate": (
        "measure held-out bits per byte",
        (training.EVALUATE, training.add_evaluate_arguments, training.run_evaluate),
    ),
}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools",
        description="Bring Llamas in, look at them, make them smaller, train small ones.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (line, (description, add_arguments, run)) in COMMANDS.items():
        p = commands.add_parser(name, help=line, description=description)
        add_arguments(p)
        p.set_defaults(run=run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors are one line."""
    args = make_parser().parse_args(arguments)
    try:
        for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # tidy up, as after an interruption
            signal.signal(getattr(signal, name), lambda number, _: sys.exit(128 + number))
    except ValueError:
        pass  # not the main thread: whoever called us deals with signals
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; start again with the same options", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
