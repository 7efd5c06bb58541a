"""Plausible misconceptions, one file a lesson: each is a function that runs, and is wrong.

The tests put them in the place of the right ones, and the suite must notice. The exercises know
them by their results, and tell a learner which one it is, why it is wrong, and where to read again.
"""

from . import (  # noqa: F401  each enters its own into the list
    lesson_00,
    lesson_01,
    lesson_02,
    lesson_03,
    lesson_04,
    lesson_05,
    lesson_06,
    lesson_07,
    lesson_08,
    lesson_09,
    lesson_10,
    lesson_11,
    lesson_12,
    lesson_13,
    lesson_14,
    lesson_15,
    lesson_16,
    lesson_17,
    lesson_18,
    lesson_19,
)  # fmt: skip
from .registry import MISCONCEPTIONS, Misconception, known_for

__all__ = ["MISCONCEPTIONS", "Misconception", "known_for"]
