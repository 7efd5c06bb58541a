"""python -m classroom.microscope: look into a model, on a page that runs it."""

import argparse
import sys
import webbrowser
from pathlib import Path

from weights_tools import load_model
from weights_tools.terminal import plain_streams
from weights_tools.writing import replacing

from .answers import answers
from .notebook import with_sentence
from .offline import as_page
from .server import make_server
from .state import requests_of


def main(argv: list[str] | None = None) -> int:
    """0, or 1 where there is no such model, port or state."""
    parser = argparse.ArgumentParser(
        prog="python -m classroom.microscope",
        description="Open a page that runs a model on your own sentence: all heads at a glance, "
        "one head, one cell of any product; switch parts off, put in what another sentence has, "
        "and see what the model says instead. "
        "It runs on this machine and can be reached from this machine only.",
    )
    parser.add_argument("sentence", nargs="?", metavar="SENTENCE", help="what to begin with")
    parser.add_argument(
        "--state", default="", metavar="TEXT",
        help="what to open: the part of the page's address after the #",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="MODEL",
        help="folder, file or name (default: the variable LLAMA_MODEL, else the model that ships)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FILE",
        help="write one page that works without a server, and end",
    )  # fmt: skip
    parser.add_argument("--port", type=port, default=0, help="default: one that is free")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    args = parser.parse_args(argv)
    with plain_streams():
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Open, answer, serve or write; an error is one line."""
    state = with_sentence(args.state, args.sentence)
    try:
        requests_of(state)
        answer = answers(load_model(args.model))
        if args.out:
            with replacing(args.out) as beside:
                beside.write_text(as_page(answer, state), encoding="utf-8")
            print(f"{args.out}: opens in any browser, without a network")
        else:
            serve(answer, args.port, state, args.no_browser)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def serve(answer, port: int, state: str, no_browser: bool) -> None:
    """Answer until Ctrl-C."""
    with make_server(answer, port) as server:
        address = server.address + (f"#{state}" if state else "")
        print(f"The microscope: {address}\nCtrl-C ends it.", flush=True)
        if not no_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def port(text: str) -> int:
    """A number of a port; 0 for any."""
    if not text.isdecimal() or not int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
