"""python -m classroom start DIR: pages to work in; collect FOLDER: what a class has handed in;
needs: how much memory and time the pages take."""

import argparse
import sys
from pathlib import Path

from weights_tools.terminal import plain_streams

from .collect import collect
from .needs import needs
from .start import start


def main(argv: list[str] | None = None) -> int:
    """0, or 1 where nothing could be copied or collected."""
    parser = argparse.ArgumentParser(
        prog="python -m classroom",
        description="For learners: start. For teachers: collect, of files that learners have "
        'written with hand_in("NAME.json"); needs, for a class on one server.',
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "start", help="copy the pages into a folder of your own, or bring them up to date"
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="a new folder, or one made so")
    command.add_argument(
        "--again", nargs="+", default=[], metavar="PAGE",
        help="pages to begin anew, such as 03; what you wrote there is kept under another name",
    )  # fmt: skip
    command = commands.add_parser(
        "collect", help="a class in one place, from all files in a folder: class.html and tables"
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="with one .json per learner, as Moodle or Canvas give it, or folders of such",
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: FOLDER itself)"
    )
    command = commands.add_parser(
        "needs", help="run pages, and say how much memory and processor time they take"
    )
    command.add_argument("pages", nargs="*", metavar="PAGE", help="such as 03 (default: lessons)")
    args = parser.parse_args(argv)
    with plain_streams():
        return run(parser, args)


def run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    """One of the commands; an error is one line."""
    if args.command == "collect" and not args.folder.is_dir():
        parser.error(f"{args.folder}: no such folder")
    try:
        if args.command == "start":
            print("\n".join(start(args.folder, args.again)))
        elif args.command == "needs":
            print("\n".join(needs(args.pages, lambda line: print(line, file=sys.stderr))))
        else:
            print("\n".join(collect(args.folder, args.out or args.folder)))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
