"""Solutions of exercise 06. Try first."""

import numpy as np
from classroom import mine


def causal_mask(query_positions, key_positions):
    return key_positions[None, :] <= query_positions[:, None]


def mask_scores(scores, mask):
    return np.where(mask, scores, -np.inf)


def attend(q, k, v, mask):
    masked = mine.mask_scores(mine.scores(q, k), mask)
    return mine.softmax(masked) @ v
