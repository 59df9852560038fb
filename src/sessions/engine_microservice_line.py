"""One session's line to a microservice.

Model: one task (`watch`) sees to what the service posted about the session, one thing at a time,
and looks at the service between them. Messages do not pass through it: each goes on the wire at
once, and its post is answered when it is committed.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from sessions.clock import Clock
from sessions.engine import PairingCode
from sessions.engine_microservice_calls import DISCONNECT_SECONDS, ServiceCalls
from sessions.engine_microservice_files import KnownSessions
from sessions.engine_microservice_standing import LOGGING_IN, EventWord, Paces, Phase, Standing
from sessions.engine_microservice_wire import Wire
from sessions.errors import EngineUnavailable, NotConnected, PairingRefused, SendUncertain
from sessions.ids import SessionId
from sessions.messages import EngineMessage, OutgoingText, Sent
from sessions.microservice import JsonObject
from sessions.signals import FINAL, EngineStopped, MessageReceived, Signal

_LEAVE_SECONDS = 3
_NEWS_MOST = 100
_PAIRING = "A QR microservice has no login by pairing code. Scan the QR code instead."


class MicroserviceLine:
    """A `Connection` that a QR microservice holds for us."""

    def __init__(
        self,
        session: SessionId,
        calls: ServiceCalls,
        known: KnownSessions,
        clock: Clock,
        paces: Paces,
    ) -> None:
        self._session = session
        self._calls = calls
        self._known = known
        self._paces = paces
        self._wire = Wire()
        self._standing = Standing(session, calls, known, clock, self._wire)
        self._news: asyncio.Queue[tuple[EventWord, JsonObject] | None] = asyncio.Queue(_NEWS_MOST)

    async def begin(self) -> None:
        """Let the service connect the session, unless it has done so already.

        Raises:
            EngineUnavailable: it can't be reached, or will not.
        """
        await self._standing.begin()

    async def watch(self) -> None:
        """See to news, and look at the service, until the line ends.

        Raises:
            EngineUnavailable: what was heard can't be kept.
        """
        while self._standing.phase is not Phase.ENDED:
            news = await self._next_news()
            if news is None:
                await self._standing.look()
            else:
                await self._standing.heard(*news)

    def hear(self, event: EventWord, data: JsonObject) -> None:
        """Take what the service posted about the session; `watch` sees to it."""
        self._put((event, data))

    async def receive(self, message: EngineMessage) -> None:
        """Take a message; returns when it is committed.

        Raises:
            EngineUnavailable: it could not be, in time.
        """
        if self._standing.phase in LOGGING_IN:
            self._put(None)
        signal = MessageReceived(message=message)
        await self._wire.deliver(signal, timeout_seconds=self._paces.commit_seconds)

    def stop(self, *, fault: str | None = None) -> None:
        """End the line because the engine stops, or has failed with it."""
        self._standing.end(EngineStopped(planned=fault is None, detail=fault or ""))

    def close(self) -> None:
        """Hang up: whoever waits here ends."""
        self._standing.close()
        self._wire.close()

    async def leave(self) -> None:
        """Take back a login that came to nothing; a linked session stays as it is at the service.

        It must not go on offering codes to whoever passes by.
        """
        if self._session not in self._known or self._known.is_linked(self._session):
            return
        with contextlib.suppress(EngineUnavailable):
            await self._calls.disconnect(self._session, timeout_seconds=_LEAVE_SECONDS)
            await self._known.remove(self._session)

    async def signals(self) -> AsyncIterator[Sequence[Signal]]:
        """Yield what happened; asking for the next batch acknowledges the previous one."""
        while batch := await self._wire.next_batch():
            yield batch
            self._wire.acknowledge()
            if isinstance(batch[-1], FINAL):
                return

    async def send(self, message: OutgoingText) -> Sent:
        """Send one text."""
        self._require_online()
        try:
            return await self._calls.send(self._session, message)
        except (NotConnected, SendUncertain):
            # What hindered it is seen at once, instead of at the next look.
            self._put(None)
            raise

    async def pair_phone(self, phone: str) -> PairingCode:
        """Refuse: the service has no call for it."""
        raise PairingRefused(_PAIRING)

    async def logout(self) -> None:
        """Unlink this device; no signal follows."""
        self._require_online()
        try:
            await self._calls.disconnect(self._session, timeout_seconds=DISCONNECT_SECONDS)
            await self._known.remove(self._session)
        except EngineUnavailable as error:
            raise NotConnected(error.message) from error
        self.close()

    def _require_online(self) -> None:
        if self._standing.phase is not Phase.ONLINE:
            raise NotConnected

    def _put(self, news: tuple[EventWord, JsonObject] | None) -> None:
        # When more comes than can be seen to, the next look finds how things stand.
        with contextlib.suppress(asyncio.QueueFull):
            self._news.put_nowait(news)

    async def _next_news(self) -> tuple[EventWord, JsonObject] | None:
        """Wait for a post; None when it is time to look, or somebody asked for that."""
        is_online = self._standing.phase is Phase.ONLINE
        seconds = self._paces.online_seconds if is_online else self._paces.login_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._news.get()
        except TimeoutError:
            return None
