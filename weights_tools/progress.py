"""Saying how far a long command is."""

import sys
import time

from .terminal import terminal


class Progress:
    """One line on a terminal that is written over; a line now and then where there is none.

    Nothing is shown before ``quiet`` seconds have passed.
    """

    def __init__(self, total: int, stream=None, quiet: float = 0.0):
        self.total, self.stream, self.quiet = total, terminal(stream or sys.stderr), quiet
        self.started, self.shown, self.first = time.monotonic(), -60.0, None

    def show(self, done: int, text: str, force: bool = False) -> None:
        """Show how far it is, with the time that remains."""
        now = time.monotonic()
        if self.first is None:
            self.first = done - 1  # a resumed run does not start at zero
        if now - self.started < self.quiet:
            return
        at_once = self.stream.isatty()
        if not force and done < self.total and now - self.shown < (0.2 if at_once else 30):
            return
        self.shown = now
        pace = (now - self.started) / max(1, done - self.first)
        minutes, seconds = divmod(round(pace * (self.total - done)), 60)
        filled = 24 * done // self.total
        self.stream.write_over(
            f"[{'=' * filled:24}] {done}/{self.total}  {text}  {minutes}:{seconds:02d} left"
        )
        if at_once and done >= self.total:
            self.stream.write("\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        """Print something of its own above the line."""
        self.stream.write_over(text)
        if self.stream.isatty():
            self.stream.write("\n")
        self.stream.flush()
