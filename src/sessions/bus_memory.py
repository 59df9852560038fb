"""The bus of a single process: one bounded buffer per subscriber."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Subscription(AsyncIterator[bytes]):
    """What one subscriber has not taken yet; when full, the oldest payload makes room."""

    def __init__(self, buffer_size: int) -> None:
        self._payloads: deque[bytes] = deque(maxlen=buffer_size)
        self._changed = asyncio.Event()
        self._closed = False

    def offer(self, payload: bytes) -> None:
        """Add a payload; never waits."""
        self._payloads.append(payload)
        self._changed.set()

    def close(self) -> None:
        """Drop what is left and end the iteration, also for whoever waits in it."""
        self._closed = True
        self._payloads.clear()
        self._changed.set()

    async def __anext__(self) -> bytes:
        while not self._payloads:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._payloads.popleft()


class MemoryBus:
    """A `Bus` within this process and event loop; `buffer_size` payloads wait per subscriber."""

    def __init__(self, *, buffer_size: int = 1000) -> None:
        self._buffer_size = buffer_size
        self._subscriptions: dict[str, list[Subscription]] = {}

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a payload to every present subscriber."""
        self.deliver(topic, payload)

    def deliver(self, topic: str, payload: bytes) -> None:
        """Do what `publish` does, for callers that can't await."""
        for subscription in self._subscriptions.get(topic, ()):
            subscription.offer(payload)

    @property
    def topics(self) -> frozenset[str]:
        """The topics that have a subscriber now."""
        return frozenset(self._subscriptions)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Receive a topic's payloads from the moment the block is entered until it is left."""
        subscription = Subscription(self._buffer_size)
        self._subscriptions.setdefault(topic, []).append(subscription)
        try:
            yield subscription
        finally:
            subscription.close()
            self._remove(topic, subscription)

    def _remove(self, topic: str, subscription: Subscription) -> None:
        remaining = [other for other in self._subscriptions[topic] if other is not subscription]
        if remaining:
            self._subscriptions[topic] = remaining
        else:
            del self._subscriptions[topic]
