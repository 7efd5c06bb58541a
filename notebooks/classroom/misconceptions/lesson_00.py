"""Lesson 00, the whole model on one page."""

import numpy as np

from .registry import wrong


@wrong("the first row instead of the last", "00/logits-why", task="next_token")
def first_row(logits):
    """Row t says what follows token t: what follows the whole text stands in the last row."""
    return int(logits[0].argmax())


@wrong("one guess for every row", "00/logits-why", task="next_token")
def a_guess_for_every_row(logits):
    """Every row predicts what follows its own token; to continue the text, only the last counts."""
    return logits.argmax(axis=-1)


@wrong("the largest logit itself, not its id", "00/logits-why", task="next_token")
def the_logit_itself(logits):
    """A logit says how likely a token is; which token it is, its place in the row says."""
    return logits[-1].max()


@wrong("the best of all rows together", "00/logits-why", task="next_token")
def argmax_of_the_whole_matrix(logits):
    """Without an axis, argmax counts through all rows: that is no id of the vocabulary."""
    return int(logits.argmax())


@wrong("the smallest scores instead of the largest", "00/logits-by-hand", task="n_best")
def smallest_first(scores, n):
    """argsort puts the smallest first: sort the negative scores, or turn the order round."""
    return np.argsort(scores)[:n]


@wrong("the best stands last", "00/logits-by-hand", task="n_best")
def best_last(scores, n):
    """These are the right ids from the least to the most likely: turn the order round."""
    return np.argsort(scores)[-n:]


@wrong("the scores, not their ids", "00/logits-by-hand", task="n_best")
def scores_not_ids(scores, n):
    """sort gives back the scores, argsort gives their places, and those are the ids."""
    return -np.sort(-scores)[:n]
