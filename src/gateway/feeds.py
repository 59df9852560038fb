"""Which feeds run: one per session that has members here, from its first member to its last."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.connections import Connection
from gateway.feed import Feed
from gateway.session_state import FeedKey
from sessions.errors import Unavailable
from sessions.ids import SessionId

MakeFeed = Callable[[FeedKey, Callable[[Feed], None]], Feed]


class Feeds:
    """The running feeds, and who is a member of which. `run` hosts their tasks."""

    def __init__(self, make: MakeFeed, *, poll_seconds: float) -> None:
        self._make = make
        self._poll_seconds = poll_seconds
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[SessionId, tuple[Feed, asyncio.Task[None]]] = {}
        self._joining: dict[SessionId, int] = {}

    async def run(self) -> None:
        """Serve until cancelled; there are no feeds before and after."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._poll_forever()
        finally:
            self._tasks = None
            self._running.clear()

    @asynccontextmanager
    async def hold(self, key: FeedKey) -> AsyncIterator[Feed]:
        """Keep a session's feed running for the block, and on for as long as it has members.

        Raises:
            Unavailable: the server is starting or stopping.
        """
        feed = self._start(key)
        self._joining[key.session] = self._joining.get(key.session, 0) + 1
        try:
            yield feed
        finally:
            self._joining[key.session] -= 1
            if not self._joining[key.session]:
                del self._joining[key.session]
            self._stop_if_unused(feed)

    def of(self, connection: Connection) -> list[Feed]:
        """Return the feeds that a connection is a member of."""
        found = (self._running.get(session) for session in connection.subscriptions)
        return [entry[0] for entry in found if entry and connection.sid in entry[0].members]

    async def leave(self, connection: Connection, feed: Feed) -> None:
        """End a connection's membership. Idempotent."""
        connection.subscriptions.discard(feed.key.session)
        await feed.leave(connection.sid)
        self._stop_if_unused(feed)

    def forget(self, connection: Connection) -> None:
        """End all memberships of a connection that is gone: the library empties its rooms."""
        for feed in self.of(connection):
            feed.members.discard(connection.sid)
            self._stop_if_unused(feed)
        connection.subscriptions.clear()

    def _start(self, key: FeedKey) -> Feed:
        if entry := self._running.get(key.session):
            return entry[0]
        if self._tasks is None:
            raise Unavailable
        feed = self._make(key, self._stop)
        self._running[key.session] = (feed, self._tasks.create_task(feed.run()))
        return feed

    def _stop_if_unused(self, feed: Feed) -> None:
        if not feed.members and feed.key.session not in self._joining:
            self._stop(feed)

    def _stop(self, feed: Feed) -> None:
        entry = self._running.get(feed.key.session)
        if entry is not None and entry[0] is feed:
            del self._running[feed.key.session]
            entry[1].cancel()

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            for feed, _ in list(self._running.values()):
                await feed.poll()
