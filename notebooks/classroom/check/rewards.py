"""What the exercise of lesson 19 asks for, and inputs to try it on: groups, ratios, a loss."""

import numpy as np

from llama_np.axes import Array
from llama_np.training import rewards as named

from .inputs import cases


def reinforce(rewards: Array["B G"]) -> Array["B G"]:
    return -named.centred(rewards) / rewards.size


def grpo_loss(
    log_p: Array["G T"],
    old: Array["G T"],
    reference: Array["G T"],
    rewards: Array["G"],
    counts: Array["G T"],
    clip: float,
    beta: float,
) -> float:
    given = named.group_advantages(rewards), named.mean_of_answers(counts), clip, beta
    return named.grpo_loss(log_p, old, reference, *given)


@cases(6)
def groups_of_rewards(rng, case):
    """Zeros and ones; any numbers; raised; one group, of large ones; of different size; pairs."""
    shape = ((3, 5), (4, 4), (5, 3), (1, 6), (2, 8), (9, 2))[case]
    if case == 0:
        rewards = rng.permuted(np.arange(15).reshape(shape) % 5 < [[1], [2], [4]], axis=-1)
        return (rewards.astype(float),)
    rewards = rng.standard_normal(shape) * 10.0 ** rng.uniform(-1, 1, (shape[0], 1))
    rewards *= 40 if case == 3 else 1
    return (rewards + (50 if case == 2 else 3 * rng.standard_normal((shape[0], 1))),)


@cases(7)
def some_groups(rng, case):
    """As ``groups_of_rewards``; in one call all rewards of a group are equal, and not exact."""
    if case == 6:
        rewards = rng.standard_normal((3, 3))
        rewards[1] = 0.1  # three of them have a mean that is not quite 0.1
        return (rewards,)
    return groups_of_rewards(rng, case)


def log_probabilities(rng, shape, apart: float, n: int) -> list[np.ndarray]:
    """Of the same tokens under ``n`` models."""
    first = -rng.uniform(0.3, 4, shape)
    moved = [np.minimum(-0.01, first + apart * rng.standard_normal(shape)) for _ in range(n - 1)]
    return [first, *moved]


@cases(6)
def two_models(rng, case):
    """Near each other, and far apart; one token; as many answers as tokens; many answers."""
    shape, apart = (
        ((3, 5), 0.3), ((2, 7), 2.0), ((1, 1), 1.0), ((4, 4), 0.8), ((5, 2), 0.1), ((11, 3), 1.0)
    )[case]  # fmt: skip
    return tuple(log_probabilities(rng, shape, apart, 2))


@cases(7)
def to_clip(rng, case):
    """Ratios on both sides of the bounds, for good answers and bad ones; one that is neither."""
    answers, length = ((4, 6), (2, 9), (5, 5), (1, 8), (6, 1), (3, 4), (12, 3))[case]
    clip = (0.2, 0.3, 0.1, 0.2, 0.4, 0.05, 0.25)[case]
    advantages = rng.standard_normal(answers) * 1.5
    advantages[0] = abs(advantages[0]) if case % 2 else -abs(advantages[0])
    if case == 5:
        advantages[1] = 0
    return *log_probabilities(rng, (answers, length), 2 * clip, 2), advantages, clip


@cases(8)
def a_group(rng, case):
    """Answers of different length; the question before them does not count, nor what follows.

    In one call all tokens count, in one there is a single answer, in one there are many.
    """
    answers, length, clip, beta = (
        (4, 9, 0.2, 0.5), (3, 6, 0.3, 0.04), (5, 5, 0.1, 2.0), (2, 8, 0.2, 1.0), (6, 12, 0.25, 0.3),
        (4, 7, 0.05, 0.2), (1, 5, 0.2, 0.7), (13, 4, 0.2, 0.1),
    )[case]  # fmt: skip
    start = rng.integers(0, 3, (answers, 1))
    end = np.minimum(length, start + rng.integers(1, length - 1, (answers, 1)))
    end[0] = length
    counts = (np.arange(length) >= start) & (np.arange(length) < end) | (case == 5)
    rewards = rng.permutation(np.arange(answers) % 2.0)
    if case % 2:
        rewards = 4 * rng.standard_normal(answers)
    return *log_probabilities(rng, (answers, length), 0.4, 3), rewards, counts, clip, beta
