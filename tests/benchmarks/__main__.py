"""python -m tests.benchmarks [--quick], or make-checkpoint | decode: see --help."""

import argparse
import sys
from pathlib import Path

from tests.benchmarks.checkpoint import CODES, make_checkpoint
from tests.benchmarks.decode import run_decode
from tests.benchmarks.gguf_checkpoint import QUANTISED
from tests.benchmarks.measure import Options
from tests.benchmarks.run import choose, full_jobs, quick_jobs, run_jobs
from tests.benchmarks.shapes import SHAPES, shape_named
from tests.benchmarks.side_by_side import side_by_side
from tests.benchmarks.table import lines
from weights_tools.memory import MODES
from weights_tools.writing import write_json


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure speed and memory side by side with transformers and with what the "
        "machine can do, in some minutes; or, with a command, one thing at a time.",
    )
    parser.add_argument("--quick", action="store_true", help="small shapes, less than a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there as well")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help=f"only {', '.join(full_jobs())}"
    )
    parser.set_defaults(run=run_comparison)
    commands = parser.add_subparsers(dest="command")

    p = commands.add_parser(
        "make-checkpoint",
        help="write a randomly filled model of a real shape",
        description="Write a Hugging Face folder with the shape of a real model, filled with "
        f"random numbers. Shapes: {', '.join(SHAPES)}.",
    )
    p.add_argument("shape", metavar="SHAPE", help="name of the shape")
    p.add_argument("folder", metavar="DEST", type=Path, help="folder to write; must not exist")
    p.add_argument("--dtype", default="bfloat16", choices=[*CODES, *QUANTISED],
                   help=f"default: %(default)s; {', '.join(QUANTISED)}: a GGUF file")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, metavar="N", help="the same gives the same bytes")
    p.set_defaults(run=run_make_checkpoint)

    p = commands.add_parser(
        "decode",
        help="measure loading, prefill and decoding, beside the machine's own rates",
        description="Load a model in a process of its own, read a prompt, decode tokens one by "
        "one; print time, memory, and the share of what the machine itself can do.",
    )
    p.add_argument("folder", metavar="FOLDER", type=Path, help="model folder")
    p.add_argument("--memory", default="auto", choices=MODES, help="default: %(default)s")
    p.add_argument("--tokens", type=int, default=10, metavar="N", help="tokens timed (default: 10)")
    p.add_argument(
        "--prompt-length", type=int, default=32, metavar="P", help="tokens read first (default: 32)"
    )
    p.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there as well")
    p.set_defaults(run=run_measure)
    return parser


def run_comparison(args: argparse.Namespace) -> int:
    """Without a command: everything side by side; 1 where something could not be measured."""
    jobs = choose(quick_jobs() if args.quick else full_jobs(), args.only)
    found = run_jobs(jobs)
    print("\n".join(side_by_side(found)))
    if args.json:
        write_json(found | {"rows": [row.as_json() for row in found["rows"]]}, args.json)
    return 1 if found["not measured"] else 0


def run_make_checkpoint(args: argparse.Namespace) -> None:
    """``make-checkpoint``: one folder."""
    make_checkpoint(shape_named(args.shape), args.folder, args.dtype, args.seed)


def run_measure(args: argparse.Namespace) -> None:
    """``decode``: a table, and the same as JSON where asked."""
    found = run_decode(Options(args.folder, args.memory, args.tokens, args.prompt_length))
    print("\n".join(lines(found)))
    if args.json:
        write_json(found, args.json)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors are one line."""
    args = make_parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; nothing half-written stays", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
