"""What a client missed: everything behind its cursor, or nothing and the reason, never a part."""

from dataclasses import dataclass
from typing import Protocol

from gateway.commands import RecoveryReason
from sessions.errors import UnrecoverablePosition
from sessions.events import SessionEvent
from sessions.ids import Cursor, SessionId, TenantId
from sessions.session import EventPage

PAGE_EVENTS = 100
_REASONS: dict[str, RecoveryReason] = {
    "malformed": "malformed",
    "wrong_log": "wrong_log",
    "future": "future",
    "too_old": "too_old",
}


class EventLog(Protocol):
    """The part of `SessionManager` that reads durable events."""

    async def events(
        self, tenant: TenantId, ref: str, *, after: str | None, limit: int
    ) -> EventPage:
        """Return the events behind a cursor, in order.

        Raises:
            UnrecoverablePosition: what follows the cursor is not whole any more.
            SessionNotFound, StorageUnavailable: there is nothing to read, or not now.
        """
        ...


@dataclass(frozen=True)
class Missed:
    """Where a client goes on: its events begin right behind `start`.

    `position` is that of the state that it is shown: the head of the log, as long as it is behind.
    """

    start: Cursor
    position: Cursor
    recovered: bool
    reason: RecoveryReason | None = None
    count: int = 0
    """How many events there were behind `start` at that moment."""
    oldest_ms: int | None = None
    """When the first of them happened, in Unix milliseconds; None if there was none."""


@dataclass(frozen=True)
class LogReader:
    """One session's event log, read in pages."""

    log: EventLog
    tenant: TenantId
    session: SessionId

    async def missed(self, after: str | None, *, head: Cursor, limit: int) -> Missed:
        """Return where a client with this cursor goes on, or why it can't have all behind it.

        Without it the client starts at `head`, the position of the state that it is shown.
        """
        if after is None:
            return Missed(head, head, recovered=False, reason="no_cursor")
        try:
            first = (await self.log.events(self.tenant, self.session, after=after, limit=1)).items
        except UnrecoverablePosition as error:
            reason = _REASONS.get(error.reason, "too_old")
            return Missed(head, head, recovered=False, reason=reason)
        start = Cursor.parse(after)
        count = max(0, head.seq - start.seq)
        if count > limit:
            return Missed(head, head, recovered=False, reason="too_far")
        return Missed(
            start=start,
            position=head if count else start,
            recovered=True,
            count=count,
            oldest_ms=first[0].timestamp if first else None,
        )

    async def page(self, after: Cursor, *, limit: int = PAGE_EVENTS) -> list[SessionEvent]:
        """Return the events behind a position, at most `limit`, in order.

        Raises:
            UnrecoverablePosition: they are not whole any more.
        """
        return (
            await self.log.events(self.tenant, self.session, after=str(after), limit=limit)
        ).items


def cursor_of(event: SessionEvent) -> Cursor:
    """Return a durable event's position.

    Raises:
        ValueError: the event is transient.
    """
    return Cursor.parse(event.cursor or "")
