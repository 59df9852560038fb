"""What a tenant can do with messages: sending, looking back, deciding what is in doubt."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from sessions import conversations, message_table, outbox, outbox_decisions, session_table, usage
from sessions.engine import ChatState, Presence, Receipts
from sessions.errors import Draining, EngineUnavailable, NotSupported
from sessions.fleet import Fleet
from sessions.ids import SessionId, TenantId
from sessions.messages import Message, OutgoingText, Priority
from sessions.models import MessageRow, SessionRow
from sessions.services import Services
from sessions.session import ConversationPage, MessagePage, UsagePage, UsageQuery
from sessions.store import Unit

_ENGINE_SECONDS = 20


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Give the engine its time for one call.

    Raises:
        EngineUnavailable: it took longer.
    """
    try:
        async with asyncio.timeout(_ENGINE_SECONDS):
            yield
    except TimeoutError:
        raise EngineUnavailable("WhatsApp gave no answer in time. Try again.") from None


class Messaging:
    """The manager's part for messages; `ref` is a session's id or sessionId.

    Every method raises SessionNotFound when the tenant has no such session, and those that change
    something Draining while the server shuts down.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._fleet = Fleet(services)
        self._draining = False

    def _refuse_when_draining(self) -> None:
        if self._draining:
            raise Draining

    async def send(
        self,
        tenant: TenantId,
        ref: str,
        text: OutgoingText,
        *,
        idempotency_key: str | None = None,
        priority: Priority = Priority.NORMAL,
        typing: bool = False,
    ) -> Message:
        """Keep a text to send as soon as the session is connected; the same key is one message.

        Urgent ones overtake what is queued; each lane keeps its order. With `typing`, the other
        side sees for a while that somebody types it, as long as a person would, within limits.

        Raises:
            IdempotencyConflict: the key was used with another body.
            QueueFull: too much is queued already.
        """
        self._refuse_when_draining()

        async def work(unit: Unit) -> tuple[SessionRow, Message]:
            row = await session_table.find(unit.db, tenant, ref)
            message = await outbox.enqueue(
                unit,
                row,
                text,
                idempotency_key=idempotency_key,
                priority=priority,
                typing=typing,
                lifetime=self._services.policy.message_lifetime,
                queue_limit=self._services.policy.queue_limit,
            )
            return row, message_table.view(message, row.name)

        row, message = await self._store.write(work)
        self._fleet.wake(SessionId(row.id))
        return message

    async def messages(
        self,
        tenant: TenantId,
        ref: str,
        *,
        chat_id: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> MessagePage:
        """Return messages in both directions, newest first, older than the message `before`.

        Raises:
            MessageNotFound: `before` is no message of this session.
        """
        async with self._store.read() as db:
            row = await session_table.find(db, tenant, ref)
            return await message_table.page(
                db, SessionId(row.id), row.name, chat_id=chat_id, before=before, limit=limit
            )

    async def message(self, tenant: TenantId, ref: str, message_id: str) -> Message:
        """Return one message with the history of its status.

        Raises:
            MessageNotFound: the session has none such.
        """
        async with self._store.read() as db:
            row = await session_table.find(db, tenant, ref)
            return await message_table.one(db, SessionId(row.id), row.name, message_id)

    async def conversations(
        self, tenant: TenantId, ref: str, *, before: str | None = None, limit: int = 50
    ) -> ConversationPage:
        """Return chats, the most recently active first.

        Raises:
            MessageNotFound: `before` is no chat of this session.
        """
        async with self._store.read() as db:
            row = await session_table.find(db, tenant, ref)
            return await conversations.page(
                db, SessionId(row.id), row.name, before=before, limit=limit
            )

    async def usage(self, tenant: TenantId, query: UsageQuery) -> UsagePage:
        """Return what the tenant's sessions used day by day, also those that are gone."""
        today = self._services.clock.now().date()
        async with self._store.read() as db:
            return await usage.page(db, tenant, query, today=today)

    async def mark_read(self, tenant: TenantId, ref: str, message_id: str) -> Message:
        """Mark a message and those before it in its chat as read, here and for their sender.

        Raises:
            MessageNotFound: the session has no such message.
            NotConnected: the session is not connected; nothing was changed.
            NotSupported: the engine can't.
        """
        self._refuse_when_draining()
        async with self._store.read() as db:
            session = await session_table.find(db, tenant, ref)
            row = await message_table.load(db, SessionId(session.id), message_id)
            unread = await conversations.unread_until(db, row)
        if unread:
            receipts = self._fleet.connection(SessionId(session.id))
            if not isinstance(receipts, Receipts):
                raise NotSupported
            # In a group each member is told about his own messages.
            by_sender: defaultdict[str | None, list[str]] = defaultdict(list)
            for message in unread:
                sender = message.sender if message.is_group else None
                by_sender[sender].append(message.whatsapp_id or "")
            for sender, ids in by_sender.items():
                async with _answering():
                    await receipts.mark_read(row.chat_id, sender, ids)

        async def work(unit: Unit) -> Message:
            stored = await message_table.load(unit.db, SessionId(session.id), message_id)
            await conversations.mark_read(unit, stored)
            await unit.db.refresh(stored)
            return message_table.view(stored, session.name)

        return await self._store.write(work)

    async def show_presence(self, tenant: TenantId, ref: str, *, available: bool) -> None:
        """Show the account as online or not.

        Raises:
            NotConnected, NotSupported, SendFailed: it could not be shown.
        """
        presence = await self._presence(tenant, ref)
        async with _answering():
            await presence.show_presence(available=available)

    async def show_typing(self, tenant: TenantId, ref: str, chat: str, state: ChatState) -> None:
        """Show in a chat that somebody is typing or recording, or has stopped.

        Raises:
            NotConnected, NotSupported, SendFailed: it could not be shown.
        """
        presence = await self._presence(tenant, ref)
        async with _answering():
            await presence.show_typing(chat, state)

    async def _presence(self, tenant: TenantId, ref: str) -> Presence:
        self._refuse_when_draining()
        async with self._store.read() as db:
            session = await session_table.find(db, tenant, ref)
        connection = self._fleet.connection(SessionId(session.id))
        if not isinstance(connection, Presence):
            raise NotSupported
        return connection

    async def cancel(self, tenant: TenantId, ref: str, message_id: str) -> Message:
        """Cancel what is still queued; repeated, it changes nothing.

        Raises:
            MessageNotFound: the session has no such message.
            NotCancellable: it is being sent, or was.
        """
        return await self._decide(tenant, ref, message_id, outbox_decisions.cancel)

    async def resolve(
        self, tenant: TenantId, ref: str, message_id: str, decision: Literal["resend", "failed"]
    ) -> Message:
        """Decide about a message whose fate is unknown: send it (perhaps again), or call it failed.

        Raises:
            MessageNotFound: the session has no such message.
            NotUnknown: there is nothing to decide.
        """
        step = outbox_decisions.resend if decision == "resend" else outbox_decisions.give_up
        return await self._decide(tenant, ref, message_id, step)

    async def _decide(
        self, tenant: TenantId, ref: str, message_id: str, step: outbox_decisions.Decision
    ) -> Message:
        self._refuse_when_draining()

        async def work(unit: Unit) -> tuple[SessionRow, MessageRow]:
            session = await session_table.find(unit.db, tenant, ref)
            row = await message_table.load(unit.db, SessionId(session.id), message_id)
            await step(unit, row)
            return session, row

        session, row = await self._store.write(work)
        self._fleet.wake(SessionId(session.id))
        return message_table.view(row, session.name)
