"""Connection state recovery: a client that was away for a moment goes on as if it had not been.

All or nothing: it follows again every session that its offset names, with every event that it
missed, or it is told `recovered: false` and subscribes anew.
"""

import asyncio
from datetime import timedelta

from auth.errors import AuthError
from auth.principal import Principal
from gateway.access import find
from gateway.broadcast import Broadcast
from gateway.connections import Connection, RealtimeLimits
from gateway.feeds import Feeds
from gateway.offsets import is_pid_of, read_offset
from gateway.recovery import LogReader
from gateway.session_state import FeedKey, Sessions
from gateway.socket_door import Recovery
from sessions.clock import Clock, to_ms
from sessions.errors import SessionsError
from sessions.ids import Cursor, SessionId

Plan = dict[FeedKey, Cursor]


class NotWhole(Exception):
    """Something that the client missed can't be had, or is too much, or too long ago."""


class Restoration:
    """Restores what clients followed before they were cut off, maybe by another server."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        feeds: Feeds,
        broadcast: Broadcast,
        clock: Clock,
        limits: RealtimeLimits,
    ) -> None:
        self._sessions = sessions
        self._feeds = feeds
        self._broadcast = broadcast
        self._clock = clock
        self._limits = limits

    async def plan(self, principal: Principal, asked: Recovery) -> Plan | None:
        """Return where a client goes on in each session, None if that would not be whole."""
        if not is_pid_of(principal, asked.pid):
            return None
        try:
            positions = read_offset(asked.offset)
            async with asyncio.timeout(self._limits.command_seconds):
                return await self._whole(principal, positions)
        except (ValueError, NotWhole, AuthError, SessionsError, TimeoutError):
            return None

    async def carry_out(self, connection: Connection, plan: Plan) -> None:
        """Tell a client what it missed, and let it follow on. If that fails its connection ends."""
        try:
            async with connection.turn, asyncio.timeout(self._limits.command_seconds):
                for key, cursor in plan.items():
                    async with self._feeds.hold(key) as feed:
                        await feed.restore(connection, cursor)
        except (SessionsError, TimeoutError):
            await self._broadcast.hang_up(connection.sid)

    async def _whole(self, principal: Principal, positions: dict[SessionId, Cursor]) -> Plan:
        if len(positions) > self._limits.subscriptions:
            raise NotWhole
        plan: Plan = {}
        left = self._limits.replayed_events
        for session, cursor in positions.items():
            key = await find(self._sessions, principal, session)
            left -= await self._missed(key, cursor, limit=left)
            plan[key] = cursor
        return plan

    async def _missed(self, key: FeedKey, cursor: Cursor, *, limit: int) -> int:
        session = await self._sessions.get(key.tenant, key.session)
        log = LogReader(self._sessions, key.tenant, key.session)
        head = Cursor.parse(session.cursor)
        missed = await log.missed(str(cursor), head=head, limit=limit)
        window = timedelta(seconds=self._limits.recovery_window_seconds)
        since_ms = to_ms(self._clock.now() - window)
        too_long_ago = missed.oldest_ms is not None and missed.oldest_ms < since_ms
        if not missed.recovered or too_long_ago:
            raise NotWhole
        return missed.count
