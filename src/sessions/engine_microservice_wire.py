"""Signals on their way to a session's runner, and who waits until one of them is committed."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from sessions.errors import EngineUnavailable
from sessions.signals import FINAL, Signal

BATCH_LIMIT = 50
_WAITING_MOST = 1000

_CLOSED = "The session's connection has ended. Deliver it again in a few seconds."
_LATE = "It could not be recorded in time. Deliver it again in a few seconds."
_FULL = "Too much waits to be recorded in this session. Deliver it again in a few seconds."


@dataclass(eq=False)
class _Letter:
    signal: Signal
    committed: asyncio.Future[None] | None = None


class Wire:
    """Carries signals in order to one consumer; a final signal travels alone, and is the last."""

    def __init__(self) -> None:
        self._letters: deque[_Letter] = deque()
        self._taken: list[_Letter] = []
        self._changed = asyncio.Event()
        self._closed = False
        self._ended = False

    def tell(self, signal: Signal) -> None:
        """Put a signal behind the others; none follows a final one."""
        if self._closed or self._ended:
            return
        self._ended = isinstance(signal, FINAL)
        self._letters.append(_Letter(signal))
        self._changed.set()

    async def deliver(self, signal: Signal, *, timeout_seconds: float) -> None:
        """Put a signal behind the others and wait until it is committed.

        Raises:
            EngineUnavailable: it was not, so that it has to be delivered again; should it have been
                all the same, that is no harm.
        """
        if self._closed or self._ended:
            raise EngineUnavailable(_CLOSED)
        if len(self._letters) >= _WAITING_MOST:
            raise EngineUnavailable(_FULL)
        committed = asyncio.get_running_loop().create_future()
        letter = _Letter(signal, committed)
        self._letters.append(letter)
        self._changed.set()
        try:
            async with asyncio.timeout(timeout_seconds):
                await committed
        except TimeoutError:
            raise EngineUnavailable(_LATE) from None
        finally:
            # Who gave up delivers again: what nobody took meanwhile must not pile up.
            with contextlib.suppress(ValueError):
                self._letters.remove(letter)

    async def next_batch(self) -> Sequence[Signal]:
        """Wait for signals and take them; empty when the wire was closed."""
        while not self._closed:
            if self._letters:
                return self._take()
            self._changed.clear()
            await self._changed.wait()
        return []

    def acknowledge(self) -> None:
        """Tell who waits for the last batch that it is committed."""
        for letter in self._taken:
            if letter.committed is not None and not letter.committed.done():
                letter.committed.set_result(None)
        self._taken = []

    def close(self) -> None:
        """Hang up: a waiting consumer ends, and who waits for a commit is told that none came."""
        self._closed = True
        for letter in (*self._taken, *self._letters):
            if letter.committed is not None and not letter.committed.done():
                letter.committed.set_exception(EngineUnavailable(_CLOSED))
        self._taken = []
        self._letters.clear()
        self._changed.set()

    def _take(self) -> Sequence[Signal]:
        while self._letters and len(self._taken) < BATCH_LIMIT:
            if self._taken and isinstance(self._letters[0].signal, FINAL):
                break
            self._taken.append(self._letters.popleft())
        return [letter.signal for letter in self._taken]
