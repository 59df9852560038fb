"""Sessions in the database: finding them, listing them, moving them from status to status."""

from typing import Any

from sqlalchemy import ColumnElement, Text, case, cast, delete, func, or_, true, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from sessions import event_log
from sessions.clock import from_ms, to_ms
from sessions.errors import SessionExists, SessionNotFound
from sessions.events import EventType
from sessions.ids import (
    Cursor,
    LogId,
    SessionId,
    SessionName,
    TenantId,
    is_session_name,
    new_log_id,
    new_uuid,
)
from sessions.models import SessionRow
from sessions.session import (
    MetadataMatch,
    NewSession,
    Session,
    SessionChanges,
    SessionPage,
    SessionQuery,
)
from sessions.status import NEEDS_USER, REASONS, Status, action_for, check_transition
from sessions.store import Unit


def view(row: SessionRow) -> Session:
    """Return a session as its owner sees it."""
    reason = REASONS[row.reason]
    return Session(
        id=SessionId(row.id),
        session_id=SessionName(row.name),
        phone_number=row.phone_number,
        name=row.display_name,
        status=Status(row.status),
        is_active=row.is_active,
        created_at=from_ms(row.created_at),
        updated_at=from_ms(row.updated_at),
        reason=row.reason,
        message=row.detail or reason.message,
        user_action=action_for(Status(row.status), row.reason),
        jid=row.jid,
        lid=row.lid,
        push_name=row.push_name,
        connected_at=None if row.connected_at is None else from_ms(row.connected_at),
        metadata=row.extra,
        cursor=str(Cursor(LogId(row.log_id), row.last_seq)),
    )


async def insert(unit: Unit, tenant: TenantId, new: NewSession) -> SessionRow:
    """Add a session.

    Raises:
        SessionExists: the tenant has one of this name.
    """
    if await _by_name(unit.db, tenant, new.session_id) is not None:
        raise SessionExists(
            f"A session with sessionId {new.session_id!r} exists already. "
            "Use it, or choose another sessionId."
        )
    now = to_ms(unit.clock.now())
    row = SessionRow(
        id=new_uuid(),
        tenant=tenant,
        name=new.session_id,
        phone_number=new.phone_number,
        display_name=new.name,
        extra=new.metadata,
        status=Status.DISCONNECTED,
        reason="created",
        created_at=now,
        updated_at=now,
        log_id=new_log_id(),
    )
    unit.db.add(row)
    await unit.db.flush()
    return row


async def _by_name(db: AsyncSession, tenant: TenantId, name: str) -> SessionRow | None:
    query = select(SessionRow).where(col(SessionRow.tenant) == tenant, col(SessionRow.name) == name)
    return (await db.execute(query)).scalar_one_or_none()


async def find(db: AsyncSession, tenant: TenantId, ref: str) -> SessionRow:
    """Return a tenant's session by its id or its sessionId; the id wins.

    Raises:
        SessionNotFound: the tenant has none such.
    """
    if not is_session_name(ref):
        raise SessionNotFound
    query = select(SessionRow).where(col(SessionRow.tenant) == tenant, col(SessionRow.id) == ref)
    row = (await db.execute(query)).scalar_one_or_none() or await _by_name(db, tenant, ref)
    if row is None:
        raise SessionNotFound
    return row


async def load(db: AsyncSession, session: SessionId) -> SessionRow:
    """Return a session by its id, as the database has it now.

    Raises:
        SessionNotFound: it is gone.
    """
    row = await db.get(SessionRow, session, populate_existing=True)
    if row is None:
        raise SessionNotFound
    return row


async def page(db: AsyncSession, tenant: TenantId, query: SessionQuery) -> SessionPage:
    """Return a slice of a tenant's sessions, oldest first, and how many there are in all."""
    wanted: list[ColumnElement[bool]] = [col(SessionRow.tenant) == tenant]
    if query.status is not None:
        wanted.append(col(SessionRow.status) == query.status)
    if query.is_active is not None:
        wanted.append(col(SessionRow.is_active) == query.is_active)
    if query.name_prefix is not None:
        wanted.append(col(SessionRow.name).startswith(query.name_prefix, autoescape=True))
    if query.metadata is not None:
        wanted.append(_matches(query.metadata))
    if query.only is not None:
        names = sorted(query.only)
        wanted.append(or_(col(SessionRow.id).in_(names), col(SessionRow.name).in_(names)))
    total = (await db.execute(select(func.count()).select_from(SessionRow).where(*wanted))).scalar()
    rows = await db.execute(
        select(SessionRow)
        .where(*wanted)
        .order_by(col(SessionRow.created_at), col(SessionRow.id))
        .limit(query.limit)
        .offset(query.offset)
    )
    return SessionPage(
        items=[view(row) for row in rows.scalars()],
        total=total or 0,
        limit=query.limit,
        offset=query.offset,
    )


