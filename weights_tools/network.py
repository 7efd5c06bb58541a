"""What a server sends, held to the size that was announced and to some speed.

``huggingface_hub`` limits how long the next byte may take. A byte now and then keeps it waiting for
ever, and whatever comes is written or kept in memory, however much it is.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PERIOD = 60.0  # seconds after which the speed is looked at
SLOWEST = 1000  # bytes a second: a seventh of what a 56k modem brought
TRIES = 10  # how often the same may begin anew
WORDS = 1 << 20  # bytes in which a server may say why it sends no file


class Refused(ValueError):
    """Why no more of an answer is read."""


class Meter:
    """Watches the answers to the requests of one client. Call ``expect`` before each of them."""

    def __init__(self, get_session):
        self.get_session = get_session

    def expect(self, name: str, n_bytes: int) -> None:
        """What is asked for next, and how long it is at most. Unpacked, that is."""
        self.name, self.n_bytes = name, n_bytes
        self.total, self.lately, self.since = 0, 0, time.monotonic()
        hooks = self.get_session().event_hooks["response"]  # a client may be a new one by now
        if self.watch not in hooks:
            hooks.append(self.watch)

    def watch(self, response: Any) -> None:
        """Read this response piece by piece, as the pieces come."""
        pieces = response.iter_bytes
        response.iter_bytes = lambda chunk_size=None: self.count(pieces())

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        received = 0
        for piece in pieces:
            received += len(piece)
            self.total += len(piece)
            self.lately += len(piece)
            if received > max(self.n_bytes, WORDS):
                raise Refused(
                    f"{self.name} should have {self.n_bytes} bytes, its server sends more"
                )
            if self.total > TRIES * max(self.n_bytes, WORDS):
                raise Refused(f"{self.name} is cut off again and again; try later")
            if (passed := time.monotonic() - self.since) > PERIOD:
                if self.lately < SLOWEST * passed:
                    raise Refused(
                        f"{self.name} comes too slowly, {self.lately} bytes in {passed:.0f} "
                        "seconds; try later"
                    )
                self.lately, self.since = 0, time.monotonic()
            yield piece


@contextmanager
def metered(get_session) -> Iterator[Meter]:
    """A meter on the client that ``get_session`` returns, taken off again afterwards."""
    meter = Meter(get_session)
    try:
        yield meter
    finally:
        hooks = get_session().event_hooks["response"]
        if meter.watch in hooks:
            hooks.remove(meter.watch)
