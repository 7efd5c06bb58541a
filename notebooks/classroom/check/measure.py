"""``measure("07", found, truth, because)``: find a number on the model, and explain it."""

from collections.abc import Callable

import numpy as np

from .examine import Outcome, tell
from .predict import shown
from .returned import brief, clean, seen

FEWEST_WORDS = 5


def measure(lesson: str, found, truth: Callable, because: str, tolerance: float = 0.02) -> Outcome:
    """Say whether a measured number is right, and file the sentence that explains it beside it.

    ``truth`` is a function without arguments that measures the same; ``tolerance`` is relative.
    A wrong number is not corrected, so that it can be looked for again. Whether the sentence is
    true nobody can check here: it is printed, to be compared with the answer on the page.
    """
    name = f"measure_{lesson}"
    if found is ... or because is ...:
        lines = [f"{name}: first measure, and write your sentence in the place of ..."]
        return tell(name, Outcome(False, lines, None, False))
    real, found, because = truth(), seen(found), seen(because)
    if not isinstance(because, str):
        lines = [f"{name}: say why in a sentence, as text, got {brief(because)}"]
        return tell(name, Outcome(False, lines, None, False))
    if not near(found, real, tolerance):
        lines = [f"{name}: you found {shown(found)}, and that is not it. Look again."]
        return tell(name, Outcome(False, lines))
    if len(because.split()) < FEWEST_WORDS:
        lines = [f"{name}: the number is right. Now say in a whole sentence why it is so."]
        return tell(name, Outcome(False, lines))
    right = f"{name}: {shown(found)} is right. You say: {clean(because, 500)}"
    lines = [right, "Compare the answer below."]
    return tell(name, Outcome(True, lines))


def near(found, real: float, tolerance: float) -> bool:
    try:
        return bool(np.isclose(float(found), float(real), rtol=tolerance, atol=1e-9))
    except (TypeError, ValueError, OverflowError):
        return False
