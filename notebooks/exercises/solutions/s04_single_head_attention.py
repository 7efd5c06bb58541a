"""Solutions of exercise 04. Try first."""

import numpy as np
from classroom import mine


def scores(q, k):
    return q @ k.T / np.sqrt(q.shape[-1])


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def mix(q, k, v):
    pattern = mine.softmax(mine.scores(q, k))
    return pattern @ v
