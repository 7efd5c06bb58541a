"""python -m weights_tools COMMAND: see --help of each."""

import argparse
import sys

from .commands import (
    convert,
    download,
    dpo,
    evaluate,
    examine,
    exit_status,
    finetune,
    generate,
    grpo,
    inspect,
    make_preferences,
    make_stories,
    quantize,
    train,
    verify,
)

COMMANDS = {
    "generate": generate,
    "inspect": inspect,
    "verify": verify,
    "convert": convert,
    "quantize": quantize,
    "download": download,
    "train": train,
    "finetune": finetune,
    "dpo": dpo,
    "grpo": grpo,
    "make-stories": make_stories,
    "make-preferences": make_preferences,
    "evaluate": evaluate,
    "examine": examine,
}


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m weights_tools",
        description="Bring Llamas in, look at them, make them smaller, train small ones.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        p = commands.add_parser(name, help=module.HELP, description=module.DESCRIPTION)
        module.add_arguments(p)
        p.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command."""
    args = make_parser().parse_args(argv)
    return exit_status(args.run, args)


if __name__ == "__main__":
    sys.exit(main())
