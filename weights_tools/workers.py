"""Work on all cores: the one place where threads are made.

NumPy and BLAS let other threads run while they compute, so plain threads share the work. BLAS is
then held to one thread of its own for each of ours: with more they would wait for one another. The
libraries for it are imported when they are first needed: a small model never does.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator

_local = threading.local()


@functools.cache
def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _pool():
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max(1, n_cores() - 1), thread_name_prefix="llama_np")


@functools.cache
def _libraries():
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_blas_thread():
    """A context in which BLAS computes with one thread; it may be entered again inside."""
    return _libraries().limit(limits=1, user_api="blas")


def share(work: Callable[[Iterator], None], items: Iterable) -> None:
    """Let every core call ``work`` with the same iterator, until it is used up.

    Whoever is free takes the next item: taking one from a ``range`` is a single step that no other
    thread can interrupt. The caller works too. Inside a worker, the worker does all of it alone.
    What ``work`` raises is raised here.
    """
    items = iter(items)
    if getattr(_local, "working", False) or n_cores() == 1:
        return work(items)

    def as_worker() -> None:
        _local.working = True
        try:
            work(items)
        finally:
            _local.working = False

    with one_blas_thread():
        others = [_pool().submit(as_worker) for _ in range(n_cores() - 1)]
        as_worker()
        for other in others:
            other.result()


def each(function: Callable, items: Iterable) -> list:
    """[function(item) for item in items], on all cores; the results in the order of the items."""
    items = list(items)
    results = [None] * len(items)

    def work(numbers: Iterator[int]) -> None:
        for i in numbers:
            results[i] = function(items[i])

    share(work, range(len(items)))
    return results
