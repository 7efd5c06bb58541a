"""What a learner's function gave back, in types that do nothing of their own when looked at."""

import array
import reprlib
from collections import deque
from collections.abc import Iterator
from itertools import islice

import numpy as np

LONGEST = 10_000  # entries taken from a generator, which may have no end
MOST = 100_000  # entries in all lists of a result together; sixteen of an array count for one
SIMPLE = {int, float, bool, type(None)}  # nothing of them needs a look
NAME = type.__dict__["__name__"].__get__  # of a class, whatever its own class says of it
EXACT = {  # each makes the plain one of a subclass without asking the subclass
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: complex.__add__(value, 0j),
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
}


class Foreign:
    """Something else, of which no more is kept than the name of its type."""

    def __init__(self, name: str):
        self.name = clean(name, 40)

    def __repr__(self) -> str:
        return f"a {self.name}"


class Read(list):
    """What a generator or another iterator gave."""


class Room:
    """How many more entries a result may have."""

    def __init__(self, left: int = MOST):
        self.left = left

    def take(self, entries: int) -> None:
        self.left -= entries
        if self.left < 0:
            raise ValueError(f"it gives more than {MOST:,} entries, far more than was asked for")


def plain(value, room: Room | None = None):
    """A result as Python's and NumPy's own types; iterators are read to their end.

    Raises ValueError for one of more than 100,000 entries: nothing that is asked has as many.

    >>> plain(n * n for n in range(3))
    [0, 1, 4]
    """
    sort, inside, room = type(value), room is not None, room or Room()
    if value is None or value is ... or sort is bool:
        return value
    if issubclass(sort, np.ndarray):
        bare = np.asarray(value)
        if bare.dtype.hasobject:
            return Foreign("NumPy array of objects")
        room.take(bare.size // 16 if inside else 0)  # alone it is looked at only in the right shape
        return bare
    if sort.__module__ == "numpy" and issubclass(sort, np.generic):
        return value
    for base, exact in EXACT.items():
        if issubclass(sort, base) and not issubclass(sort, np.generic):
            bare = exact(value)
            room.take(len(bare) if base in (str, bytes) else 0)
            return bare
    for base in (list, tuple, set, frozenset):
        if issubclass(sort, base):
            room.take(base.__len__(value))
            return base(all_plain([*base.__iter__(value)], room))
    if issubclass(sort, dict):
        room.take(dict.__len__(value))
        return {plain(key, room): plain(each, room) for key, each in dict.items(value)}
    if issubclass(sort, range | bytearray | deque | array.array | memoryview | Iterator):
        found = [*islice(value, LONGEST + 1)]
        room.take(len(found))
        if len(found) > LONGEST:
            raise ValueError(f"it gives more than {LONGEST:,} entries: does it end?")
        found = all_plain(found, room)
        return Read(found) if issubclass(sort, Iterator) else found
    return Foreign(NAME(sort))


def all_plain(found: list, room: Room) -> list:
    """Each entry plain; at once where all are simple."""
    if SIMPLE.issuperset(map(type, found)):
        return found
    return [plain(each, room) for each in found]


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

    repr_Read = reprlib.Repr.repr_list

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
    except KeyboardInterrupt:
        raise
    except BaseException:
        return repr(Foreign(NAME(type(value))))


def seen(value):
    """What a learner gave that was not called: plain, or nothing but the name of its type."""
    try:
        return plain(value)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return Foreign(NAME(type(value)))
