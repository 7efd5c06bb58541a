"""``predict("03", guess, truth)``: say what will come, then see it."""

from collections.abc import Callable

import numpy as np

from .examine import Outcome, tell
from .returned import brief, seen


def predict(lesson: str, guess, truth: Callable) -> Outcome:
    """Print the truth beside a guess, once there is one. A wrong guess counts as a guess made.

    ``truth`` is a function without arguments, so that nothing is seen before. Numbers are right
    within one in a hundred; texts are compared without regard to capitals.
    """
    name = f"predict_{lesson}"
    if guess is ...:
        outcome = Outcome(
            False, [f"{name}: first write your guess in the place of ..."], None, False
        )
    else:
        real, guess = truth(), seen(guess)
        said = "right" if agrees(guess, real) else f"it is {shown(real)}"
        outcome = Outcome(True, [f"{name}: you said {shown(guess)}, {said}."])
    return tell(name, outcome)


def shown(value) -> str:
    """A number without the noise of its last digits, NumPy's as Python's."""
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    if isinstance(value, tuple | list):
        inside = ", ".join(map(shown, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    return brief(value.item() if isinstance(value, np.generic) else value)


def agrees(guess, real) -> bool:
    if isinstance(real, str):
        return isinstance(guess, str) and guess.strip().lower() == real.lower()
    try:
        guess, real = np.asarray(guess, float), np.asarray(real, float)
    except (TypeError, ValueError, OverflowError, MemoryError):
        return False
    return guess.shape == real.shape and bool(np.allclose(guess, real, rtol=0.01, atol=1e-9))
