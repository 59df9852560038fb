"""Outgoing messages: kept before they are accepted, sent in order, each end recorded honestly.

A row goes queued, sending, sent; or failed, expired, cancelled; or `unknown` when the process died
between WhatsApp's acceptance and our record of it. Each step is one transaction with its event.
"""

import hashlib
from datetime import timedelta

import orjson
from sqlmodel import col, select

from sessions import conversations, event_log, message_table, usage
from sessions.clock import to_ms
from sessions.errors import IdempotencyConflict, QueueFull
from sessions.events import EventType
from sessions.ids import SessionId, new_uuid
from sessions.messages import (
    GROUP_SERVER,
    LID_SERVER,
    PHONE_SERVER,
    RECEIPT_RANK,
    MessageStatus,
    OutgoingText,
    Priority,
    Problem,
    Sent,
)
from sessions.models import MessageRow, SessionRow
from sessions.store import Unit

_EXPIRED = Problem(
    code="expired",
    message="It could not be sent before it expired. Connect the session and send it again.",
)
_UNKNOWN = Problem(
    code="send_uncertain",
    message="The send was interrupted: WhatsApp may have it or not. It is not sent again.",
)


_FOREIGN = Problem(
    code="account_changed",
    message="Another account was linked before it was sent. Send it again from this one.",
)


async def enqueue(
    unit: Unit,
    session: SessionRow,
    text: OutgoingText,
    *,
    idempotency_key: str | None,
    priority: Priority,
    typing: bool,
    lifetime: timedelta,
    queue_limit: int,
) -> MessageRow:
    """Keep a message to send, or return the one that this key already stands for.

    Raises:
        IdempotencyConflict: the key was used with another body.
        QueueFull: so many wait already.
    """
    body_hash = _hash(text, priority, typing=typing)
    if idempotency_key is not None:
        earlier = await _by_key(unit, session.id, idempotency_key)
        if earlier is not None and earlier.body_hash != body_hash:
            raise IdempotencyConflict
        if earlier is not None:
            return earlier
    if await _is_full(unit, session.id, queue_limit):
        raise QueueFull
    row = _new_row(unit, session, text, lifetime)
    row.idempotency_key, row.body_hash = idempotency_key, body_hash
    row.urgent, row.typing = priority is Priority.HIGH, typing
    unit.db.add(row)
    await conversations.touch(unit, row)
    message_table.record_status(unit, row, MessageStatus.QUEUED)
    return row


def _hash(text: OutgoingText, priority: Priority, *, typing: bool) -> str:
    asked = {**text.model_dump(), "priority": priority, "typing": typing}
    body = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).hexdigest()


async def _is_full(unit: Unit, session: str, limit: int) -> bool:
    query = (
        select(MessageRow.position)
        .where(col(MessageRow.session) == session, col(MessageRow.status) == MessageStatus.QUEUED)
        .offset(limit - 1)
        .limit(1)
    )
    return (await unit.db.execute(query)).first() is not None


def _new_row(
    unit: Unit, session: SessionRow, text: OutgoingText, lifetime: timedelta
) -> MessageRow:
    now = unit.clock.now()
    user, _, server = text.to.partition("@")
    return MessageRow(
        id=new_uuid(),
        session=session.id,
        direction="out",
        chat_id=text.to,
        sender=session.jid,
        recipient=text.to,
        phone=user if server == PHONE_SERVER else None,
        lid=user if server == LID_SERVER else None,
        from_me=True,
        is_group=server == GROUP_SERVER,
        type="text",
        text=text.text,
        quoted_message_id=text.quoted_message_id,
        status=MessageStatus.QUEUED,
        timestamp=to_ms(now),
        expires_at=to_ms(now + lifetime),
    )


async def _by_key(unit: Unit, session: str, key: str) -> MessageRow | None:
    query = select(MessageRow).where(
        col(MessageRow.session) == session, col(MessageRow.idempotency_key) == key
    )
    return (await unit.db.execute(query)).scalar_one_or_none()


async def take(unit: Unit, session: SessionId, *, epoch: int) -> MessageRow | None:
    """Mark the oldest queued message as being sent by this owner and return it."""
    query = (
        select(MessageRow)
        .where(
            col(MessageRow.session) == session,
            col(MessageRow.status) == MessageStatus.QUEUED,
            col(MessageRow.expires_at) > to_ms(unit.clock.now()),
        )
        .order_by(col(MessageRow.urgent).desc(), col(MessageRow.position))
        .limit(1)
    )
    row = (await unit.db.execute(query)).scalar_one_or_none()
    if row is None:
        return None
    row.epoch = epoch
    row.attempts += 1
    message_table.record_status(unit, row, MessageStatus.SENDING)
    return row


