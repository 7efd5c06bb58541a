"""Measuring in turns, so that what a shared machine does meanwhile happens to everybody."""

import time
from collections.abc import Callable, Mapping

PAUSE = 0.05  # seconds in which the threads of whoever had the turn before fall asleep
LONGEST = 1.0  # seconds after which a large or a slow model has shown its pace

Samplers = Mapping[str, Callable[[], float]]


def take_turns(samplers: Samplers, repetitions: int) -> dict[str, list[float]]:
    """Samples by column: each sampler once, then each again. They warm themselves up.

    >>> numbers = iter(range(4))
    >>> take_turns({"ours": lambda: next(numbers), "limit": lambda: next(numbers)}, 2)
    {'ours': [0, 2], 'limit': [1, 3]}
    """
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    for _ in range(repetitions):
        for name, sample in samplers.items():
            time.sleep(PAUSE)
            samples[name].append(sample())
    return samples


def seconds_for(work: Callable[[], object], at_least: float = 0.0) -> float:
    """Seconds that ``work`` takes, the mean of as many calls as fill ``at_least`` seconds."""
    calls, start = 0, time.perf_counter()
    while True:
        work()
        calls += 1
        if (taken := time.perf_counter() - start) >= at_least:
            return taken / calls


def pace(step: Callable[[], object], warm_up: int, n: int) -> float:
    """Steps a second: of the ``n`` behind the first ``warm_up``, or of those that come in time."""
    for _ in range(warm_up):
        step()
    start, taken, done = time.perf_counter(), 0.0, 0
    while done < n and taken < LONGEST:
        step()
        done, taken = done + 1, time.perf_counter() - start
    return done / taken
