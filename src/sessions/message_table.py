"""Stored messages: how a row looks to a client, and paging through a chat."""

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from sessions.clock import from_ms, to_ms
from sessions.errors import MessageNotFound
from sessions.ids import MessageId, SessionId, SessionName
from sessions.messages import Media, Message, MessageStatus, Problem, StatusChange
from sessions.models import MessageRow, MessageStatusRow
from sessions.session import MessagePage
from sessions.store import Unit


def view(row: MessageRow, name: str, history: list[StatusChange] | None = None) -> Message:
    """Return a stored message as a client sees it; `name` is its session's."""
    return Message.model_validate(
        {
            "id": MessageId(row.id),
            "session_id": SessionName(name),
            "whatsapp_id": row.whatsapp_id,
            "direction": row.direction,
            "chat_id": row.chat_id,
            "from_": row.sender,
            "to": row.recipient,
            "phone": row.phone,
            "lid": row.lid,
            "from_me": row.from_me,
            "is_group": row.is_group,
            "push_name": row.push_name,
            "type": row.type,
            "message": row.text,
            "media": None if row.media is None else Media.model_validate(row.media),
            "quoted_message_id": row.quoted_message_id,
            "status": MessageStatus(row.status),
            "error": _problem(row.error_code, row.error_message),
            "timestamp": from_ms(row.timestamp),
            "history": history,
        }
    )


def event_view(row: MessageRow, name: str) -> dict[str, object]:
    """Return a message as events carry it: absent what is absent, time in Unix milliseconds."""
    wire = view(row, name).model_dump(mode="json", by_alias=True, exclude={"history"})
    for optional in ("media", "quotedMessageId", "error"):
        if wire[optional] is None:
            del wire[optional]
    return {**wire, "timestamp": row.timestamp}


def _problem(code: str | None, message: str | None) -> Problem | None:
    return None if code is None else Problem(code=code, message=message or "")


async def load(db: AsyncSession, session: SessionId, message: str) -> MessageRow:
    """Return a session's message by its id.

    Raises:
        MessageNotFound: the session has none such.
    """
    query = select(MessageRow).where(
        col(MessageRow.session) == session, col(MessageRow.id) == message
    )
    row = (await db.execute(query)).scalar_one_or_none()
    if row is None:
        raise MessageNotFound
    return row


async def one(db: AsyncSession, session: SessionId, name: str, message: str) -> Message:
    """Return a message with the history of its status.

    Raises:
        MessageNotFound: the session has none such.
    """
    row = await load(db, session, message)
    steps = await db.execute(
        select(MessageStatusRow)
        .where(col(MessageStatusRow.message) == row.id)
        .order_by(col(MessageStatusRow.position))
    )
    history = [
        StatusChange(
            status=MessageStatus(step.status),
            at=from_ms(step.at),
            error=_problem(step.error_code, step.error_message),
        )
        for step in steps.scalars()
    ]
    return view(row, name, history)


async def page(
    db: AsyncSession,
    session: SessionId,
    name: str,
    *,
    chat_id: str | None,
    before: str | None,
    limit: int,
) -> MessagePage:
    """Return messages, newest first; `before` is the id of a message of this session.

    Raises:
        MessageNotFound: `before` is none such.
    """
    wanted = [col(MessageRow.session) == session]
    if chat_id is not None:
        wanted.append(col(MessageRow.chat_id) == chat_id)
    if before is not None:
        wanted.append(older_than(await _named(db, session, before)))
    rows = await db.execute(
        select(MessageRow)
        .where(*wanted)
        .order_by(col(MessageRow.timestamp).desc(), col(MessageRow.position).desc())
        .limit(limit + 1)
    )
    found = list(rows.scalars())
    shown = found[:limit]
    more = len(found) > limit
    return MessagePage(
        items=[view(row, name) for row in shown], before=shown[-1].id if more else None
    )


async def _named(db: AsyncSession, session: SessionId, before: str) -> MessageRow:
    try:
        return await load(db, session, before)
    except MessageNotFound:
        message = f"`before` names no message of this session: {before[:64]!r}."
        raise MessageNotFound(message) from None


def older_than(row: MessageRow) -> ColumnElement[bool]:
    """Return what holds for messages before this one: history comes later than what it is about."""
    same_moment = and_(
        col(MessageRow.timestamp) == row.timestamp, col(MessageRow.position) < row.position
    )
    return or_(col(MessageRow.timestamp) < row.timestamp, same_moment)


def record_status(
    unit: Unit, row: MessageRow, status: MessageStatus, error: Problem | None = None
) -> None:
    """Move a message to a status, and remember the step."""
    row.status = status
    row.error_code = None if error is None else str(error.code)
    row.error_message = None if error is None else error.message
    unit.db.add(
        MessageStatusRow(
            message=row.id,
            status=status,
            error_code=row.error_code,
            error_message=row.error_message,
            at=to_ms(unit.clock.now()),
        )
    )
