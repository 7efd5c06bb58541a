"""Solutions of exercise 00. Try first."""

import numpy as np


def next_token(logits):
    return int(logits[-1].argmax())


def n_best(scores, n):
    return np.argsort(-scores)[:n]
