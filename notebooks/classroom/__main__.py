"""python -m classroom collect FOLDER: what a class has handed in, in one table."""

import argparse
import sys
from pathlib import Path

from .collect import collect


def main(argv: list[str] | None = None) -> int:
    """0, or 1 where there was nothing to collect."""
    parser = argparse.ArgumentParser(
        prog="python -m classroom",
        description='For teachers. Learners write their progress with hand_in("NAME.json").',
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "collect", help="one table of all files in a folder, as class.csv and class.png"
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="with one .json per learner")
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: FOLDER itself)"
    )
    args = parser.parse_args(argv)
    if not args.folder.is_dir():
        parser.error(f"{args.folder}: no such folder")
    try:
        print("\n".join(collect(args.folder, args.out or args.folder)))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
