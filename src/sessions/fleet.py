"""The sessions that this process drives: a supervised task for each, ended in order."""

import asyncio
import contextlib
import contextvars
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from sessions.engine import Connection, Engine
from sessions.errors import EngineUnavailable, NotConnected
from sessions.ids import SessionId
from sessions.runner import SessionRunner
from sessions.services import Services
from sessions.session import Session
from sessions.signals import Connected

logger = logging.getLogger(__name__)

_STOP_SECONDS = 20
_CLEAR_UP_SECONDS = 5
_STOP_AT_ONCE = 8


async def unlink(engine: Engine, session: SessionId) -> None:
    """Connect a linked session only to log it out at WhatsApp.

    Raises:
        EngineUnavailable: it could not be connected.
        NotConnected: WhatsApp did not let it in.
    """
    async with engine.open(session) as connection:
        async for batch in connection.signals():
            if any(isinstance(signal, Connected) for signal in batch):
                await connection.logout()
                return
    raise NotConnected


@dataclass(frozen=True)
class _Running:
    runner: SessionRunner
    task: asyncio.Task[None]


class Fleet:
    """Which sessions this process drives."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: dict[SessionId, _Running] = {}
        self._group: asyncio.TaskGroup | None = None
        # A lock lives as long as somebody holds or awaits it.
        self._turns: WeakValueDictionary[SessionId, asyncio.Lock] = WeakValueDictionary()

    def __contains__(self, session: SessionId) -> bool:
        return session in self._running

    def is_over(self, session: SessionId) -> bool:
        """Tell whether a session that is driven still only clears up: it connects no more."""
        return session in self._running and self._running[session].runner.is_over

    def turn(self, session: SessionId) -> asyncio.Lock:
        """Return what a command on this session holds while it runs."""
        return self._turns.setdefault(session, asyncio.Lock())

    @property
    def ready(self) -> bool:
        """Whether sessions can be started."""
        return self._group is not None

    async def run(self) -> None:
        """Hold the sessions' tasks until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                await asyncio.Event().wait()
        finally:
            self._group = None

    def start(self, session: Session, *, pairing_phone: str | None = None) -> None:
        """Drive a session from now on; the caller has seen that it is not driven already.

        Raises:
            EngineUnavailable: the fleet does not run (yet, or any more).
        """
        if self._group is None:
            raise EngineUnavailable
        runner = SessionRunner(self._services, session, pairing_phone=pairing_phone)
        # A context of its own: the session outlives the request that started it, and its log
        # lines must not carry that request's id.
        task = self._group.create_task(
            runner.run(), name=f"session {session.id}", context=contextvars.Context()
        )
        running = _Running(runner, task)
        self._running[session.id] = running
        task.add_done_callback(lambda _: self._left(session.id, running))

    def _left(self, session: SessionId, running: _Running) -> None:
        if self._running.get(session) is running:
            del self._running[session]

    def wake(self, session: SessionId) -> None:
        """Let a session look for queued messages now."""
        running = self._running.get(session)
        if running is not None:
            running.runner.wake()

    def connection(self, session: SessionId) -> Connection:
        """Return a session's connection while messages flow over it.

        Raises:
            NotConnected: it has none now.
        """
        running = self._running.get(session)
        connection = None if running is None else running.runner.connection
        if connection is None:
            raise NotConnected("The session is not connected. Activate it, or wait until it is.")
        return connection

    async def stop(self, session: SessionId, *, log_out: bool = False) -> None:
        """End a session's task in order: a send in flight first, then its connection. Idempotent.

        With `log_out`, the device is unlinked at WhatsApp before, on a connection of its own when
        the session has none.

        Raises:
            NotConnected: it could not be unlinked; with `log_out` only.
            EngineUnavailable: likewise; or its task does not end.
        """
        running = self._running.get(session)
        if running is None:
            if log_out:
                await unlink(self._services.engine, session)
            return
        await running.runner.finish()
        by_its_own = running.runner.connection is not None
        if log_out and by_its_own:
            await running.runner.log_out()
        await self._end(session, running)
        if log_out and not by_its_own:
            await unlink(self._services.engine, session)

    async def _end(self, session: SessionId, running: _Running) -> None:
        if running.runner.is_over:
            # Cut off, it would leave credentials behind that are of no use any more.
            await asyncio.wait({running.task}, timeout=_CLEAR_UP_SECONDS)
        running.task.cancel()
        await asyncio.wait({running.task}, timeout=_STOP_SECONDS)
        if not running.task.done():
            logger.error("session does not end", extra={"session": session})
            raise EngineUnavailable("The session's connection does not end. Try again.")

    async def stop_all(self) -> None:
        """End every session's task in order: what is being sent first, then a few at a time."""
        await asyncio.gather(*(one.runner.finish() for one in self._running.values()))
        await self._each(list(self._running))

    async def _each(self, sessions: Iterable[SessionId]) -> None:
        turns = asyncio.Semaphore(_STOP_AT_ONCE)

        async def stop(session: SessionId) -> None:
            async with turns:
                with contextlib.suppress(EngineUnavailable):
                    await self.stop(session)

        async with asyncio.TaskGroup() as group:
            for session in sessions:
                group.create_task(stop(session))
