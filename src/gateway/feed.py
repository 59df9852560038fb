"""One session's events on their way to one room.

Model: a feed is a task that listens to the bus while its room has members, and a lock. Under the
lock the room is always at one position of the event log: all members have had everything up to it
and nothing behind it. A newcomer is brought near that position outside the lock, page by page and
at its own pace, and to exactly that position under it before it enters; so nobody needs a buffer,
nobody gets an event twice, and no slow reader holds up the others. Durable events that do not
follow the position are either repeats (dropped) or show that the bus lost some (read from the log).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from gateway.broadcast import Broadcast
from gateway.commands import Subscribed
from gateway.connections import Connection
from gateway.offsets import Step
from gateway.recovery import PAGE_EVENTS, LogReader, Missed, cursor_of
from gateway.session_state import (
    FeedKey,
    Sessions,
    SessionState,
    code_events,
    event_payload,
    read_qr,
    read_state,
)
from sessions.bus import Bus
from sessions.clock import Clock
from sessions.errors import SessionNotFound, SessionsError, Unavailable, UnrecoverablePosition
from sessions.events import EventType, SessionEvent, topic
from sessions.ids import Cursor

logger = logging.getLogger(__name__)
REPAIR_SECONDS = 10
_NOTHING = -1
"""In place of the number of codes that a client has seen: it has seen none."""


Reply = Callable[[Subscribed], Awaitable[None]]


class Feed:
    """Carries one session's events to its room. `on_end` is called when the session is gone."""

    def __init__(
        self,
        key: FeedKey,
        *,
        sessions: Sessions,
        bus: Bus,
        broadcast: Broadcast,
        clock: Clock,
        replayed_events_max: int,
        on_end: Callable[["Feed"], None],
    ) -> None:
        self.key = key
        self.members: set[str] = set()
        self._sessions = sessions
        self._bus = bus
        self._broadcast = broadcast
        self._clock = clock
        self._replayed_events_max = replayed_events_max
        self._on_end = on_end
        self._log = LogReader(sessions, key.tenant, key.session)
        self._lock = asyncio.Lock()
        self._listening = asyncio.Event()
        self._position: Cursor | None = None
        self._transients = 0
        self._ended = False

    async def run(self) -> None:
        """Listen until cancelled."""
        async with self._bus.subscribe(topic(self.key.session)) as payloads:
            self._listening.set()
            async for payload in payloads:
                await self._receive(payload)

    async def join(self, connection: Connection, after: str | None, reply: Reply) -> None:
        """Answer, replay what the client missed, and let it into the room, in this order.

        Raises:
            SessionNotFound: the session is gone.
            SessionsError: the log can't be read now. If the answer was sent, the connection ends.
        """
        seen, state, missed = await self._look(after)
        if after is not None:
            # It may ask again for what it has had: live events must not come in between.
            await self.leave(connection.sid)
        known = connection.sid in self.members
        step = None if known else Step(self.key.session, missed.start)
        await self._greet(connection, step, lambda: reply(state.answer(missed)))
        if not known:
            await self._bring_in(connection, missed, seen)

    async def restore(self, connection: Connection, cursor: Cursor) -> None:
        """Let a client go on behind `cursor`, without a word but what it missed.

        Raises:
            SessionsError: that is not possible (now). The connection ends.
        """
        try:
            _, _, missed = await self._look(str(cursor))
            if not missed.recovered:
                raise Unavailable
            await self._bring_in(connection, missed, seen=_NOTHING)
        except SessionsError:
            await self._broadcast.hang_up(connection.sid)
            raise

    async def leave(self, sid: str) -> None:
        """Take a client out of the room. Idempotent."""
        self.members.discard(sid)
        await self._broadcast.leave(sid, self.key.room)

    async def poll(self) -> None:
        """Bring the room to the head of the log, in case the bus lost the latest events."""
        async with self._lock:
            await self._repair()

    async def _look(self, after: str | None) -> tuple[int, SessionState, Missed]:
        """Return the state, what a client missed before it, and how many codes came before it."""
        await self._listening.wait()
        seen = self._transients
        state = await read_state(self._sessions, self.key)
        head = Cursor.parse(state.session.cursor)
        missed = await self._log.missed(after, head=head, limit=self._replayed_events_max)
        return seen, state, missed

    async def _greet(
        self, connection: Connection, step: Step | None, answer: Callable[[], Awaitable[None]]
    ) -> None:
        payload = {"sessionId": self.key.name}
        if connection.positions is None:
            await answer()
            await self._broadcast.to_client(connection.sid, "subscribed", payload, step)
            return
        # The event carries the position: a client that is cut off between the two must not take
        # itself for subscribed without it.
        await self._broadcast.to_client(connection.sid, "subscribed", payload, step)
        await answer()

    async def _bring_in(self, connection: Connection, missed: Missed, seen: int) -> None:
        position = missed.start
        try:
            if missed.count:
                position = await self._replay(connection, position)
            while not connection.closed:
                async with self._lock:
                    if await self._let_in(connection, position, seen):
                        return
                position = await self._replay(connection, position)
        except (SessionsError, asyncio.CancelledError):
            # It was told that everything would follow.
            await self._broadcast.hang_up(connection.sid)
            raise

    async def _replay(self, connection: Connection, position: Cursor) -> Cursor:
        """Tell a client what follows, no faster than it reads; return where that ends."""
        while not connection.closed:
            events = await self._log.page(position)
            for event in events:
                position = cursor_of(event)
                await self._tell(connection.sid, event)
                await self._broadcast.drained(connection.sid)
            if len(events) < PAGE_EVENTS:
                break
        return position

    async def _let_in(self, connection: Connection, position: Cursor, seen: int) -> bool:
        """Bring a newcomer to the room's position and into it; False if that is far by now."""
        if self._position is not None and _behind(self._position, position):
            await self._repair()
        if self._ended:
            await self._dismiss(connection.sid)
            return True
        tail = await self._tail(position)
        if len(tail) >= PAGE_EVENTS:
            return False
        for event in tail:
            position = cursor_of(event)
            await self._tell(connection.sid, event)
        if self._position is None:
            self._position = position
        if seen != self._transients:
            await self._show_code(connection.sid)
        if not connection.closed:
            connection.subscriptions.add(self.key.session)
            self.members.add(connection.sid)
            await self._broadcast.enter(connection.sid, self.key.room)
        return True

    async def _tail(self, position: Cursor) -> list[SessionEvent]:
        """Return what the room has had behind a position; of an empty room, what the log has."""
        if self._position is None:
            return await self._log.page(position)
        if _behind(self._position, position):
            raise Unavailable
        if not _behind(position, self._position):
            return []
        distance = self._position.seq - position.seq
        return await self._log.page(position, limit=min(distance, PAGE_EVENTS))

    async def _receive(self, payload: bytes) -> None:
        try:
            event = SessionEvent.model_validate_json(payload)
        except ValidationError:
            # From a newer replica, perhaps. A durable event comes again from the log.
            logger.warning("an event on the bus can't be read", extra={"session": self.key.session})
            return
        async with self._lock:
            if event.type is EventType.SESSION_DELETED:
                await self._end()
            elif event.seq is None:
                self._transients += 1
                await self._emit(event)
            else:
                await self._advance(event)

    async def _advance(self, event: SessionEvent) -> None:
        if self._position is None:
            return
        cursor = cursor_of(event)
        if cursor == Cursor(self._position.log_id, self._position.seq + 1):
            self._position = cursor
            await self._emit(event)
        elif cursor.log_id != self._position.log_id or cursor.seq > self._position.seq:
            await self._repair()

    async def _repair(self) -> None:
        """Emit from the log what the room has not had."""
        while self._position is not None:
            events = await self._unseen(self._position)
            for event in events:
                self._position = cursor_of(event)
                await self._emit(event)
            if len(events) < PAGE_EVENTS:
                return

    async def _unseen(self, position: Cursor) -> list[SessionEvent]:
        try:
            async with asyncio.timeout(REPAIR_SECONDS):
                return await self._log.page(position)
        except SessionNotFound:
            await self._end()
        except UnrecoverablePosition:
            await self._lose()
        except (SessionsError, TimeoutError) as error:
            logger.warning("a room can't be repaired now: %s", type(error).__name__)
        return []

    async def _emit(self, event: SessionEvent) -> None:
        step = None if event.seq is None else Step(self.key.session, cursor_of(event))
        await self._broadcast.to_room(self.key.room, event.type, event_payload(event), step)

    async def _tell(self, sid: str, event: SessionEvent) -> None:
        step = Step(self.key.session, cursor_of(event))
        await self._broadcast.to_client(sid, event.type, event_payload(event), step)

    async def _show_code(self, sid: str) -> None:
        """Show a client the code that came while it was on its way in."""
        qr = await read_qr(self._sessions, self.key)
        for event in code_events(self.key, qr, self._clock.now()):
            await self._broadcast.to_client(sid, event.type, event_payload(event))

    async def _lose(self) -> None:
        """Let the members connect again: their position is gone, and subscribing tells them so."""
        self._position = None
        for sid in list(self.members):
            await self._broadcast.hang_up(sid)

    async def _end(self) -> None:
        """Send the members away: the session was deleted."""
        self._ended = True
        for sid in list(self.members):
            await self._dismiss(sid)
        self._on_end(self)

    async def _dismiss(self, sid: str) -> None:
        payload: dict[str, Any] = {"sessionId": self.key.name, "reason": "deleted"}
        await self._broadcast.to_client(sid, "unsubscribed", payload, Step(self.key.session, None))
        await self.leave(sid)


def _behind(one: Cursor, other: Cursor) -> bool:
    return one.log_id == other.log_id and one.seq < other.seq
