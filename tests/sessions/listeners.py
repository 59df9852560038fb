"""Those who listen to sessions' events: by REST pages, and by the real feeds to a pretended socket.

Each holds what it is told to the promise of I3: the log from its cursor on, without a hole, in
order, nothing twice; or it was told that this could not be.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from auth.principal import Principal, Scope
from gateway.broadcast import Broadcast
from gateway.commands import Subscribed
from gateway.connections import Connection, RealtimeLimits, TokenBucket
from gateway.feed import Feed
from gateway.feeds import Feeds
from gateway.offsets import Step
from gateway.session_state import FeedKey
from sessions.bus_memory import MemoryBus
from sessions.errors import SessionsError, UnrecoverablePosition
from sessions.ids import Cursor, SessionId, SessionName, TenantId
from sessions.manager import SessionManager
from tests.sessions.virtual_time import VirtualClock

TENANT = TenantId("acme")
_END = datetime(2100, 1, 1, tzinfo=UTC)
_JOIN_SECONDS = 20


class WeakBus(MemoryBus):
    """A bus that loses payloads or is late with them, as a bus may; never the order."""

    def __init__(self) -> None:
        super().__init__(buffer_size=50)
        self.losing = 0
        """So many of the next payloads are lost."""
        self.delay_seconds = 0.0
        self._last_at = 0.0

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a payload on, later, or never."""
        if self.losing:
            self.losing -= 1
            return
        loop = asyncio.get_running_loop()
        at = max(loop.time() + self.delay_seconds, self._last_at)
        if at <= loop.time():
            await super().publish(topic, payload)
            return
        self._last_at = at
        loop.call_at(at, self.deliver, topic, payload)


class Page:
    """A reader of one session by REST: it reads pages, and goes on from its cursor."""

    def __init__(self, session: SessionId) -> None:
        self.session = session
        self.cursor: str | None = None
        self.told_gaps = 0
        self.violations: list[str] = []
        self._reading = asyncio.Lock()

    async def read(self, manager: SessionManager, *, limit: int = 7) -> None:
        """Read to the end of the log."""
        async with self._reading:
            await self._read(manager, limit)

    async def _read(self, manager: SessionManager, limit: int) -> None:
        while True:
            try:
                page = await manager.events(TENANT, self.session, after=self.cursor, limit=limit)
            except UnrecoverablePosition as gap:
                self.told_gaps += 1
                self.cursor = gap.oldest
                continue
            for event in page.items:
                self._check(event.seq or 0)
                self.cursor = event.cursor
            if not page.items:
                return

    def _check(self, seq: int) -> None:
        if self.cursor is not None and seq != Cursor.parse(self.cursor).seq + 1:
            self.violations.append(f"I3 (REST): {seq} came behind {self.cursor}")


class Listener:
    """A client of the real-time edge that follows one session and resumes by cursor."""

    def __init__(self, number: int, session: SessionId, name: SessionName) -> None:
        self.key = FeedKey(TENANT, session, name)
        self.number = number
        self.connected = False
        self.cursor: str | None = None
        self.heard: dict[int, str] = {}
        """The ids of its durable events, by number."""
        self.told_gaps = 0
        self.violations: list[str] = []
        self.joining = asyncio.Lock()
        self._life = 0

    @property
    def sid(self) -> str:
        """The name of its present connection."""
        return f"{self.key.session}/{self.number}/{self._life}"

    def take(self, name: str, payload: Mapping[str, Any]) -> None:
        """Hear an event."""
        if name == "unsubscribed":
            self.connected = False
        if "seq" not in payload:
            return
        seq, cursor = payload["seq"], Cursor.parse(payload["cursor"])
        expected = None if self.cursor is None else Cursor.parse(self.cursor)
        if expected is None or (cursor.log_id, seq) != (expected.log_id, expected.seq + 1):
            self.violations.append(f"I3: {seq} came behind {self.cursor}")
        self.cursor = payload["cursor"]
        self.heard[seq] = payload["id"]

    async def reply(self, answer: Subscribed) -> None:
        """Hear the answer to the subscription: where the events begin."""
        if not answer.recovered:
            self.told_gaps += self.cursor is not None
            self.cursor = answer.cursor

    def gone(self) -> None:
        """Lose the connection."""
        self.connected = False
        self._life += 1


class Door(Broadcast):
    """The edge without its sockets: the real feeds, and listeners in their rooms."""

    def __init__(self, manager: SessionManager, bus: WeakBus, clock: VirtualClock) -> None:
        self._manager = manager
        self._bus = bus
        self._clock = clock
        self._inside: dict[str, tuple[Listener, Connection]] = {}
        self._rooms: dict[str, list[str]] = {}
        self.feeds = Feeds(self._make_feed, poll_seconds=RealtimeLimits().poll_seconds)

    async def connect(self, listener: Listener) -> None:
        """Let a listener in by its cursor; it stays outside when that fails, and may try again."""
        async with listener.joining:
            if not listener.connected:
                await self.hang_up(listener.sid)
                await self._admit(listener)

    async def _admit(self, listener: Listener) -> None:
        connection = Connection(listener.sid, _PRINCIPAL, TokenBucket(per_second=1, burst=1, now=0))
        self._inside[listener.sid] = listener, connection
        try:
            async with asyncio.timeout(_JOIN_SECONDS), self.feeds.hold(listener.key) as feed:
                await feed.join(connection, listener.cursor, listener.reply)
                # The session may have been deleted meanwhile, which is told behind the answer.
                following = listener.key.session in connection.subscriptions
                listener.connected = following and connection.sid in self._inside
        except (SessionsError, TimeoutError):
            await self.hang_up(connection.sid)

    async def to_room(
        self, room: str, event: str, payload: Mapping[str, Any], step: Step | None = None
    ) -> None:
        """Tell everyone in a room."""
        for sid in list(self._rooms.get(room, ())):
            await self.to_client(sid, event, payload, step)

    async def to_client(
        self, sid: str, event: str, payload: Mapping[str, Any], step: Step | None = None
    ) -> None:
        """Tell one."""
        if sid in self._inside:
            self._inside[sid][0].take(event, payload)

    async def drained(self, sid: str) -> None:
        """Find that it has read everything."""

    async def enter(self, sid: str, room: str) -> None:
        """Put into a room."""
        self._rooms.setdefault(room, []).append(sid)

    async def leave(self, sid: str, room: str) -> None:
        """Take out of a room."""
        with contextlib.suppress(ValueError):
            self._rooms.get(room, []).remove(sid)

    async def hang_up(self, sid: str) -> None:
        """End a listener's connection, as the server or the network does."""
        if sid not in self._inside:
            return
        listener, connection = self._inside.pop(sid)
        listener.gone()
        connection.closed = True
        self.feeds.forget(connection)
        for room in self._rooms.values():
            if sid in room:
                room.remove(sid)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the feeds; at the end everyone is outside."""
        task = asyncio.create_task(self.feeds.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            for sid in list(self._inside):
                await self.hang_up(sid)

    def _make_feed(self, key: FeedKey, on_end: Callable[[Feed], None]) -> Feed:
        return Feed(
            key,
            sessions=self._manager,
            bus=self._bus,
            broadcast=self,
            clock=self._clock,
            replayed_events_max=40,
            on_end=on_end,
        )


_PRINCIPAL = Principal(
    subject="frontend",
    tenant=TENANT,
    scopes=frozenset({Scope.SESSIONS_READ}),
    sessions=None,
    expires_at=_END,
    token_id=None,
)
