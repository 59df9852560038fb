"""An event loop whose clock jumps to the next timer when nothing else is to do: hours cost nothing.

Everything must run on the loop's own thread: a loop that waits for a thread would see no timer
between it and its next one, and jump.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
_START = datetime(2026, 1, 1, tzinfo=UTC)
_OPEN_END = float("inf")


class Standstill(AssertionError):
    """Nothing is ready and no timer runs: whoever waits would wait for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait for a time-out, but moves the clock by it."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Standstill
        self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own, in seconds since it was made."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds that have passed here."""
        return self._jumping.now

    def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until this is done."""
        return self.run_until_complete(work)


class VirtualClock:
    """The domain's clock, on a loop's time."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """Return the moment, in whole milliseconds."""
        return _START + timedelta(milliseconds=int(self._loop.time() * 1000))

    def monotonic(self) -> float:
        """Return the loop's seconds."""
        return self._loop.time()


async def ticks(count: int) -> None:
    """Let everything that is ready take so many steps, in no time."""
    for _ in range(count):
        await asyncio.sleep(0)
