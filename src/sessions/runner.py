"""Drives one active session: connects it, records what happens, connects it again.

Model: one task per session runs `run`. While a connection is open a task group holds the reader of
its signals (this task), the sender of its outbox, and short-lived reporters. A batch of signals is
acknowledged only when it is committed, so what a dying process has not recorded WhatsApp still has.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from functools import partial

from sessions import endings
from sessions.endings import Ending
from sessions.engine import Connection
from sessions.errors import (
    EngineUnavailable,
    NotConnected,
    SessionNotFound,
    StorageUnavailable,
)
from sessions.event_log import Fenced
from sessions.login import Login
from sessions.pace import Pace
from sessions.recorder import Recorder
from sessions.retries import Retries
from sessions.sender import Sender
from sessions.services import Services
from sessions.session import Session
from sessions.signals import (
    FINAL,
    Connected,
    Disconnected,
    EngineStopped,
    KeepAliveRestored,
    MessageUndecryptable,
    Paired,
    QrCode,
    QrExhausted,
    Signal,
)
from sessions.store import T, Work

logger = logging.getLogger(__name__)


class SessionRunner:
    """The life of one active session in this process."""

    def __init__(
        self, services: Services, session: Session, *, pairing_phone: str | None = None
    ) -> None:
        self._services = services
        self._recorder = Recorder(session.id, session.session_id)
        self._login = Login(services, self._recorder, pairing_phone)
        self._connection: Connection | None = None
        self._sender: Sender | None = None
        self.is_over = False
        """Told to be over, or about to be: what is left is to clear up."""
        self._leaving = False
        self._loss: asyncio.Task[None] | None = None
        self._retries = Retries(services.policy, services.clock)
        self._pace = Pace(services.policy, services.clock)
        self._group: asyncio.TaskGroup

    @property
    def connection(self) -> Connection | None:
        """The connection when messages flow, None at other times."""
        return self._connection if self._sender is not None and self._sender.is_online else None

    def wake(self) -> None:
        """Look for queued messages now."""
        if self._sender is not None:
            self._sender.wake()

    async def finish(self) -> None:
        """Let a send in flight end, and start no other: the task may be cancelled then."""
        if self._sender is not None:
            await self._sender.finish(self._services.policy.stop_timeout_seconds)

    async def log_out(self) -> None:
        """Unlink the device at WhatsApp; the task ends then, or may be cancelled.

        Raises:
            NotConnected: there is no connection now.
        """
        if self._connection is None:
            raise NotConnected
        self._leaving = True
        try:
            await self._connection.logout()
        except BaseException:
            self._leaving = False
            raise

    async def run(self) -> None:
        """Keep the session connected until a person is needed, another owner came, or cancelled.

        Nothing else leaves it: a fault of one session must not end the process that drives all.
        """
        try:
            while True:
                pause_seconds = await self._once()
                if pause_seconds is None:
                    return
                await asyncio.sleep(pause_seconds)
        except (Fenced, SessionNotFound):
            logger.info("session left", extra={"session": self._recorder.session})
        finally:
            # Shielded by its own time-out: a code must not outlive the connection that offered it.
            await self._login.withdraw()

    async def _once(self) -> float | None:
        """Run one connection to its end; return the seconds until the next, None for no next."""
        started = self._services.clock.monotonic()
        try:
            final = await self._connect()
            lasted_seconds = self._services.clock.monotonic() - started
            return None if self._leaving else await self._conclude(final, lasted_seconds)
        except StorageUnavailable:
            return self._retries.back_off_seconds()
        except (Fenced, SessionNotFound):
            raise
        except Exception:
            logger.exception("session task failed", extra={"session": self._recorder.session})
            self._services.metrics.background_faults.inc()
        return await self._conclude_fault()

    async def _conclude_fault(self) -> float | None:
        """Show that the gateway itself failed instead of what was true before, or try again."""
        recorder = self._recorder
        ending = self._retries.judge(endings.gateway_fault(), lasted_seconds=0)
        for write in (recorder.conclude, recorder.show) if recorder.epoch else (recorder.show,):
            try:
                await self._persist(partial(write, ending=ending))
            except StorageUnavailable:
                break
            except (Fenced, SessionNotFound):
                raise
            except Exception:
                logger.exception("fault not recorded", extra={"session": recorder.session})
                self._services.metrics.background_faults.inc()
            else:
                self.is_over = ending.is_last
                return self._retries.pause_seconds(ending, self._services.clock.now())
        self.is_over = False
        return self._retries.back_off_seconds()

    async def _connect(self) -> Signal | None:
        """Open a connection and serve it; return its final signal, None if none could be opened."""
        services = self._services
        await self._persist(self._recorder.claim)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with services.connects:
                    connection = await stack.enter_async_context(
                        services.engine.open(self._recorder.session)
                    )
            except EngineUnavailable:
                return None
            return await self._serve(connection)

    async def _serve(self, connection: Connection) -> Signal:
        self._connection = connection
        self._sender = Sender(self._services, self._recorder, connection, self._pace)
        try:
            async with asyncio.TaskGroup() as self._group:
                sending = self._group.create_task(self._sender.run())
                final = await self._read(connection)
                self._cancel_loss()
                await self._sender.finish(self._services.policy.stop_timeout_seconds)
                sending.cancel()
            return final
        except ExceptionGroup as group:
            # The first says why the others were cancelled, and callers look for it bare.
            raise group.exceptions[0] from None
        finally:
            self._sender = self._connection = None
            self._login.connection_ended()

    async def _read(self, connection: Connection) -> Signal:
        async for batch in connection.signals():
            await self._record(batch)
            for signal in batch:
                if isinstance(signal, FINAL):
                    return signal
                await self._react(signal, connection)
        return EngineStopped(detail="the connection ended without saying why")

    async def _record(self, batch: Sequence[Signal]) -> None:
        """Record a batch as a whole; if something in it can't be recorded, all but that.

        Without this, one signal that nobody foresaw would come again and again, and hold back
        everything behind it.
        """
        try:
            await self._persist(partial(self._recorder.record, signals=batch))
        except (StorageUnavailable, Fenced, SessionNotFound):
            raise
        except Exception:
            logger.exception("batch not recorded", extra={"session": self._recorder.session})
            for signal in batch:
                await self._record_alone(signal)

    async def _record_alone(self, signal: Signal) -> None:
        try:
            await self._persist(partial(self._recorder.record, signals=[signal]))
        except (StorageUnavailable, Fenced, SessionNotFound):
            raise
        except Exception:
            self._services.metrics.background_faults.inc()
            extra = {"session": self._recorder.session, "event": signal.kind}
            logger.exception("signal not recorded", extra=extra)
            await self._persist(partial(self._recorder.unrecordable, kind=signal.kind))

    async def _react(self, signal: Signal, connection: Connection) -> None:
        """Do what a recorded signal asks for beyond its record."""
        match signal:
            case QrCode():
                await self._login.show(signal, connection, self._group)
            case Paired():
                await self._login.accepted()
            case Connected() | KeepAliveRestored():
                self._cancel_loss()
                await self._login.accepted()
                self._online(up=True)
            case Disconnected():
                self._online(up=False)
                if self._loss is None:
                    reporting = self._report_loss(signal, self._recorder.comebacks)
                    self._loss = self._group.create_task(reporting)
            case MessageUndecryptable():
                self._services.metrics.undecryptable.inc()

    def _online(self, *, up: bool) -> None:
        if self._sender is not None:
            self._sender.online(up)

    async def _report_loss(self, loss: Disconnected, comebacks: int) -> None:
        """Report a loss that lasts; most are over before anyone could act on the news."""
        await asyncio.sleep(self._services.policy.blip_seconds)
        await self._persist(partial(self._recorder.lost, loss=loss, comebacks=comebacks))

    def _cancel_loss(self) -> None:
        if self._loss is not None:
            self._loss.cancel()
            self._loss = None

    async def _conclude(self, final: Signal | None, lasted_seconds: float) -> float | None:
        """Record an end and return the seconds until the next connection, None for no next."""
        if isinstance(final, QrExhausted) and await self._login.exhausted():
            return 0.0
        ending = self._retries.judge(self._ending(final), lasted_seconds=lasted_seconds)
        self._services.metrics.connections.labels(ending.reason).inc()
        self.is_over = ending.is_last
        await self._login.withdraw()
        # First the record, however long it takes: after a crash in between, stale credentials end
        # the next connection the same way, but a lost word would never be said.
        await self._record_end(ending)
        if ending.credentials_gone:
            await self._forget()
        return self._retries.pause_seconds(ending, self._services.clock.now())

    async def _record_end(self, ending: Ending) -> None:
        while True:
            try:
                return await self._persist(lambda unit: self._recorder.conclude(unit, ending))
            except StorageUnavailable:
                logger.warning("ending not recorded yet", extra={"reason": ending.reason})

    def _ending(self, final: Signal | None) -> Ending:
        if final is None:
            return endings.engine_unavailable()
        return endings.ending_of(final, qr_attempts=self._login.max_attempts)

    async def _forget(self) -> None:
        try:
            await self._services.engine.forget(self._recorder.session)
        except EngineUnavailable:
            logger.warning("credentials not removed", extra={"session": self._recorder.session})
        except Exception:
            logger.exception("credentials not removed", extra={"session": self._recorder.session})
            self._services.metrics.background_faults.inc()

    async def _persist(self, work: Work[T]) -> T:
        """Write, waiting for a database that is away: meanwhile WhatsApp is held back.

        Raises:
            StorageUnavailable: it is away for longer than WhatsApp may be held.
        """
        clock, patience = self._services.clock, self._services.policy.storage_patience_seconds
        deadline = clock.monotonic() + patience
        while True:
            try:
                return await self._services.store.write(work)
            except StorageUnavailable:
                if clock.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.5)
