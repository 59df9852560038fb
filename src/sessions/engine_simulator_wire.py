"""The simulator's wire: signals on their way to one consumer, and the steps that are due in time.

No task and no timer: `advance` takes the steps that are due, and everyone who looks calls it first.
So the consumer of the signals, senders and whoever holds the phone see one and the same order.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable

from sessions.engine_simulator_phone import Letter, SimulatedPhone
from sessions.signals import FINAL, Signal

BATCH_LIMIT = 50


class Wire:
    """Carries letters in order; what is not acknowledged goes back to the phone's mailbox."""

    def __init__(self, phone: SimulatedPhone) -> None:
        self._phone = phone
        self._clock = phone.clock
        self._steps: list[tuple[float, int, Callable[[], None]]] = []
        self._step_count = 0
        self._letters: deque[Letter] = deque()
        self._unacknowledged: list[Letter] = []
        self._changed = asyncio.Event()
        self._closed = False
        self.flowing = False
        """Whether the mailbox's letters come through."""
        self.held_until = 0.0
        """Nothing comes through before this monotonic moment."""
        phone.on_post = self._changed.set

    def close(self) -> None:
        """Hang up: the mailbox gets back what was not acknowledged, and a waiting reader ends."""
        self._phone.on_post = lambda: None
        self._phone.put_back([*self._unacknowledged, *self._letters])
        self.drop()
        self._closed = True
        self._changed.set()

    def drop(self) -> None:
        """Forget everything that is on its way and every step."""
        self._unacknowledged = []
        self._letters.clear()
        self.cancel_steps()

    def after(self, seconds: float, step: Callable[[], None]) -> None:
        """Take a step in so many seconds; steps due at the same moment keep their order."""
        self._step_count += 1
        heapq.heappush(self._steps, (self._clock.monotonic() + seconds, self._step_count, step))
        self._changed.set()

    def cancel_steps(self) -> None:
        """Take none of the steps that are not due yet."""
        self._steps.clear()

    def seconds_to_last_step(self) -> float:
        """Return when the last step will have been taken, 0 if there is none."""
        last = max((due for due, _, _ in self._steps), default=0.0)
        return max(0.0, last - self._clock.monotonic())

    def advance(self) -> None:
        """Take every step that is due."""
        while self._steps and self._steps[0][0] <= self._clock.monotonic():
            _, _, step = heapq.heappop(self._steps)
            step()

    def tell(self, signal: Signal) -> None:
        """Put a signal of the connection behind what already came for the device."""
        self._collect()
        self._letters.append(self._phone.stamp(signal))
        self._changed.set()

    def acknowledge(self) -> None:
        """Let go of the last batch: it is never delivered again."""
        self._unacknowledged = []

    async def next_batch(self) -> list[Letter]:
        """Wait for letters and take them, up to a final signal; [] when the line was closed."""
        while not self._closed:
            self._changed.clear()
            self.advance()
            self._collect()
            if self._letters and self._clock.monotonic() >= self.held_until:
                return self._take()
            await self._wait()
        return []

    def _collect(self) -> None:
        now = self._clock.monotonic()
        while self.flowing and (due := self._phone.next_due()) is not None and due <= now:
            self._letters.append(self._phone.take())

    def _take(self) -> list[Letter]:
        while self._letters and len(self._unacknowledged) < BATCH_LIMIT:
            self._unacknowledged.append(self._letters.popleft())
            if isinstance(self._unacknowledged[-1].signal, FINAL):
                break
        return self._unacknowledged

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._seconds_to_next()):
                await self._changed.wait()
        except TimeoutError:
            return

    def _seconds_to_next(self) -> float | None:
        now = self._clock.monotonic()
        if self._letters:
            return max(0.0, self.held_until - now)
        due = self._phone.next_due() if self.flowing else None
        moments = [self._steps[0][0]] if self._steps else []
        if due is not None:
            moments.append(max(due, self.held_until))
        return max(0.0, min(moments) - now) if moments else None
