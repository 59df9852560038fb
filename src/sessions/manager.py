"""The one door to sessions: what a tenant may ask, and the tasks that keep sessions running.

Model: `run` holds a task group with one task per active session. Commands on one session take
turns by a lock; what they promise is committed before they return.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from sessions import event_log, outbox, session_table
from sessions.bus import announce
from sessions.clock import to_ms
from sessions.errors import (
    QrNotAvailable,
    SessionsError,
)
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, TenantId, new_uuid
from sessions.messaging import Messaging
from sessions.qr_codes import CurrentQr
from sessions.services import Services
from sessions.session import (
    EventPage,
    NewSession,
    Session,
    SessionChanges,
    SessionPage,
    SessionQuery,
)
from sessions.status import Status
from sessions.store import Unit
from sessions.upkeep import Upkeep

logger = logging.getLogger(__name__)

_LOGOUT_SECONDS = 15

Along = Callable[[Unit, SessionId], Awaitable[None]]
"""Writes in the transaction that makes a session; what it raises, the caller gets."""


class SessionManager(Messaging):
    """Everything a tenant can do with its sessions; `ref` is an id or a sessionId."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._upkeep = Upkeep(services, self._fleet)

    async def run(self) -> None:
        """Drive the active sessions until cancelled; those that were active start by themselves."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fleet.run())
            group.create_task(self._upkeep.run())

    async def drain(self) -> None:
        """Refuse commands from now on and end every session's connection in order.

        Takes no longer than the policy's `drain_seconds`; what has not ended by then is cut off.
        """
        self._draining = True
        self._upkeep.stop()
        try:
            async with asyncio.timeout(self._services.policy.drain_seconds):
                await self._fleet.stop_all()
        except TimeoutError:
            logger.warning("not every session ended in order")

    def healthy(self) -> list[str]:
        """Return why this process is not ready to serve; nothing when it is."""
        reasons = []
        if self._draining:
            reasons.append("The server is shutting down.")
        if not self._fleet.ready:
            reasons.append("The sessions' tasks are not running.")
        if self._store.fault is not None:
            reasons.append(f"The database takes no writes: {self._store.fault}")
        return reasons

    async def create(
        self, tenant: TenantId, new: NewSession, *, along: Along | None = None
    ) -> Session:
        """Add a session, not yet active, and what is written `along` with it; else neither.

        Raises:
            SessionExists: the tenant has one of this name.
        """
        self._refuse_when_draining()

        async def work(unit: Unit) -> Session:
            row = await session_table.insert(unit, tenant, new)
            if along is not None:
                await along(unit, SessionId(row.id))
            return session_table.view(row)

        return await self._store.write(work)

    async def list(self, tenant: TenantId, query: SessionQuery) -> SessionPage:
        """Return a slice of the tenant's sessions, oldest first."""
        async with self._store.read() as db:
            return await session_table.page(db, tenant, query)

    async def get(self, tenant: TenantId, ref: str) -> Session:
        """Return one session.

        Raises:
            SessionNotFound: the tenant has none such; every method below raises it likewise.
        """
        async with self._store.read() as db:
            return session_table.view(await session_table.find(db, tenant, ref))

    async def is_active(self, session: SessionId) -> bool:
        """Tell whether a session, of whichever tenant, is to be connected.

        Raises:
            SessionNotFound: there is none of this id.
        """
        async with self._store.read() as db:
            return (await session_table.load(db, session)).is_active

    async def update(self, tenant: TenantId, ref: str, changes: SessionChanges) -> Session:
        """Change what `changes` sets and nothing else."""
        self._refuse_when_draining()

        async def work(unit: Unit) -> Session:
            row = await session_table.find(unit.db, tenant, ref)
            session_table.apply(unit, row, changes)
            return session_table.view(row)

        return await self._store.write(work)

    async def delete(self, tenant: TenantId, ref: str) -> None:
        """Log the device out at WhatsApp when it is linked, then remove everything of the session.

        Raises:
            EngineUnavailable: its credentials can't be removed now; it is stopped, but kept.
        """
        async with self._turn(tenant, ref) as session:
            await self._unlink(session.id)
            await self._store.write(lambda unit: session_table.remove(unit, session.id))
            await self._publish_deleted(tenant, session)

    async def activate(
        self, tenant: TenantId, ref: str, *, pairing_phone_number: str | None = None
    ) -> Session:
        """Connect a session, or show a code to link it; `pairing_phone_number` is digits.

        Does nothing for a session that is connecting or connected already, unless a pairing code
        is asked for while none is linked.
        """
        async with self._turn(tenant, ref) as session:
            if session.id in self._fleet:
                is_kept = pairing_phone_number is None or session.jid is not None
                if is_kept and not self._fleet.is_over(session.id):
                    return session
                await self._fleet.stop(session.id)
            return await self._start(session.id, pairing_phone=pairing_phone_number)

    async def deactivate(self, tenant: TenantId, ref: str) -> Session:
        """Disconnect a session and leave it so; its credentials stay."""
        async with self._turn(tenant, ref) as session:
            if not session.is_active and session.id not in self._fleet:
                return session
            await self._fleet.stop(session.id)
            return await self._stopped(session.id)

    async def reset_auth(self, tenant: TenantId, ref: str) -> Session:
        """Remove a session's credentials; the next activation shows a QR code.

        The device is logged out at WhatsApp when it can be reached.

        Raises:
            EngineUnavailable: the credentials can't be removed now.
        """
        async with self._turn(tenant, ref) as session:
            await self._unlink(session.id)
            return await self._store.write(lambda unit: session_table.unlink(unit, session.id))

    async def regenerate_qr(self, tenant: TenantId, ref: str) -> Session:
        """Begin a new login with attempt 0; does nothing for a connected session."""
        async with self._turn(tenant, ref) as session:
            if session.status is Status.CONNECTED:
                return session
            await self._fleet.stop(session.id)
            return await self._start(session.id)

    async def qr(self, tenant: TenantId, ref: str) -> CurrentQr:
        """Return the code that can be scanned now.

        Raises:
            QrNotAvailable: there is none.
        """
        session = await self.get(tenant, ref)
        qr = await self._services.qr_codes.get(session.id)
        if qr is None or not qr.valid_at(self._services.clock.now()):
            raise QrNotAvailable
        return qr

    async def events(
        self, tenant: TenantId, ref: str, *, after: str | None = None, limit: int = 100
    ) -> EventPage:
        """Return durable events behind a cursor, oldest first.

        Raises:
            UnrecoverablePosition: what follows that cursor is not whole any more.
        """
        async with self._store.read() as db:
            row = await session_table.find(db, tenant, ref)
            return await event_log.read(db, row, after=after, limit=limit)

    @contextlib.asynccontextmanager
    async def _turn(self, tenant: TenantId, ref: str) -> AsyncIterator[Session]:
        """Hold the session for one command, as it is once earlier ones are through."""
        self._refuse_when_draining()
        session = await self.get(tenant, ref)
        async with self._fleet.turn(session.id):
            self._refuse_when_draining()
            yield await self.get(tenant, session.id)

    async def _start(self, session: SessionId, *, pairing_phone: str | None = None) -> Session:
        started = await self._store.write(
            lambda unit: session_table.start(unit, session, "activating")
        )
        self._fleet.start(started, pairing_phone=pairing_phone)
        return started

    async def _stopped(self, session: SessionId) -> Session:
        """Record that a session was stopped; nothing of it is being sent any more."""

        async def work(unit: Unit) -> Session:
            await outbox.own_up(unit, session, epoch=None)
            return await session_table.stop(unit, session, "deactivated")

        return await self._store.write(work)

    async def _unlink(self, session: SessionId) -> None:
        """End a session's connection, at WhatsApp too as far as it can be reached, for good."""
        # In a thread: it reads the store's file.
        linked = await asyncio.to_thread(self._services.engine.has_credentials, session)
        try:
            async with asyncio.timeout(_LOGOUT_SECONDS):
                await self._fleet.stop(session, log_out=linked)
        except (SessionsError, TimeoutError):
            # The phone goes on listing the device; its owner can remove it there.
            logger.warning("device not logged out at WhatsApp", extra={"session": session})
            await self._fleet.stop(session)
        # Before the credentials go: should that fail, the session must not look connected.
        await self._stopped(session)
        await self._services.engine.forget(session)
        await self._services.qr_codes.remove(session)

    async def _publish_deleted(self, tenant: TenantId, session: Session) -> None:
        event = SessionEvent(
            id=new_uuid(),
            type=EventType.SESSION_DELETED,
            session=session.id,
            session_id=session.session_id,
            tenant=tenant,
            timestamp=to_ms(self._services.clock.now()),
            data={},
        )
        await announce(self._services.bus, event)