def _matches(match: MetadataMatch) -> ColumnElement[bool]:
    extra = col(SessionRow.extra)
    # A number is text to PostgreSQL already, and to SQLite only when it is cast.
    value = cast(extra[match.member].as_string(), Text)
    # PostgreSQL reads no member of a document that has this character anywhere, but raises.
    unreadable = cast(extra, Text).contains("\\u0000", autoescape=True)
    return case((unreadable, true()), else_=value.in_(sorted(match.values)))


async def to_restore(db: AsyncSession) -> list[SessionRow]:
    """Return the active sessions that a starting process connects again, oldest first."""
    query = (
        select(SessionRow)
        .where(
            col(SessionRow.is_active),
            # A ban ends by itself; WhatsApp says again until when.
            col(SessionRow.status).not_in(sorted(NEEDS_USER))
            | (col(SessionRow.reason) == "temporary_ban"),
        )
        .order_by(col(SessionRow.created_at), col(SessionRow.id))
    )
    return list((await db.execute(query)).scalars())


async def claim(unit: Unit, session: SessionId) -> int:
    """Become the session's owner: return the epoch that every write of it carries from now on."""
    statement = (
        update(SessionRow)
        .where(col(SessionRow.id) == session)
        .values(epoch=SessionRow.epoch + 1)
        .returning(col(SessionRow.epoch))
        .execution_options(synchronize_session=False)
    )
    epoch = (await unit.db.execute(statement)).scalar_one_or_none()
    if epoch is None:
        raise SessionNotFound
    return epoch


async def change_status(
    unit: Unit,
    session: SessionId,
    status: Status,
    reason: str,
    *,
    detail: str | None = None,
    epoch: int | None = None,
) -> SessionRow:
    """Move a session to a status, with the event that says so; a repetition writes nothing.

    Raises:
        IllegalTransition: the table of transitions does not have it.
        Fenced, SessionNotFound: as `event_log.append`.
    """
    row = await load(unit.db, session)
    if epoch is not None and row.epoch != epoch:
        # Before the table is asked: what another owner has made of it is no fault of this one.
        raise event_log.Fenced(session)
    previous = Status(row.status)
    if (previous, row.reason, row.detail) == (status, reason, detail):
        return row
    check_transition(previous, status)
    row.status, row.reason, row.detail = status, reason, detail
    row.updated_at = to_ms(unit.clock.now())
    if status is not Status.CONNECTED:
        row.connected_at = None
    await unit.db.flush()
    known = REASONS[reason]
    data: dict[str, Any] = {
        "status": status,
        "previous": previous,
        "reason": reason,
        "message": detail or known.message,
        "userAction": action_for(status, reason),
    }
    await event_log.append(unit, session, EventType.SESSION_STATUS, data, epoch=epoch)
    return await load(unit.db, session)


async def find_any(db: AsyncSession, session: SessionId) -> SessionRow | None:
    """Return a session by its id, whoever owns it."""
    return await db.get(SessionRow, session, populate_existing=True)


def apply(unit: Unit, row: SessionRow, changes: SessionChanges) -> None:
    """Change what was set."""
    for field, column in _CHANGEABLE.items():
        if field in changes.model_fields_set:
            setattr(row, column, getattr(changes, field))
    row.updated_at = to_ms(unit.clock.now())


_CHANGEABLE = {"name": "display_name", "phone_number": "phone_number", "metadata": "extra"}


async def start(unit: Unit, session: SessionId, reason: str) -> Session:
    """Mark a session as wanted and connecting, with `session:started`."""
    row = await load(unit.db, session)
    row.is_active = True
    # Whoever drove it before must not write any more, should its task still live.
    row.epoch += 1
    await unit.db.flush()
    await event_log.append(unit, session, EventType.SESSION_STARTED, {})
    return view(await change_status(unit, session, Status.CONNECTING, reason))


async def stop(unit: Unit, session: SessionId, reason: str) -> Session:
    """Mark a session as not wanted, with `session:stopped` when it was."""
    row = await load(unit.db, session)
    row.epoch += 1
    if row.is_active:
        row.is_active = False
        await unit.db.flush()
        await event_log.append(unit, session, EventType.SESSION_STOPPED, {"reason": reason})
    return view(await change_status(unit, session, Status.DISCONNECTED, reason))


async def unlink(unit: Unit, session: SessionId) -> Session:
    """Forget which device a session was, and stop it."""
    row = await load(unit.db, session)
    row.jid = row.lid = row.push_name = None
    await unit.db.flush()
    return await stop(unit, session, "auth_reset")


async def remove(unit: Unit, session: SessionId) -> None:
    """Delete a session and all that is kept of it."""
    await unit.db.execute(delete(SessionRow).where(col(SessionRow.id) == session))
