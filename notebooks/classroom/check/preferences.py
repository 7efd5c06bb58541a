"""What the exercise of lesson 18 asks for, and inputs to try it on: pairs of answers."""

import numpy as np

from llama_np.axes import Array
from llama_np.functional import log_softmax, sigmoid

from .inputs import cases


def preference(r_w: Array["N"], r_l: Array["N"]) -> Array["N"]:
    return sigmoid(r_w - r_l)


def tilt(reference: Array["N"], rewards: Array["N"], beta: float) -> Array["N"]:
    weighted = reference * np.exp((rewards - rewards.max()) / beta)
    return weighted / weighted.sum()


def answer_log_p(logits: Array["T V"], ids: Array["T"], given: int) -> float:
    rows = log_softmax(logits)[given - 1 : -1]
    return float(rows[np.arange(len(rows)), ids[given:]].sum())


@cases(5)
def two_rewards(rng, case):
    """Near each other; a single pair; far from zero, where a power overflows; far apart."""
    r_w, r_l = 2 * rng.standard_normal((2, (7, 1, 5, 6, 9)[case]))
    if case == 2:
        r_w, r_l = r_w + 2000, r_l + 2000
    if case == 3:
        r_w, r_l = r_w - 2000, r_l - 2000
    return (r_w, 30 * r_l) if case == 4 else (r_w, r_l)


@cases(5)
def a_world(rng, case):
    """Answers with their probabilities and rewards; some rewards equal, some small."""
    n, beta = ((4, 0.7), (6, 3.0), (1, 1.0), (9, 0.05), (5, 20.0))[case]
    rewards = (0.1 if case == 3 else 2) * rng.standard_normal(n)
    if case == 1:
        rewards[2:4] = rewards[0]
    return rng.dirichlet(np.ones(n)), rewards, beta


@cases(6)
def a_dialog(rng, case):
    """Its logits, its ids, and how many of them were given; the answer may be one token."""
    n, vocab_size, given = (
        (9, 7, 4), (6, 11, 5), (5, 5, 1), (12, 6, 7), (2, 3, 1), (20, 4, 17)
    )[case]  # fmt: skip
    ids = rng.integers(vocab_size, size=n)
    ids[0], ids[-1] = (0, vocab_size - 1) if case % 2 else (vocab_size - 1, 0)
    return 3 * rng.standard_normal((n, vocab_size)), ids, given


@cases(5)
def judged_pairs(rng, case):
    """Log-probabilities of some pairs under the model and under the reference, and beta."""
    n, beta = ((6, 0.1), (1, 6.0), (2, 0.3), (9, 0.05), (4, 1.6))[case]
    reference = -100 + 15 * rng.standard_normal((n, 2))
    return reference + 2 / beta * rng.standard_normal((n, 2)), reference, beta
