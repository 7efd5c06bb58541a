"""One matrix from several that lie in different files, without copying them together."""

from collections.abc import Sequence

import numpy as np

from ..opened import Rows


class ShardedRows:
    """Matrices one below the other (``axis`` 0) or side by side (1), asked for row by row.

    Only the rows asked for are brought together.

    >>> top, bottom = np.zeros((2, 3)), np.ones((2, 3))
    >>> ShardedRows([top, bottom], axis=0)[1:3].tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    >>> ShardedRows([top, bottom], axis=1)[np.array([1])].tolist()
    [[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, parts: Sequence[np.ndarray], axis: int):
        self.parts, self.axis = list(parts), axis
        self.ends = np.cumsum([len(part) for part in parts])
        whole = list(parts[0].shape)
        whole[axis] = sum(part.shape[axis] for part in parts)
        self.shape = tuple(whole)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """The rows of a slice, or those with the given numbers, from 0."""
        if self.axis == 1:
            return np.concatenate([part[rows] for part in self.parts], axis=-1)
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._between(start, stop)
            rows = np.arange(start, stop, step)
        return self._numbered(rows)

    def __len__(self) -> int:
        return self.shape[0]

    def _between(self, start: int, stop: int) -> np.ndarray:
        first = [end - len(part) for part, end in zip(self.parts, self.ends, strict=True)]
        pieces = [
            part[max(start - i, 0) : max(stop - i, 0)]
            for part, i in zip(self.parts, first, strict=True)
        ]
        pieces = [piece for piece in pieces if len(piece)] or pieces[:1]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _numbered(self, rows: np.ndarray) -> np.ndarray:
        rows = np.arange(len(self))[rows]  # refuses what is out of range
        part_of = np.searchsorted(self.ends, rows, side="right")
        found = np.empty((*rows.shape, *self.shape[1:]), self.parts[0].dtype)
        for i, (part, end) in enumerate(zip(self.parts, self.ends, strict=True)):
            here = part_of == i
            found[here] = part[rows[here] - (end - len(part))]
        return found


def joined(parts: Sequence[np.ndarray], axis: int) -> Rows:
    """``ShardedRows``, or the matrix itself where there is only one."""
    return parts[0] if len(parts) == 1 else ShardedRows(parts, axis)
