"""What WhatsApp delivered, into the record: each message once, however often it comes."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from sessions import conversations, event_log, message_table
from sessions.clock import to_ms
from sessions.events import EventType
from sessions.ids import SessionId, SessionName, new_uuid
from sessions.messages import EngineMessage, MessageStatus
from sessions.models import MessageRow
from sessions.store import Unit


async def record(
    unit: Unit,
    session: SessionId,
    name: SessionName,
    message: EngineMessage,
    *,
    account: str | None,
    epoch: int,
) -> bool:
    """Store a message with its `session:message`; a redelivery is the same event.

    Tells whether it is a new one of somebody else's: what is billed as incoming.
    `account` is the session's own JID, to which messages from others are addressed.

    Raises:
        Fenced, SessionNotFound: as `event_log.append`.
    """
    known = await _known(unit.db, session, message)
    # With an old event the log forgets the key to know it by when it comes again.
    forgotten = known and await event_log.has_forgotten(unit.db, session, message.timestamp_ms)
    if forgotten or (known and message.from_me):
        return False
    row = _row(unit, session, message, account)
    row.id = known or row.id
    appended = await event_log.append(
        unit,
        session,
        EventType.SESSION_MESSAGE,
        {"message": message_table.event_view(row, name)},
        dedupe_key=f"message|{message.chat}|{message.sender}|{message.whatsapp_id}",
        epoch=epoch,
    )
    # Known without an event: the history brought it first.
    if appended is not None and not known:
        unit.db.add(row)
        await conversations.touch(unit, row)
    return appended is not None and not message.from_me


async def import_history(
    unit: Unit, session: SessionId, messages: Sequence[EngineMessage], *, account: str | None
) -> int:
    """Store older messages without events, but for those that are known; return how many."""
    imported = 0
    for message in messages:
        if await _known(unit.db, session, message):
            continue
        row = _row(unit, session, message, account)
        if not message.from_me:
            # Whether the phone's owner read it is not told; it is no news in any case.
            row.status = MessageStatus.READ
        unit.db.add(row)
        await conversations.include(unit, row)
        imported += 1
    return imported


async def _known(db: AsyncSession, session: SessionId, message: EngineMessage) -> str | None:
    """Return the id under which it is stored already, also when it echoes our own outbox."""
    query = select(MessageRow.id).where(
        col(MessageRow.session) == session, col(MessageRow.whatsapp_id) == message.whatsapp_id
    )
    if not message.from_me:
        query = query.where(
            col(MessageRow.chat_id) == message.chat, col(MessageRow.sender) == message.sender
        )
    return (await db.execute(query)).scalars().first()


def _row(unit: Unit, session: SessionId, message: EngineMessage, account: str | None) -> MessageRow:
    return MessageRow(
        id=new_uuid(),
        session=session,
        whatsapp_id=message.whatsapp_id,
        direction="out" if message.from_me else "in",
        chat_id=message.chat,
        sender=message.sender,
        recipient=message.chat if message.from_me or message.is_group else account,
        phone=message.phone,
        lid=message.lid,
        from_me=message.from_me,
        is_group=message.is_group,
        push_name=message.push_name,
        type=message.type,
        text=message.text,
        media=None if message.media is None else message.media.model_dump(by_alias=True),
        quoted_message_id=message.quoted_message_id,
        status=MessageStatus.SENT if message.from_me else MessageStatus.RECEIVED,
        timestamp=message.timestamp_ms or to_ms(unit.clock.now()),
    )
