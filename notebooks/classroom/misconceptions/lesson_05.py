"""Lesson 05, rope."""

import numpy as np

from llama_np.rope import apply_rotary, rope_frequencies, rope_rotations, rotate

from .registry import wrong


@wrong("degrees, not radians", "05/idea", right="rope.rope_frequencies", task="frequencies")
def degrees(head_dim, theta, scaling=None):
    """Angles are radians: the first pair turns by 57 degrees per position, not by one."""
    return np.deg2rad(rope_frequencies(head_dim, theta, scaling))


@wrong("the 2 in the exponent is missing", "05/one-pair-note", task="frequencies")
def exponent_without_two(head_dim, base):
    """There are K/2 pairs: with 2j/K the exponent runs through the whole range, with j/K half."""
    return base ** -(np.arange(head_dim // 2) / head_dim)


@wrong("the minus in the exponent is missing", "05/one-pair-note", task="frequencies")
def growing_frequencies(head_dim, base):
    """Each further pair turns more slowly: the exponent is negative."""
    return base ** (np.arange(0, head_dim, 2) / head_dim)


@wrong("a frequency for every number", "05/one-pair-note", task="frequencies")
def as_many_as_numbers(head_dim, base):
    """Two neighbours turn together: K numbers are K/2 pairs."""
    return base ** -(2 * np.arange(head_dim) / head_dim)


@wrong("positions counted from 1", "05/angles-why", task="angles")
def angles_from_one(positions, frequencies):
    """Positions count from 0: the first token is not turned."""
    return (positions[:, None] + 1) * frequencies


@wrong("degrees, not radians", "05/idea", task="angles")
def angles_in_degrees(positions, frequencies):
    """np.cos and np.sin expect radians: position times frequency, nothing more."""
    return np.rad2deg(positions[:, None] * frequencies)


@wrong("rows and columns changed places", "05/angles-why", task="angles")
def angles_by_pair(positions, frequencies):
    """A row for each token, a column for each pair: T K/2."""
    return frequencies[:, None] * positions


@wrong("split halves instead of adjacent pairs", "05b/layout-why", right="rope.apply_rotary")
def split_halves(x, rotations):
    """Hugging Face's pairs (i, i + K/2) are right for its permuted weights, wrong for Meta's."""
    halves = x.reshape(*x.shape[:-1], 2, -1).swapaxes(-1, -2).reshape(x.shape)
    turned = apply_rotary(halves, rotations)
    return turned.reshape(*x.shape[:-1], -1, 2).swapaxes(-1, -2).reshape(x.shape)


@wrong("queries turned the other way than keys", "05/distance-why", right="rope.apply_rotary")
def turn_the_other_way_for_queries_only(x, rotations):
    """Scores depend on m - n because q and k turn the same way; here heads tell them apart."""
    return apply_rotary(x, rotations.conj() if x.shape[-3] == 6 else rotations)


@wrong("split halves instead of adjacent pairs", "05b/layout-why", task="rotate")
def split_halves_by_angles(x, positions, frequencies):
    """Hugging Face's pairs (i, i + K/2) are right for its permuted weights, wrong for Meta's."""
    return split_halves(x, rope_rotations(positions, frequencies))


@wrong("turned the other way round", "05/idea", task="rotate")
def turned_backwards(x, positions, frequencies):
    """The minus belongs to a cos - b sin, the plus to a sin + b cos."""
    return rotate(x, positions, -frequencies)


@wrong("degrees, not radians", "05/idea", task="rotate")
def turned_by_degrees(x, positions, frequencies):
    """np.cos and np.sin expect radians, and the angles are radians already."""
    return rotate(x, positions, np.deg2rad(frequencies))


@wrong("the second number was made from the turned first", "05/idea", task="rotate")
def second_from_the_turned_first(x, positions, frequencies):
    """Both new numbers come from the old a and b: keep the old a until b is done."""
    angles = positions[:, None] * frequencies
    a = x[:, 0::2] * np.cos(angles) - x[:, 1::2] * np.sin(angles)
    b = a * np.sin(angles) + x[:, 1::2] * np.cos(angles)
    return np.stack([a, b], axis=-1).reshape(x.shape)


@wrong("the pairs were not put back side by side", "05/rotate-why", task="rotate")
def pairs_pulled_apart(x, positions, frequencies):
    """The numbers of a pair stay neighbours: first, second, first, second."""
    turned = rotate(x, positions, frequencies)
    return np.concatenate([turned[:, 0::2], turned[:, 1::2]], axis=-1)


@wrong("positions counted from 1", "05/angles-why", task="rotate")
def turned_from_one(x, positions, frequencies):
    """Positions come as they are, from 0: the first token is not turned."""
    return rotate(x, positions + 1, frequencies)


@wrong("every pair turned at the same speed", "05/one-pair-note", task="rotate")
def one_speed(x, positions, frequencies):
    """The angle is the position times the pair's own frequency."""
    return rotate(x, positions, np.ones_like(frequencies))


@wrong("no scaling of the frequencies", "05b/scaling-why", right="rope.scale_frequencies")
def no_scaling(frequencies, scaling):
    """The code of Llama 3.1 is not identical to that of Llama 3: slow pairs are slowed down."""
    return frequencies


@wrong("every frequency scaled", "05b/scaling-why", right="rope.scale_frequencies")
def scale_every_frequency(frequencies, scaling):
    """Fast pairs are kept: dividing all of them would blur neighbouring tokens."""
    return frequencies / scaling.factor