async def put_back(unit: Unit, message: str, *, tried: bool) -> None:
    """Queue a message again that was certainly not sent; it keeps its place in the order.

    `tried`: WhatsApp refused it for now, as against that nobody was there to take it.
    """
    row = await _load(unit, message)
    if row is not None and row.status == MessageStatus.SENDING:
        row.attempts -= not tried
        message_table.record_status(unit, row, MessageStatus.QUEUED)


async def record_sent(
    unit: Unit, message: str, sent: Sent, *, account: str | None, epoch: int
) -> None:
    """Record WhatsApp's acceptance with its `message:status`; `account` is whose it came from."""
    row = await _load(unit, message)
    if row is None:
        return
    row.whatsapp_id, row.sender = sent.whatsapp_id, account or row.sender
    row.timestamp = sent.timestamp_ms
    row.phone, row.lid = row.phone or sent.phone, row.lid or sent.lid
    await move(unit, row, MessageStatus.SENT, epoch=epoch)


async def record_end(
    unit: Unit, message: str, status: MessageStatus, error: Problem, *, epoch: int
) -> None:
    """Record that a message failed, or that its fate is unknown, with its `message:status`."""
    row = await _load(unit, message)
    if row is not None:
        await move(unit, row, status, error=error, epoch=epoch)


async def record_receipt(
    unit: Unit, session: SessionId, whatsapp_id: str, status: MessageStatus, *, epoch: int
) -> bool:
    """Fold a receipt into its message; return whether this session's record has that message."""
    query = select(MessageRow).where(
        col(MessageRow.session) == session,
        col(MessageRow.whatsapp_id) == whatsapp_id,
        col(MessageRow.direction) == "out",
    )
    row = (await unit.db.execute(query)).scalars().first()
    if row is None:
        return False
    if RECEIPT_RANK.get(MessageStatus(row.status), 9) < RECEIPT_RANK[status]:
        await move(unit, row, status, epoch=epoch)
    return True


async def cancel_foreign(
    unit: Unit, session: SessionId, *, account: str | None, epoch: int
) -> None:
    """Cancel what was queued to be sent from another account than the one that is linked now."""
    query = select(MessageRow).where(
        col(MessageRow.session) == session,
        col(MessageRow.status) == MessageStatus.QUEUED,
        col(MessageRow.sender).is_not(None),
        col(MessageRow.sender) != account,
    )
    for row in (await unit.db.execute(query)).scalars().all():
        await move(unit, row, MessageStatus.CANCELLED, error=_FOREIGN, epoch=epoch)


async def own_up(unit: Unit, session: SessionId, *, epoch: int | None) -> int:
    """Mark what was being sent until `epoch` as `unknown`; return how many there were.

    Asked when nothing is being sent any more by the owner of that epoch; None: by anyone.
    """
    query = select(MessageRow).where(
        col(MessageRow.session) == session, col(MessageRow.status) == MessageStatus.SENDING
    )
    if epoch is not None:
        query = query.where(col(MessageRow.epoch) <= epoch)
    rows = list((await unit.db.execute(query)).scalars())
    for row in rows:
        await move(unit, row, MessageStatus.UNKNOWN, error=_UNKNOWN, epoch=epoch)
    return len(rows)


async def expire(unit: Unit, *, limit: int = 500) -> int:
    """Expire what waited too long, in every session; return how many there were."""
    query = (
        select(MessageRow)
        .where(
            col(MessageRow.status) == MessageStatus.QUEUED,
            col(MessageRow.expires_at) <= to_ms(unit.clock.now()),
        )
        .order_by(col(MessageRow.position))
        .limit(limit)
    )
    rows = list((await unit.db.execute(query)).scalars())
    for row in rows:
        await move(unit, row, MessageStatus.EXPIRED, error=_EXPIRED, epoch=None)
    return len(rows)


async def _load(unit: Unit, message: str) -> MessageRow | None:
    query = select(MessageRow).where(col(MessageRow.id) == message)
    return (await unit.db.execute(query)).scalar_one_or_none()


async def move(
    unit: Unit,
    row: MessageRow,
    status: MessageStatus,
    *,
    error: Problem | None = None,
    epoch: int | None,
) -> None:
    """Move a message to a status, with the `message:status` that says so.

    Where it turns out that it went out, whoever says so, it counts as used.
    """
    is_out = not _went_out(row.status) and _went_out(status)
    message_table.record_status(unit, row, status, error)
    data: dict[str, object] = {
        "messageId": row.id,
        "whatsappId": row.whatsapp_id,
        "status": status,
    }
    if error is not None:
        data["error"] = error.model_dump(by_alias=True)
    session = SessionId(row.session)
    await event_log.append(unit, session, EventType.MESSAGE_STATUS, data, epoch=epoch)
    await usage.count(unit, session, sent=int(is_out))


def _went_out(status: str) -> bool:
    return RECEIPT_RANK.get(MessageStatus(status), 0) >= RECEIPT_RANK[MessageStatus.SENT]
