"""Lesson 16, pre-training."""

import math

import numpy as np

from ..check.pretraining import adamw, clip, rows
from .registry import wrong


@wrong("the targets are not shifted", "16/rows-why", task="rows")
def targets_not_shifted(tokens, length):
    """The target of a position is the token after it: else the answer is in the question."""
    ids = tokens[:-1].reshape(-1, length)
    return np.stack([ids, ids])


@wrong("the targets are shifted the wrong way", "16/rows-why", task="rows")
def shifted_backwards(tokens, length):
    """That asks for the token before, which the model has just read."""
    return rows(tokens, length)[::-1]


@wrong("each row is shifted by itself", "16/rows-why", task="rows")
def shifted_in_the_row(tokens, length):
    """The last target of a row is the first token of the next row, not of its own."""
    ids = tokens[:-1].reshape(-1, length)
    return np.stack([ids, np.roll(ids, -1, axis=1)])


@wrong("cut into columns, not into rows", "16/rows-why", task="rows")
def cut_into_columns(tokens, length):
    """A row is a stretch of the stream: tokens that follow one another stand side by side."""
    return np.stack([part.reshape(length, -1).T for part in (tokens[:-1], tokens[1:])])


@wrong("the weights of the norms decay, too", "16/adamw-read", task="adamw")
def norms_decay(w, g, m, v, t, rate):
    """A norm that does nothing has weights of 1, not of 0: only matrices decay."""
    new = adamw(w, g, m, v, t, rate)
    return new - np.stack([rate * 0.1 * w * (w.ndim == 1), 0 * m, 0 * v])


@wrong("nothing decays", "16/adamw-why", task="adamw")
def nothing_decays(w, g, m, v, t, rate):
    """That is Adam. The W adds a pull of 0.1 w towards zero on matrices."""
    new = adamw(w, g, m, v, t, rate)
    return new + np.stack([rate * 0.1 * w * (w.ndim > 1), 0 * m, 0 * v])


@wrong("the decay went into the gradient", "16/adamw-read", task="adamw")
def decay_in_the_gradient(w, g, m, v, t, rate):
    """Then Adam divides it like the rest, and weights with small gradients decay most."""
    pulled = g + 0.1 * w if w.ndim > 1 else g
    m, v = 0.9 * m + 0.1 * pulled, 0.95 * v + 0.05 * pulled * pulled
    return np.stack([w - rate * step_of(m, v, t), m, v])


@wrong("the decay is not multiplied by the rate", "16/adamw-why", task="adamw")
def decay_without_rate(w, g, m, v, t, rate):
    """Where the rate falls to zero the decay falls with it: w - rate * (step + 0.1 w)."""
    m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g * g
    return np.stack([w - rate * step_of(m, v, t) - 0.1 * w * (w.ndim > 1), m, v])


@wrong("m and v are not divided by 1 - beta^t", "16/adamw-why", task="adamw")
def biased(w, g, m, v, t, rate):
    """Both begin at zero and are too small at first, v by more than m."""
    m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g * g
    return np.stack([w - rate * (m / (np.sqrt(v) + 1e-8) + 0.1 * w * (w.ndim > 1)), m, v])


@wrong("the corrected m and v were kept", "16/adamw-why", task="adamw")
def corrected_kept(w, g, m, v, t, rate):
    """The running means go on as they are; the correction is for this step alone."""
    new_w, new_m, new_v = adamw(w, g, m, v, t, rate)
    return np.stack([new_w, new_m / (1 - 0.9**t), new_v / (1 - 0.95**t)])


@wrong("the step is taken with the old m and v", "16/adamw-why", task="adamw")
def with_the_old_means(w, g, m, v, t, rate):
    """First the means take in the gradient, then the step is made of them."""
    new = adamw(w, g, m, v, t, rate)
    step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    return np.stack([w - rate * (step + 0.1 * w * (w.ndim > 1)), *new[1:]])


@wrong("the root of v is missing", "16/adamw-why", task="adamw")
def without_root(w, g, m, v, t, rate):
    """v is a mean of squares; only its root is as large as a gradient."""
    new = adamw(w, g, m, v, t, rate)
    step = new[1] / (1 - 0.9**t) / (new[2] / (1 - 0.95**t) + 1e-8)
    return np.stack([w - rate * (step + 0.1 * w * (w.ndim > 1)), *new[1:]])


@wrong("each array was clipped by itself", "16/clip-why", task="clip")
def clipped_one_by_one(gradients, limit):
    """All arrays are one long vector: else the direction of the whole changes."""
    return tuple(clip([g], limit)[0] for g in gradients)


@wrong("short gradients were made longer", "16/clip-why", task="clip")
def always_scaled(gradients, limit):
    """Clipping shortens what is too long and leaves all else as it is: min(1, limit / length)."""
    length = math.sqrt(sum((g * g).sum() for g in gradients))
    return tuple(g * limit / length for g in gradients)


@wrong("each number was clipped by itself", "16/clip-why", task="clip")
def clipped_by_value(gradients, limit):
    """The length of the whole is limited, so that its direction stays; no number is cut."""
    return tuple(np.clip(g, -limit, limit) for g in gradients)


@wrong("the root of the length is missing", "16/clip-why", task="clip")
def length_squared(gradients, limit):
    """The length of a vector is the root of the sum of its squares."""
    return tuple(g * min(1.0, limit / sum((g * g).sum() for g in gradients)) for g in gradients)


@wrong("the lengths of the arrays were added", "16/clip-why", task="clip")
def lengths_added(gradients, limit):
    """Squares add up, and lengths do not: one root over the sum of all squares."""
    length = sum(math.sqrt((g * g).sum()) for g in gradients)
    return tuple(g * min(1.0, limit / length) for g in gradients)


@wrong("the cosine begins at step 0", "16/rates-why", task="schedule")
def cosine_from_zero(step, peak, warm_up, total):
    """It begins where the warm-up ends: (step - warm_up) of (total - warm_up)."""
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    return peak / 2 * (1 + math.cos(math.pi * step / total))


@wrong("there is no warm-up", "16/rates-why", task="schedule")
def no_warm_up(step, peak, warm_up, total):
    """Before step warm_up the rate rises in a line, (step + 1) of (warm_up + 1)."""
    return peak / 2 * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up)))


@wrong("the first step has the rate 0", "16/rates-why", task="schedule")
def first_step_lost(step, peak, warm_up, total):
    """Steps count from 0, so that the first would do nothing: step + 1."""
    if step < warm_up:
        return peak * step / warm_up
    return peak / 2 * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up)))


@wrong("a line down, not half a cosine", "16/rates-why", task="schedule")
def straight_down(step, peak, warm_up, total):
    """Half a cosine stays long near the peak and comes gently to its end."""
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    return peak * (total - step) / (total - warm_up)


@wrong("a whole cosine: the rate becomes negative", "16/rates-why", task="schedule")
def below_zero(step, peak, warm_up, total):
    """The cosine goes from 1 to -1; half of one plus it goes from 1 to 0."""
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    return peak * math.cos(math.pi * (step - warm_up) / (total - warm_up))


def step_of(m, v, t):
    """Adam's fraction, corrected."""
    return m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
