"""What a learner's function gave back, in types that do nothing of their own when looked at."""

import array
import reprlib
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np

LONGEST = 10_000  # entries taken from a generator, which may have no end
EXACT = {  # each makes the plain one of a subclass without asking the subclass
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: complex.__add__(value, 0j),
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
}


class Foreign:
    """Something else, of which no more is kept than the name of its type."""

    def __init__(self, value):
        self.name = type.__getattribute__(type(value), "__name__")

    def __repr__(self) -> str:
        return f"a {self.name}"


def plain(value):
    """A result as Python's and NumPy's own types; iterators are read to their end.

    >>> plain(n * n for n in range(3))
    [0, 1, 4]
    """
    sort = type(value)
    if value is None or value is ... or sort in (bool, dict, set, frozenset):
        return value
    if issubclass(sort, np.ndarray):
        return np.asarray(value)
    if sort.__module__ == "numpy" and issubclass(sort, np.generic):
        return value
    for base, exact in EXACT.items():
        if issubclass(sort, base) and not issubclass(sort, np.generic):
            return exact(value)
    if issubclass(sort, list):
        return [plain(each) for each in list.__iter__(value)]
    if issubclass(sort, tuple):
        return tuple(plain(each) for each in tuple.__iter__(value))
    if issubclass(sort, range | bytearray | deque | array.array | memoryview | Iterator):
        found = [plain(each) for each in islice(value, LONGEST + 1)]
        if len(found) > LONGEST:
            raise ValueError(f"it gives more than {LONGEST:,} entries: does it end?")
        return found
    return Foreign(value)


def clean(text: str, longest: int) -> str:
    """A text in one line, without what would move the cursor or hide a part of it.

    >>> clean("a\\nb\\x1b[31m", 20)
    'a b\\\\x1b[31m'
    """
    line = " ".join(text[: 4 * longest].split())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


class _Short(reprlib.Repr):
    """Python's own way of writing, cut where it gets long; numbers of thousands of digits too."""

    def __init__(self):
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 12
        self.maxstring = self.maxother = self.maxlong = 60

    def repr_int(self, value, level):
        return repr(value) if value.bit_length() < 200 else f"{'-' * (value < 0)}{size(value)}"

    def repr_bytes(self, value, level):
        return repr(value) if len(value) <= 40 else f"{value[:37]!r}..."


def size(value: int) -> str:
    return f"a number of some {int(abs(value).bit_length() * 0.30103) + 1} digits"


_short = _Short()


def brief(value, longest: int = 60) -> str:
    """A value in a few words, whatever it is."""
    if isinstance(value, np.ndarray) and value.size > 40:
        return f"an array of shape {value.shape}"
    try:
        return clean(_short.repr(value), longest)
    except BaseException:
        return repr(Foreign(value))
