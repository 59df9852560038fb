"""Durable readers of the event log: each has a cursor per session, and what it could not take.

A consumer is a bridge or a webhook endpoint. It reads every event of the sessions that it covers,
from where it was registered, or from the beginning for sessions that came later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import case, delete, func
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from sessions import event_log
from sessions.clock import from_ms, to_ms
from sessions.consumer_table import ConsumerCursorRow, ConsumerRow, ParkedRow
from sessions.events import SessionEvent
from sessions.ids import SessionId, SessionName, TenantId
from sessions.models import EventRow, SessionRow
from sessions.store import Unit


@dataclass(frozen=True)
class Behind:
    """A session whose log has more than the consumer has read."""

    session: SessionId
    name: SessionName
    seq: int
    """Read up to here."""
    trimmed_seq: int
    """Forgotten up to here: beyond `seq` there is a gap that must be told."""


@dataclass(frozen=True)
class Lag:
    """How far a consumer is behind; `oldest` is when its oldest waiting event happened."""

    events: int
    oldest: datetime | None
    parked: int


async def register(
    unit: Unit, name: str, *, tenant: TenantId | None = None, session: SessionId | None = None
) -> None:
    """Let a consumer read from now on; one that is known goes on where it was.

    One of a session that was deleted is not made: it would stay for ever.
    """
    if await unit.db.get(ConsumerRow, name) is not None:
        return
    if session is not None and await unit.db.get(SessionRow, session) is None:
        return
    now = to_ms(unit.clock.now())
    unit.db.add(ConsumerRow(name=name, tenant=tenant, session=session, created_at=now))
    await unit.db.flush()
    rows = await unit.db.execute(
        select(SessionRow.id, SessionRow.last_seq).where(*_covered(tenant, session))
    )
    for id_, last_seq in rows:
        unit.db.add(ConsumerCursorRow(consumer=name, session=id_, seq=last_seq))


async def unregister(unit: Unit, name: str) -> None:
    """Forget a consumer and where it was. Idempotent."""
    await unit.db.execute(delete(ConsumerRow).where(col(ConsumerRow.name) == name))


def _covered(tenant: str | None, session: str | None) -> list[Any]:
    wanted: list[Any] = []
    if tenant is not None:
        wanted.append(col(SessionRow.tenant) == tenant)
    if session is not None:
        wanted.append(col(SessionRow.id) == session)
    return wanted


def _cursor(name: str) -> Any:
    return (col(ConsumerCursorRow.consumer) == name) & (
        col(ConsumerCursorRow.session) == col(SessionRow.id)
    )


async def behind(
    db: AsyncSession, name: str, *, limit: int, without: Sequence[SessionId] = ()
) -> list[Behind]:
    """Return sessions that have events which the consumer has not read."""
    consumer = await db.get(ConsumerRow, name)
    if consumer is None:
        return []
    seq = func.coalesce(col(ConsumerCursorRow.seq), 0)
    query = (
        select(SessionRow.id, SessionRow.name, seq, SessionRow.trimmed_seq)
        .join(ConsumerCursorRow, _cursor(name), isouter=True)
        .where(
            col(SessionRow.last_seq) > seq,
            col(SessionRow.id).not_in(without),
            *_covered(consumer.tenant, consumer.session),
        )
        # Any few of them: in a fixed order, busy ones would starve the rest.
        .order_by(func.random())
        .limit(limit)
    )
    return [
        Behind(SessionId(id_), SessionName(session_name), at, trimmed)
        for id_, session_name, at, trimmed in await db.execute(query)
    ]


async def tenant(db: AsyncSession, session: SessionId) -> TenantId | None:
    """Return whose a session is, None if it is gone."""
    row = await db.get(SessionRow, session)
    return None if row is None else TenantId(row.tenant)


async def covers(db: AsyncSession, name: str, session: SessionId) -> bool:
    """Tell whether a session's events are for this consumer."""
    consumer = await db.get(ConsumerRow, name)
    row = await db.get(SessionRow, session)
    if consumer is None or row is None:
        return False
    return consumer.tenant in {None, row.tenant} and consumer.session in {None, row.id}


async def read(db: AsyncSession, session: SessionId, seq: int, *, limit: int) -> list[SessionEvent]:
    """Return a session's events behind a number, in order; none when the session is gone."""
    row = await db.get(SessionRow, session, populate_existing=True)
    return [] if row is None else await event_log.behind(db, row, seq, limit=limit)


async def event(db: AsyncSession, name: str, id_: str) -> SessionEvent | None:
    """Return an event by its id, if it is kept, and of a session that the consumer covers."""
    row = (await db.execute(select(EventRow).where(col(EventRow.id) == id_))).scalar_one_or_none()
    if row is None or not await covers(db, name, SessionId(row.session)):
        return None
    return next(iter(await read(db, SessionId(row.session), row.seq - 1, limit=1)), None)


