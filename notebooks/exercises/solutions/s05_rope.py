"""Solutions of exercise 05. Try first."""

import numpy as np
from classroom import mine


def frequencies(head_dim, base):
    pair = np.arange(head_dim // 2)
    return base ** (-2 * pair / head_dim)


def angles(positions, frequencies):
    return positions[:, None] * frequencies


def rotate(x, positions, frequencies):
    turn = mine.angles(positions, frequencies)
    a, b = x[:, 0::2], x[:, 1::2]
    turned = np.empty_like(x)
    turned[:, 0::2] = a * np.cos(turn) - b * np.sin(turn)
    turned[:, 1::2] = a * np.sin(turn) + b * np.cos(turn)
    return turned
