"""What a misconception is, and the list that the lessons' files fill."""

from collections.abc import Callable
from typing import NamedTuple


class Misconception(NamedTuple):
    """A function that runs, and is wrong: its docstring says in one sentence why.

    ``right`` names the function of ``llama_np`` that it replaces ("rope.apply_rotary"), ``task``
    the exercise to which it is an answer; one of the two may be None.
    """

    name: str  # the misconception in plain words
    function: Callable
    lesson: str  # where to read again: the lesson's number, and the key of the cell
    cell: str
    right: str | None
    task: str | None

    @property
    def why(self) -> str:
        """One sentence."""
        return " ".join(self.function.__doc__.split())


MISCONCEPTIONS: list[Misconception] = []


def wrong(name: str, read: str, *, right: str | None = None, task: str | None = None):
    """Enter a function as a misconception; ``read`` is the lesson and the cell, "06/mask-why"."""

    def register(function: Callable) -> Callable:
        MISCONCEPTIONS.append(Misconception(name, function, *read.split("/"), right, task))
        return function

    return register


def known_for(task: str) -> list[Misconception]:
    """Those that answer an exercise."""
    return [each for each in MISCONCEPTIONS if each.task == task]
