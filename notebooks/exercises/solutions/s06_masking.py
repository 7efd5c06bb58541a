"""Solutions of exercise 06. Try first."""

import numpy as np

from llama_np.classroom import mine


def may_see(query_positions, key_positions):
    return key_positions[None, :] <= query_positions[:, None]


def hide(scores, may_see):
    return np.where(may_see, scores, -np.inf)


def attend(q, k, v, may_see):
    masked = mine.hide(mine.scores(q, k), may_see)
    return mine.softmax(masked) @ v
