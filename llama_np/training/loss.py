"""Cross-entropy: how surprised the model is by what really came next."""

import numpy as np

from ..axes import Array
from ..functional import log_softmax

IGNORE = -100  # the target of a position that does not count; PyTorch's ignore_index


def cross_entropy(logits: Array["... T V"], targets: Array["... T"]) -> float:
    """Mean negative log-probability of the targets, in nats.

    loss = -mean over t of log softmax(logits_t)[target_t]

    Positions with target ``IGNORE`` do not count. Divide by ln 2 for bits; exp(loss) is the
    perplexity. Raises ``ValueError`` when no position counts.

    PyTorch: ``F.cross_entropy(logits, targets)``.

    >>> round(cross_entropy(np.zeros((3, 4)), np.array([0, 3, IGNORE])), 6)  # ln 4
    1.386294
    """
    counts = targets != IGNORE
    if not counts.any():
        raise ValueError("every target is ignored; give at least one position that counts")
    rows = log_softmax(logits[counts])
    return -float(np.mean(np.take_along_axis(rows, targets[counts][:, None], axis=-1)))
