"""Which head of a model to look at."""

from collections.abc import Iterable, Mapping

import numpy as np


def clearest_head(
    trace: Mapping[str, np.ndarray], blocks: Iterable[int], n_heads: int
) -> tuple[int, int]:
    """The head, among ``blocks``, that reads hardest from a token other than the first and its own.

    For each row of a recorded pattern its largest such weight counts, and their mean decides.

    >>> even, sharp = np.full((2, 3, 3), 1 / 3), np.array([np.eye(3, k=-1), np.eye(3)])
    >>> clearest_head({"blocks.0.pattern": even, "blocks.1.pattern": sharp}, range(2), n_heads=2)
    (1, 0)
    """

    def clearness(head: tuple[int, int]) -> float:
        block, h = head
        elsewhere = np.tril(trace[f"blocks.{block}.pattern"][h], -1)[:, 1:]
        return elsewhere.max(axis=-1).mean()

    return max(((int(block), h) for block in blocks for h in range(n_heads)), key=clearness)
