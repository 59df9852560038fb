"""The engine of another: a QR microservice that somebody runs already holds the phones.

The service knows each session by our id, never by its name: names belong to tenants, and the same
name of two tenants would be one phone there. What it does not know how to say (pairing codes,
receipts, presence) this engine has not.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sessions.clock import Clock
from sessions.engine import Connection
from sessions.engine_microservice_calls import DISCONNECT_SECONDS, ServiceCalls
from sessions.engine_microservice_files import KnownSessions
from sessions.engine_microservice_line import MicroserviceLine
from sessions.engine_microservice_standing import EventWord, Paces
from sessions.errors import EngineUnavailable
from sessions.ids import SessionId
from sessions.messages import EngineMessage
from sessions.microservice import JsonObject, Microservice

logger = logging.getLogger(__name__)

OPEN_TIMEOUT_SECONDS = 15
_NOT_OPEN = "The session is not connected to the microservice now. Deliver it again in a while."


class MicroserviceEngine:
    """An `Engine` over a QR microservice; `hear` and `receive` take what that one posts.

    Args:
        service: how it is called; closed with the engine.
        clock: dates what comes without a date.
        directory: keeps which sessions it knows; read (blocking) here. None keeps it in memory.
        paces: how often it is looked at, and how long it is waited for.
    """

    def __init__(
        self,
        service: Microservice,
        clock: Clock,
        *,
        directory: Path | None = None,
        paces: Paces | None = None,
    ) -> None:
        self._service = service
        self._paces = paces or Paces()
        self._calls = ServiceCalls(service, clock, send_seconds=self._paces.send_seconds)
        self._clock = clock
        self._lines: dict[SessionId, MicroserviceLine] = {}
        self._serving = asyncio.Event()
        self._known = KnownSessions(directory)
        self._known.load()

    async def run(self) -> None:
        """Serve until cancelled; then every open connection ends."""
        self._serving.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._serving.clear()
            for line in self._lines.values():
                line.stop()
            await self._service.close()

    @asynccontextmanager
    async def open(self, session: SessionId) -> AsyncIterator[Connection]:
        """Let the service connect a session."""
        await self._wait_serving()
        if session in self._lines:
            raise RuntimeError(f"session {session} has an open connection already")
        line = MicroserviceLine(session, self._calls, self._known, self._clock, self._paces)
        # Before the service is asked: what it posts meanwhile must find the line.
        self._lines[session] = line
        try:
            await self._begin(line, session)
            async with self._watched(line, session):
                yield line
        finally:
            line.close()
            del self._lines[session]

    async def forget(self, session: SessionId) -> None:
        """Let the service give a session up, with its link to the phone. Idempotent."""
        if session in self._lines:
            raise RuntimeError(f"session {session} has an open connection")
        if session not in self._known:
            return
        await self._calls.disconnect(session, timeout_seconds=DISCONNECT_SECONDS)
        await self._known.remove(session)

    def has_credentials(self, session: SessionId) -> bool:
        """Tell whether the service has linked a phone, as far as it was heard."""
        return self._known.is_linked(session)

    def degraded(self) -> list[str]:
        """Return why the service is of no use now; nothing when it is. Asks only memory."""
        return [] if self._calls.fault is None else [self._calls.fault]

    def hear(self, session: SessionId, event: EventWord, data: JsonObject) -> None:
        """Take what the service posted about a session; a post that comes too late is dropped.

        Raises:
            EngineUnavailable: the session is not open.
        """
        self._line(session).hear(event, data)

    async def receive(self, session: SessionId, message: EngineMessage) -> None:
        """Take a message that the service posted; returns when it is committed.

        Raises:
            EngineUnavailable: the session is not open, or it was not committed in time: it has to
                be posted again.
        """
        await self._line(session).receive(message)

    def _line(self, session: SessionId) -> MicroserviceLine:
        if session not in self._lines:
            raise EngineUnavailable(_NOT_OPEN)
        return self._lines[session]

    async def _wait_serving(self) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                await self._serving.wait()
        except TimeoutError:
            raise EngineUnavailable from None

    async def _begin(self, line: MicroserviceLine, session: SessionId) -> None:
        try:
            await line.begin()
        except EngineUnavailable as error:
            extra = {"session": session, "reason": error.message}
            logger.warning("microservice not available", extra=extra)
            raise

    @asynccontextmanager
    async def _watched(self, line: MicroserviceLine, session: SessionId) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch(line, session), name=f"watch {session}")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            line.close()
            await line.leave()

    async def _watch(self, line: MicroserviceLine, session: SessionId) -> None:
        try:
            await line.watch()
        except EngineUnavailable as error:
            line.stop(fault=error.message)
        except Exception:
            logger.exception("line to the microservice failed", extra={"session": session})
            line.stop(fault="the line to the microservice failed")