async def advance(unit: Unit, name: str, session: SessionId, seq: int) -> None:
    """Move a consumer's cursor; one that was unregistered meanwhile stays so."""
    if await _is_gone(unit, name, session):
        return
    row = await unit.db.get(ConsumerCursorRow, (name, session))
    if row is None:
        row = ConsumerCursorRow(consumer=name, session=session, seq=seq)
        unit.db.add(row)
    row.seq = max(row.seq, seq)


async def _is_gone(unit: Unit, name: str, session: SessionId) -> bool:
    return (
        await unit.db.get(ConsumerRow, name) is None
        or await unit.db.get(SessionRow, session) is None
    )


async def park(unit: Unit, name: str, event: SessionEvent, error: str) -> None:
    """Set an event aside that the consumer will never take, and go on behind it."""
    if await _is_gone(unit, name, event.session):
        return
    unit.db.add(
        ParkedRow(
            consumer=name,
            session=event.session,
            seq=event.seq or 0,
            error=error[:1000],
            at=to_ms(unit.clock.now()),
        )
    )
    await advance(unit, name, event.session, event.seq or 0)


async def parked(
    db: AsyncSession, name: str, *, limit: int
) -> list[tuple[int, SessionEvent | None]]:
    """Return a consumer's parked events, the oldest first; None for one that is kept no more."""
    query = (
        select(ParkedRow)
        .where(col(ParkedRow.consumer) == name)
        .order_by(col(ParkedRow.position))
        .limit(limit)
    )
    found: list[tuple[int, SessionEvent | None]] = []
    for row in (await db.execute(query)).scalars():
        events = await read(db, SessionId(row.session), row.seq - 1, limit=1)
        kept = next((event for event in events if event.seq == row.seq), None)
        found.append((row.position or 0, kept))
    return found


async def unpark(unit: Unit, position: int) -> None:
    """Forget a parked event: it was delivered after all."""
    await unit.db.execute(delete(ParkedRow).where(col(ParkedRow.position) == position))


async def unpark_event(unit: Unit, name: str, session: SessionId, seq: int) -> None:
    """Forget that a consumer has parked an event. Idempotent."""
    await unit.db.execute(
        delete(ParkedRow).where(
            col(ParkedRow.consumer) == name,
            col(ParkedRow.session) == session,
            col(ParkedRow.seq) == seq,
        )
    )


async def lag(db: AsyncSession, name: str) -> Lag:
    """Return how far a consumer is behind."""
    consumer = await db.get(ConsumerRow, name)
    if consumer is None:
        return Lag(0, None, 0)
    seq = func.coalesce(col(ConsumerCursorRow.seq), 0)
    # What was forgotten can't be read any more: one word about the gap stands for it.
    before = case((col(SessionRow.trimmed_seq) > seq, col(SessionRow.trimmed_seq)), else_=seq)
    query = (
        select(func.sum(col(SessionRow.last_seq) - before), func.min(col(EventRow.timestamp)))
        .select_from(SessionRow)
        .join(ConsumerCursorRow, _cursor(name), isouter=True)
        .join(
            EventRow,
            (col(EventRow.session) == col(SessionRow.id)) & (col(EventRow.seq) == before + 1),
            isouter=True,
        )
        .where(col(SessionRow.last_seq) > seq, *_covered(consumer.tenant, consumer.session))
    )
    # Both are NULL when nothing waits, whatever the columns' types say.
    events, oldest = cast("tuple[int | None, int | None]", (await db.execute(query)).one())
    parked = select(func.count()).where(col(ParkedRow.consumer) == name)
    return Lag(
        # PostgreSQL sums to a decimal.
        int(events or 0),
        None if oldest is None else from_ms(oldest),
        (await db.execute(parked)).scalar() or 0,
    )


async def slowest(db: AsyncSession, session: SessionId) -> int | None:
    """Return how far the slowest consumer that covers a session has read it, None without any."""
    tenant = select(SessionRow.tenant).where(col(SessionRow.id) == session).scalar_subquery()
    query = (
        select(func.min(func.coalesce(col(ConsumerCursorRow.seq), 0)))
        .select_from(ConsumerRow)
        .join(
            ConsumerCursorRow,
            (col(ConsumerCursorRow.consumer) == col(ConsumerRow.name))
            & (col(ConsumerCursorRow.session) == session),
            isouter=True,
        )
        .where(
            col(ConsumerRow.tenant).is_(None) | (col(ConsumerRow.tenant) == tenant),
            col(ConsumerRow.session).is_(None) | (col(ConsumerRow.session) == session),
        )
    )
    return (await db.execute(query)).scalar()
