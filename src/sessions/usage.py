"""What bills are made from: how many messages each session took in and sent, day by day.

Counted in the transaction that records the messages, so that no crash makes them differ. The day is
that of the record, in UTC: a day that is over does not change any more.
"""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import BigInteger, Date, Text, bindparam, func, or_, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from sessions.ids import SessionId, SessionName
from sessions.models import UsageRow
from sessions.session import MessageCounts, SessionUsage, UsagePage, UsageQuery
from sessions.store import Unit

_DAYS_BEFORE = timedelta(days=29)

# As text: the two databases understand the same words, but each has a construct of its own.
_COUNT = text(
    "INSERT INTO usage (session, day, tenant, name, messages_in, messages_out) "
    "SELECT id, :day, tenant, name, :received, :sent FROM sessions WHERE id = :session "
    "ON CONFLICT (session, day) DO UPDATE SET "
    "messages_in = usage.messages_in + excluded.messages_in, "
    "messages_out = usage.messages_out + excluded.messages_out"
).bindparams(
    bindparam("session", type_=Text()),
    bindparam("day", type_=Date()),
    bindparam("received", type_=BigInteger()),
    bindparam("sent", type_=BigInteger()),
)


async def count(unit: Unit, session: SessionId, *, received: int = 0, sent: int = 0) -> None:
    """Add to what a session used today; nothing is written for nothing."""
    if received or sent:
        today = unit.clock.now().date()
        added = {"session": session, "day": today, "received": received, "sent": sent}
        await unit.db.execute(_COUNT, added)


async def page(db: AsyncSession, tenant: str, query: UsageQuery, *, today: date) -> UsagePage:
    """Return a slice of what a tenant used, the earliest day first, and the sums of it all."""
    wanted = _wanted(tenant, query, today)
    sums = select(
        func.count(),
        func.coalesce(func.sum(col(UsageRow.messages_in)), 0),
        func.coalesce(func.sum(col(UsageRow.messages_out)), 0),
    ).where(*wanted)
    total, messages_in, messages_out = (await db.execute(sums)).one()
    rows = await db.execute(
        select(UsageRow)
        .where(*wanted)
        .order_by(col(UsageRow.day), col(UsageRow.name), col(UsageRow.session))
        .limit(query.limit)
        .offset(query.offset)
    )
    return UsagePage(
        items=[_view(row) for row in rows.scalars()],
        total=total,
        limit=query.limit,
        offset=query.offset,
        # PostgreSQL sums up big integers as decimals.
        totals=MessageCounts(messages_in=int(messages_in), messages_out=int(messages_out)),
    )


def _wanted(tenant: str, query: UsageQuery, today: date) -> list[Any]:
    last = query.last or max(today, query.first or today)
    first = query.first or max(last, date.min + _DAYS_BEFORE) - _DAYS_BEFORE
    wanted = [
        col(UsageRow.tenant) == tenant,
        col(UsageRow.day) >= first,
        col(UsageRow.day) <= last,
    ]
    if query.ref is not None:
        wanted.append(_named([query.ref]))
    if query.only is not None:
        wanted.append(_named(sorted(query.only)))
    return wanted


def _named(names: list[str]) -> Any:
    return or_(col(UsageRow.session).in_(names), col(UsageRow.name).in_(names))


def _view(row: UsageRow) -> SessionUsage:
    return SessionUsage(
        id=SessionId(row.session),
        session_id=SessionName(row.name),
        day=row.day,
        messages_in=row.messages_in,
        messages_out=row.messages_out,
    )
