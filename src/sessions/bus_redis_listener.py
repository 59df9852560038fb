"""The listening side of the Redis bus: one connection, all channels, dead when it is silent.

redis-py's own pub/sub waits for ever on a half-open connection and hides that it connected again.
Here a reader and a writer share one connection; the first failure of either ends both, and the next
connection subscribes to everything anew.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Set
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from sessions.redis_calls import FAILURES, within

CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 2.0
CHANNELS_PER_COMMAND = 500
BACK_OFF_MOST_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Listener:
    """Keeps a connection subscribed to what is wanted, and hands on what it hears.

    Args:
        redis: whose pool gives the connection.
        wanted: returns the channels to listen to now; asked again after `look_again`.
        hear: called with each message's channel and bytes; must not block.
        silence_seconds: without anything heard for so long, the connection is given up.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        wanted: Callable[[], Set[str]],
        hear: Callable[[str, bytes], None],
        silence_seconds: float,
    ) -> None:
        self._pool = redis.connection_pool
        self._wanted = wanted
        self._hear = hear
        self._silence_seconds = silence_seconds
        self._changed = asyncio.Event()
        self._subscribed: set[str] = set()
        self._progress = asyncio.Condition()
        self._failures = 0

    @property
    def connected(self) -> bool:
        """Whether a connection listens now."""
        return bool(self._subscribed)

    def look_again(self) -> None:
        """Tell that other channels are wanted."""
        self._changed.set()

    async def wait_subscribed(self, channel: str) -> None:
        """Wait for Redis to confirm a channel; returns all the same when Redis does not answer."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS), self._progress:
                await self._progress.wait_for(lambda: channel in self._subscribed or self._failures)
        except TimeoutError:
            _log.warning("Redis did not confirm a subscription; the log repairs what is missed")

    async def run(self) -> None:
        """Listen until cancelled, on one connection after the other."""
        while True:
            try:
                await self._listen()
            except FAILURES as error:
                await self._lost(error)
            ceiling = min(BACK_OFF_MOST_SECONDS, 0.1 * 2**self._failures)
            await asyncio.sleep(random.uniform(ceiling / 2, ceiling))  # noqa: S311 - jitter

    async def _lost(self, error: Exception) -> None:
        if self._failures == 0:
            _log.warning("other replicas are not heard; reconnecting: %r", error)
        self._failures = min(self._failures + 1, 10)
        async with self._progress:
            self._progress.notify_all()

    async def _listen(self) -> None:
        async with within(CONNECT_SECONDS):
            # redis-py left this one method without annotations.
            connection: AbstractConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        sides = (self._write(connection), self._read(connection))
        # No task group: in Python 3.11 it swallows a cancellation that meets a side's failure.
        tasks = [asyncio.create_task(side) for side in sides]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._subscribed.clear()
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _write(self, connection: AbstractConnection) -> None:
        asked: Set[str] = frozenset()
        while True:
            self._changed.clear()
            wanted = frozenset(self._wanted())
            await self._command(connection, "UNSUBSCRIBE", asked - wanted)
            await self._command(connection, "SUBSCRIBE", wanted - asked)
            asked = wanted
            await self._changed.wait()

    async def _command(self, connection: AbstractConnection, name: str, names: Set[str]) -> None:
        channels = list(names)
        for start in range(0, len(channels), CHANNELS_PER_COMMAND):
            some = channels[start : start + CHANNELS_PER_COMMAND]
            async with within(COMMAND_SECONDS):
                await connection.send_command(name, *some, check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            answer = await connection.read_response(
                disable_decoding=True,
                timeout=self._silence_seconds,
                disconnect_on_error=False,
                push_request=True,
            )
            if answer is None:
                raise TimeoutError(f"nothing heard for {self._silence_seconds} s")
            await self._take(answer)

    async def _take(self, answer: Any) -> None:
        match answer:
            case [b"message", bytes(channel), bytes(message)]:
                self._hear(channel.decode(), message)
            case [b"subscribe", bytes(channel), _]:
                await self._confirm(channel.decode())
            case [b"unsubscribe", bytes(channel), _]:
                self._subscribed.discard(channel.decode())

    async def _confirm(self, channel: str) -> None:
        if self._failures:
            _log.info("other replicas are heard again")
        async with self._progress:
            self._subscribed.add(channel)
            self._failures = 0
            self._progress.notify_all()
