"""Solutions of exercise 15. Try first."""

import numpy as np
from classroom import mine


def d_logits(logits, targets):
    d = mine.softmax(logits)
    rows = np.flatnonzero(targets != -100)
    d[rows, targets[rows]] -= 1
    d[targets == -100] = 0
    return d / len(rows)


def accumulate(gradients, counts):
    return counts @ gradients / counts.sum()


def norm_backward(d_out, x, weight, eps):
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    n, g = x * r, d_out * weight
    return r * (g - n * (g * n).mean(axis=-1, keepdims=True))


def softmax_backward(d_out, weights):
    return weights * (d_out - (d_out * weights).sum(axis=-1, keepdims=True))


def attend_backward(d_mix, q, k, v, pattern):
    root = np.sqrt(q.shape[-1])
    d_v = pattern.T @ d_mix
    d_scores = mine.softmax_backward(d_mix @ v.T, pattern)
    d_q = d_scores @ k / root
    d_k = d_scores.T @ q / root
    return np.stack([d_q, d_k, d_v])
