"""Keeps calls into the Go library apart from its starts and stops.

The library keeps its clients in plain Go maps: a call that reads one while a start or stop writes
it ends the process ("concurrent map read and map write"). Calls may last for a minute (a send waits
for WhatsApp), but read the map only as they begin; so a change waits for young calls, not for old
ones, and new calls wait for the change.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SETTLED_SECONDS = 0.5


class Gate:
    """Many calls at once, or one change."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._changing = False
        self._calls: dict[object, float] = {}

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Hold changes off while a call enters the library."""
        token = object()
        with self._condition:
            self._condition.wait_for(lambda: not self._changing)
            self._calls[token] = time.monotonic()
        try:
            yield
        finally:
            with self._condition:
                del self._calls[token]
                self._condition.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be alone in the library's maps, but for calls that have long read them."""
        with self._condition:
            self._condition.wait_for(lambda: not self._changing)
            self._changing = True
            while (wait := self._seconds_until_settled()) > 0:
                self._condition.wait(wait)
        try:
            yield
        finally:
            with self._condition:
                self._changing = False
                self._condition.notify_all()

    def _seconds_until_settled(self) -> float:
        youngest = max(self._calls.values(), default=0.0)
        return youngest + SETTLED_SECONDS - time.monotonic()


class InFlight:
    """Counts what is under way, so that an end can wait for it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one for the duration of the block."""
        with self._condition:
            self._count += 1
        try:
            yield
        finally:
            with self._condition:
                self._count -= 1
                self._condition.notify_all()

    def wait_for_none(self, seconds: float) -> None:
        """Wait until nothing is under way, at most so long."""
        with self._condition:
            self._condition.wait_for(lambda: not self._count, seconds)
