"""The port that carries what just happened to whoever listens now."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sessions.events import EVERYTHING, SessionEvent, topic


class Bus(Protocol):
    """Carries bytes by topic: at most once, in order per publisher and topic, never the only copy.

    What must not be lost is in the event log; a listener that sees a jump in `seq` reads it there.
    """

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a payload to every present subscriber. Never waits for them, never raises for them.

        A subscriber that lags more than its buffer loses the oldest payloads.
        """
        ...

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Receive a topic's payloads from the moment the block is entered until it is left."""
        ...


async def announce(bus: Bus, event: SessionEvent) -> None:
    """Tell an event to whoever listens to its session, or to every session."""
    payload = event.model_dump_json().encode()
    await bus.publish(topic(event.session), payload)
    await bus.publish(EVERYTHING, payload)
