"""Solutions of exercise 02. Try first."""

import numpy as np


def embed(embedding, ids):
    return embedding[ids]


def one_hot(ids, vocab_size):
    result = np.zeros((len(ids), vocab_size))
    result[np.arange(len(ids)), ids] = 1
    return result


def cosines(row, rows):
    lengths = np.sqrt((rows**2).sum(axis=-1))
    return rows @ row / (lengths * np.sqrt((row**2).sum()))
