"""Chats: kept beside the messages, so that a list of them costs nothing to show."""

from sqlalchemy import and_, func, or_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from sessions import message_table
from sessions.errors import MessageNotFound
from sessions.ids import SessionId
from sessions.messages import MessageStatus
from sessions.models import ConversationRow, MessageRow
from sessions.session import Conversation, ConversationPage
from sessions.store import Unit


async def touch(unit: Unit, row: MessageRow) -> None:
    """Make a stored message its chat's newest; one from the other side counts as unread."""
    chat = await include(unit, row)
    if row.from_me:
        # Whoever answers has read what was written.
        chat.unread = 0
    else:
        chat.unread += 1


async def include(unit: Unit, row: MessageRow) -> ConversationRow:
    """Let a stored message, which may be an old one, be part of its chat; return the chat."""
    await unit.db.flush()
    moment = (row.timestamp, row.position or 0)
    chat = await unit.db.get(ConversationRow, (row.session, row.chat_id))
    if chat is None:
        chat = ConversationRow(
            session=row.session, chat_id=row.chat_id, last_at=moment[0], last_position=moment[1]
        )
        unit.db.add(chat)
    chat.last_at, chat.last_position = max((chat.last_at, chat.last_position), moment)
    if not row.from_me and not row.is_group:
        chat.name = row.push_name or chat.name
    return chat


async def page(
    db: AsyncSession, session: SessionId, name: str, *, before: str | None, limit: int
) -> ConversationPage:
    """Return chats, the most recently active first; `before` is the chat id of the last one seen.

    Raises:
        MessageNotFound: `before` is no chat of this session.
    """
    wanted = [col(ConversationRow.session) == session]
    if before is not None:
        last = await db.get(ConversationRow, (session, before))
        if last is None:
            raise MessageNotFound(f"`before` names no chat of this session: {before[:64]!r}.")
        wanted.append(
            or_(
                col(ConversationRow.last_at) < last.last_at,
                and_(
                    col(ConversationRow.last_at) == last.last_at,
                    col(ConversationRow.last_position) < last.last_position,
                ),
            )
        )
    rows = await db.execute(
        select(ConversationRow, MessageRow)
        .join(MessageRow, col(MessageRow.position) == ConversationRow.last_position)
        .where(*wanted)
        .order_by(col(ConversationRow.last_at).desc(), col(ConversationRow.last_position).desc())
        .limit(limit + 1)
    )
    found = [_view(chat, message, name) for chat, message in rows]
    more = len(found) > limit
    return ConversationPage(items=found[:limit], before=found[limit - 1].chat_id if more else None)


def _view(chat: ConversationRow, message: MessageRow, name: str) -> Conversation:
    return Conversation(
        chat_id=chat.chat_id,
        name=chat.name,
        phone=None if message.is_group else message.phone,
        lid=None if message.is_group else message.lid,
        is_group=message.is_group,
        unread_count=chat.unread,
        last_message=message_table.view(message, name),
    )


async def unread_until(db: AsyncSession, row: MessageRow, *, limit: int = 100) -> list[MessageRow]:
    """Return the unread messages of this one's chat, up to it, the newest last."""
    query = (
        select(MessageRow)
        .where(
            col(MessageRow.session) == row.session,
            col(MessageRow.chat_id) == row.chat_id,
            col(MessageRow.status) == MessageStatus.RECEIVED,
            or_(col(MessageRow.id) == row.id, message_table.older_than(row)),
        )
        .order_by(col(MessageRow.timestamp).desc(), col(MessageRow.position).desc())
        .limit(limit)
    )
    return list((await db.execute(query)).scalars())[::-1]


async def mark_read(unit: Unit, row: MessageRow) -> None:
    """Record that everything in this message's chat up to it was read."""
    await unit.db.execute(
        update(MessageRow)
        .where(
            col(MessageRow.session) == row.session,
            col(MessageRow.chat_id) == row.chat_id,
            col(MessageRow.status) == MessageStatus.RECEIVED,
            or_(col(MessageRow.id) == row.id, message_table.older_than(row)),
        )
        .values(status=MessageStatus.READ)
        .execution_options(synchronize_session=False)
    )
    chat = await unit.db.get(ConversationRow, (row.session, row.chat_id))
    if chat is not None:
        left = select(func.count()).where(
            col(MessageRow.session) == row.session,
            col(MessageRow.chat_id) == row.chat_id,
            col(MessageRow.status) == MessageStatus.RECEIVED,
        )
        chat.unread = (await unit.db.execute(left)).scalar() or 0
