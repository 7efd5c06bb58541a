"""Solutions of exercise 17. Try first."""

import numpy as np


def answer_targets(ids, given):
    targets = ids[1:].copy()
    targets[: given - 1] = -100
    return targets


def lora_start(noise, n_out):
    n_in, rank = noise.shape
    return noise / np.sqrt(n_in), np.zeros((rank, n_out))


def lora_linear(x, w, a, b, scale):
    return x @ w + scale * (x @ a @ b)


def lora_gradients(d_out, x, a, b, scale):
    d_a = scale * (x.T @ (d_out @ b.T))
    d_b = scale * ((x @ a).T @ d_out)
    return d_a, d_b


def merged(w, a, b, scale):
    return w + scale * (a @ b)
