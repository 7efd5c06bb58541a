"""The input of a call that went wrong: as it is where it is short, or else its sizes."""

import numpy as np

from .returned import brief

SHORT = 100  # characters of an input that is shown as it is
LONG = 160  # and of one of which the sizes are shown
UNSEEN = 1000  # what a whole model counts for
PLAIN = (int, float, str, bytes, list, dict, set)


def smallest(names: list[str], cases: list[tuple], faults: list) -> list[str]:
    """The fault of the smallest case, and its input."""
    failed = [(case, fault) for case, fault in zip(cases, faults, strict=True) if fault]
    case, fault = min(failed, key=lambda pair: cost(pair[0]))
    given = shown(names, case)
    return [fault, *([f"It was called with {given}."] if given else [])]


def cost(arguments: tuple) -> int:
    """How much there is to look at."""

    def one(value) -> int:
        if isinstance(value, np.ndarray):
            return value.size
        return len(repr(value)) if isinstance(value, PLAIN) else UNSEEN

    return sum(map(one, arguments))


def shown(names: list[str], arguments: tuple) -> str:
    """The arguments of a call as one writes them, or their shapes; nothing where that is long."""
    pairs = list(zip(names, arguments, strict=False))
    if all(isinstance(a, PLAIN) for a in arguments):
        text = ", ".join(f"{name}={a!r}" for name, a in pairs)
        return text if len(text) <= SHORT else ""
    parts = [f"{name}{described(a)}" for name, a in pairs if isinstance(a, (np.ndarray, *PLAIN))]
    text = ", ".join(parts)
    return text if len(text) <= LONG else ""


def described(value) -> str:
    """A short row of whole numbers as it is, any other array by its shape."""
    if isinstance(value, np.ndarray):
        row = value.ndim == 1 and value.dtype.kind in "iu" and value.size <= 8
        return f"={value.tolist()}" if row else f" of shape {value.shape}"
    return f"={brief(value, 40)}"
