"""The numbered record of what happened to each session: the truth that everything else repeats."""

from typing import Any

from sqlalchemy import delete, func, or_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from sessions.clock import to_ms
from sessions.errors import SessionNotFound, UnrecoverablePosition
from sessions.events import EventType, SessionEvent
from sessions.ids import Cursor, LogId, SessionId, SessionName, TenantId, new_uuid
from sessions.models import EventRow, SessionRow
from sessions.session import EventPage
from sessions.store import Unit

_UNREAD_FACTOR = 10
"""What a consumer has not read is kept so much longer; then the loss is told, not hidden."""


class Fenced(Exception):
    """Another owner has taken the session over: stop writing for it."""


async def append(
    unit: Unit,
    session: SessionId,
    type_: EventType,
    data: dict[str, Any],
    *,
    dedupe_key: str | None = None,
    epoch: int | None = None,
) -> SessionEvent | None:
    """Number an event and keep it; return None when `dedupe_key` was seen before.

    `data` is in wire form. With `epoch`, only that owner may write.

    Raises:
        Fenced: the session has another owner now.
        SessionNotFound: it is gone.
    """
    if dedupe_key is not None and await _seen(unit.db, session, dedupe_key):
        return None
    row = await _take_number(unit.db, session, epoch)
    log_id, seq, name, tenant = row
    event = SessionEvent(
        id=new_uuid(),
        type=type_,
        session=session,
        session_id=SessionName(name),
        tenant=TenantId(tenant),
        seq=seq,
        cursor=str(Cursor(LogId(log_id), seq)),
        timestamp=to_ms(unit.clock.now()),
        data=data,
    )
    unit.db.add(
        EventRow(
            session=session,
            seq=seq,
            id=event.id,
            type=type_,
            data=data,
            dedupe_key=dedupe_key,
            timestamp=event.timestamp,
        )
    )
    unit.publish(event)
    return event


async def _seen(db: AsyncSession, session: SessionId, dedupe_key: str) -> bool:
    query = select(EventRow.seq).where(
        col(EventRow.session) == session, col(EventRow.dedupe_key) == dedupe_key
    )
    return (await db.execute(query)).first() is not None


async def _take_number(
    db: AsyncSession, session: SessionId, epoch: int | None
) -> tuple[str, int, str, str]:
    """Count the session's log up by one, under its row's lock: numbers have no holes."""
    statement = update(SessionRow).where(col(SessionRow.id) == session)
    if epoch is not None:
        statement = statement.where(col(SessionRow.epoch) == epoch)
    row = (
        await db.execute(
            statement.values(last_seq=SessionRow.last_seq + 1)
            .returning(
                col(SessionRow.log_id),
                col(SessionRow.last_seq),
                col(SessionRow.name),
                col(SessionRow.tenant),
            )
            # The number is only ever taken here; a loaded row may lag behind it.
            .execution_options(synchronize_session=False)
        )
    ).first()
    if row is not None:
        return row[0], row[1], row[2], row[3]
    if epoch is not None:
        raise Fenced(session)
    raise SessionNotFound


async def read(db: AsyncSession, row: SessionRow, *, after: str | None, limit: int) -> EventPage:
    """Return the events behind a cursor (None: from the oldest kept), in order.

    Raises:
        UnrecoverablePosition: what follows that cursor is not whole any more.
    """
    seq = row.trimmed_seq if after is None else _position(row, after)
    items = await behind(db, row, seq, limit=limit)
    head = items[-1].seq if items else seq
    return EventPage(items=items, cursor=str(Cursor(LogId(row.log_id), head or 0)))


async def behind(db: AsyncSession, row: SessionRow, seq: int, *, limit: int) -> list[SessionEvent]:
    """Return what is kept behind a number, in order."""
    query = (
        select(EventRow)
        .where(col(EventRow.session) == row.id, col(EventRow.seq) > seq)
        .order_by(col(EventRow.seq))
        .limit(limit)
    )
    return [_event(row, found) for found in (await db.execute(query)).scalars()]


def _position(row: SessionRow, after: str) -> int:
    """Return the number that a client's cursor means in this log."""
    try:
        cursor = Cursor.parse(after)
    except ValueError:
        raise _unrecoverable(row, "malformed") from None
    if cursor.log_id != row.log_id:
        raise _unrecoverable(row, "wrong_log")
    if cursor.seq > row.last_seq:
        raise _unrecoverable(row, "future")
    if cursor.seq < row.trimmed_seq:
        raise _unrecoverable(row, "too_old")
    return cursor.seq


def _unrecoverable(row: SessionRow, reason: str) -> UnrecoverablePosition:
    log_id = LogId(row.log_id)
    return UnrecoverablePosition(
        reason,
        oldest=str(Cursor(log_id, row.trimmed_seq)),
        head=str(Cursor(log_id, row.last_seq)),
    )


def _event(row: SessionRow, found: EventRow) -> SessionEvent:
    return SessionEvent(
        id=found.id,
        type=EventType(found.type),
        session=SessionId(found.session),
        session_id=SessionName(row.name),
        tenant=TenantId(row.tenant),
        seq=found.seq,
        cursor=str(Cursor(LogId(row.log_id), found.seq)),
        timestamp=found.timestamp,
        data=found.data,
    )


async def trim(
    unit: Unit,
    session: SessionId,
    *,
    keep: int,
    older_than_ms: int,
    unread_from: int | None = None,
    most: int = 5_000,
) -> int:
    """Forget a session's events beyond `keep`, and all from before a time; return how many.

    What is behind `unread_from` somebody still has to read: it is kept up to ten times `keep`.
    At most `most` at once, so that writers wait only for a moment.
    """
    row = await unit.db.get(SessionRow, session, populate_existing=True)
    if row is None:
        return 0
    old = select(func.max(EventRow.seq)).where(
        col(EventRow.session) == session,
        col(EventRow.seq) <= row.trimmed_seq + most,
        col(EventRow.timestamp) < older_than_ms,
    )
    aged = (await unit.db.execute(old)).scalar() or 0
    until = max(row.last_seq - keep, aged)
    if unread_from is not None:
        until = max(min(until, unread_from), row.last_seq - _UNREAD_FACTOR * keep)
    until = min(until, row.trimmed_seq + most)
    if until <= row.trimmed_seq:
        return 0
    forgotten = until - row.trimmed_seq
    row.trimmed_seq = until
    await unit.db.execute(
        delete(EventRow).where(col(EventRow.session) == session, col(EventRow.seq) <= until)
    )
    return forgotten


async def has_forgotten(db: AsyncSession, session: SessionId, moment_ms: int) -> bool:
    """Tell whether events of a moment (Unix ms) may be forgotten already."""
    row = await db.get(SessionRow, session, populate_existing=True)
    if row is None or not row.trimmed_seq:
        return False
    oldest = await db.get(EventRow, (session, row.trimmed_seq + 1))
    return oldest is None or moment_ms <= oldest.timestamp


async def trimmable(db: AsyncSession, *, keep: int, older_than_ms: int) -> list[SessionId]:
    """Return the sessions that have events to forget."""
    oldest = (
        select(EventRow.timestamp)
        .where(
            col(EventRow.session) == SessionRow.id,
            col(EventRow.seq) == SessionRow.trimmed_seq + 1,
        )
        .scalar_subquery()
    )
    query = select(SessionRow.id).where(
        or_(col(SessionRow.last_seq) - col(SessionRow.trimmed_seq) > keep, oldest < older_than_ms)
    )
    return [SessionId(found) for found in (await db.execute(query)).scalars()]
