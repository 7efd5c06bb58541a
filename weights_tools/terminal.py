"""The one way out to a terminal: text of which nothing can be taken for a command.

A model's files and what it writes come from strangers. Control characters in them could clear the
screen, set the window's title or fill the clipboard, and marks of the direction of writing could
show a line in another order than it has.

Sources: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html; Boucher and Anderson 2021,
Trojan Source, https://arxiv.org/abs/2111.00169
"""

import io
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

# Control characters but tab and newline, embeddings, overrides and isolates of direction,
# separators of lines, and lone surrogates, which no stream can encode.
COMMANDS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
OVER = "\r\x1b[K"  # to the start of the line, and the rest of it cleared


def printable(text: str) -> str:
    r"""A text with escapes in the place of what a terminal could take for commands.

    >>> printable("a\nb\x1b]0;title\x07") == "a\nb" + r"\x1b]0;title\x07"
    True
    """
    return COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)


class Terminal:
    """A stream of text that writes everything in ``printable`` form; else as the stream itself."""

    def __init__(self, stream: Any):
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def write_over(self, line: str) -> None:
        """In the place of the line that stands there, where this is a terminal; else below it."""
        if self.stream.isatty():
            self.stream.write(f"{OVER}{printable(line)}")
        else:
            self.stream.write(f"{printable(line)}\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def terminal(stream: Any) -> Terminal:
    """The stream as a ``Terminal``; one that leads nowhere where it is closed (None)."""
    if isinstance(stream, Terminal):
        return stream
    return Terminal(Nowhere() if stream is None else stream)


class Nowhere(io.TextIOBase):
    """What is written here is lost, as with a standard stream that was closed at the start."""

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Within, all that is printed is printable."""
    with redirect_stdout(terminal(sys.stdout)), redirect_stderr(terminal(sys.stderr)):
        yield


@contextmanager
def bare_stderr() -> Iterator[None]:
    """Within, a library may draw its own progress; whoever uses this has looked at the names."""
    stream = sys.stderr.stream if isinstance(sys.stderr, Terminal) else sys.stderr
    with redirect_stderr(stream):
        yield
