"""Work in a process of its own: clean memory, and nobody else's threads."""

import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work(*arguments)`` returns in a fresh process; it raises here what it raises there.

    Raises ``BrokenProcessPool`` where the process dies, as it does when memory runs out.
    """
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
    ) as pool:
        return pool.submit(work, *arguments).result()
