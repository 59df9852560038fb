"""The bus between replicas: Redis pub/sub, and this process's own subscribers without it.

What this process publishes reaches its own subscribers directly, so losing Redis costs the other
replicas the wake-up and nobody an event: they read the log. Three tasks in `run`: one sends what
waits, one proves by heartbeats that what is sent comes back, one listens (`bus_redis_listener`).
"""

import asyncio
import itertools
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from sessions.bus_memory import MemoryBus
from sessions.bus_redis_listener import Listener
from sessions.redis_calls import FAILURES, within

SEND_SECONDS = 2.0
PIPELINE_LIMIT = 200
WAITING_LIMIT = 10_000

_log = logging.getLogger(__name__)


class RedisBus:
    """A `Bus` over Redis pub/sub; `run` must be running for other processes to be reached.

    Args:
        redis: a client of the caller's, who closes it.
        prefix: what every channel's name begins with; replicas of one deployment share it.
        buffer_size: how many payloads wait per subscriber.
        heartbeat_seconds: how often this process writes to itself.
        silence_seconds: after so long without hearing anything the connection counts as dead.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        prefix: str = "wagate:bus:",
        buffer_size: int = 1000,
        heartbeat_seconds: float = 4.0,
        silence_seconds: float = 12.0,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._local = MemoryBus(buffer_size=buffer_size)
        self._origin = os.urandom(8).hex().encode()
        self._heartbeat_topic = f"heartbeat.{self._origin.decode()}"
        self._heartbeat_seconds = heartbeat_seconds
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=WAITING_LIMIT)
        self._has_waiting = asyncio.Event()
        self._sends_fail = False
        self._listener = Listener(
            redis, wanted=self._channels, hear=self._hear, silence_seconds=silence_seconds
        )

    async def run(self) -> None:
        """Carry payloads to and from Redis until cancelled, whatever Redis does."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listener.run())
            tasks.create_task(self._send_waiting())
            tasks.create_task(self._beat())

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a payload to every present subscriber here, and put it in line for the others."""
        self._local.deliver(topic, payload)
        self._put(topic, payload)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Receive a topic's payloads; entering waits for Redis, but not long."""
        try:
            async with self._local.subscribe(topic) as payloads:
                self._listener.look_again()
                await self._listener.wait_subscribed(self._prefix + topic)
                yield payloads
        finally:
            self._listener.look_again()

    @property
    def connected(self) -> bool:
        """Whether other replicas are heard now."""
        return self._listener.connected

    def _channels(self) -> frozenset[str]:
        topics = itertools.chain(self._local.topics, (self._heartbeat_topic,))
        return frozenset(self._prefix + topic for topic in topics)

    def _hear(self, channel: str, message: bytes) -> None:
        origin, payload = message[: len(self._origin)], message[len(self._origin) :]
        if origin != self._origin:
            self._local.deliver(channel.removeprefix(self._prefix), payload)

    def _put(self, topic: str, payload: bytes) -> None:
        self._waiting.append((self._prefix + topic, self._origin + payload))
        self._has_waiting.set()

    async def _beat(self) -> None:
        while True:
            self._put(self._heartbeat_topic, b"")
            await asyncio.sleep(self._heartbeat_seconds)

    async def _send_waiting(self) -> None:
        while True:
            await self._has_waiting.wait()
            self._has_waiting.clear()
            while self._waiting:
                await self._send_some()

    async def _send_some(self) -> None:
        count = min(len(self._waiting), PIPELINE_LIMIT)
        batch = [self._waiting.popleft() for _ in range(count)]
        try:
            async with (
                within(SEND_SECONDS),
                self._redis.pipeline(transaction=False) as pipeline,
            ):
                for channel, message in batch:
                    pipeline.publish(channel, message)
                await pipeline.execute()
        except FAILURES as error:
            # Not again: it may have arrived, and the bus promises at most once.
            self._report(error)
            await asyncio.sleep(0.5)
        else:
            self._report(None)

    def _report(self, error: Exception | None) -> None:
        if error is not None and not self._sends_fail:
            _log.warning("Redis takes no events; other replicas read the log: %r", error)
        if error is None and self._sends_fail:
            _log.info("Redis takes events again")
        self._sends_fail = error is not None
