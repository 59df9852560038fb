"""How a session stands at a microservice: what it posts and answers, told as signals.

A post is only a hint: it may be hours old. Before anything is believed that begins or ends a login,
the service is asked how it stands now. One task (the line's `watch`) calls everything here that is
asynchronous, one thing at a time.
"""

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from sessions.clock import Clock, to_ms
from sessions.engine_microservice_calls import Seen, ServiceCalls
from sessions.engine_microservice_files import KnownSessions
from sessions.engine_microservice_image import UnreadablePicture, is_picture, read_code
from sessions.engine_microservice_wire import Wire
from sessions.engine_microservice_words import (
    Account,
    State,
    account_of,
    codes_of,
    expiry_ms,
    final_of,
    flat,
)
from sessions.errors import EngineUnavailable
from sessions.ids import SessionId
from sessions.messages import PHONE_SERVER
from sessions.microservice import JsonObject
from sessions.signals import (
    Connected,
    CredentialsCorrupted,
    Disconnected,
    EngineStopped,
    LoggedOut,
    Paired,
    QrCode,
    QrExhausted,
    Signal,
    StreamReplaced,
)

logger = logging.getLogger(__name__)

EventWord = Literal["qr", "connected", "disconnected"]
_DOWNS_MOST = 12
_CODE_LEAST_MS = 15_000
"""A code is shown for so long, however far the service's clock is from ours."""


@dataclass(frozen=True)
class Paces:
    """How often the service is looked at, in seconds, and how long each side waits."""

    online_seconds: float = 15
    login_seconds: float = 5
    commit_seconds: float = 10
    """So long a post is held until what it brought is committed."""
    send_seconds: float = 60
    """So long a send may wait for its answer."""


class Phase(Enum):
    """How a session stands, as far as its signals tell."""

    STARTING = auto()
    SHOWING_QR = auto()
    ONLINE = auto()
    AWAY = auto()
    ENDED = auto()


LOGGING_IN = frozenset({Phase.STARTING, Phase.SHOWING_QR})


class Standing:
    """One connection's state, which only what the service says changes."""

    def __init__(
        self,
        session: SessionId,
        calls: ServiceCalls,
        known: KnownSessions,
        clock: Clock,
        wire: Wire,
    ) -> None:
        self.phase = Phase.STARTING
        self._session = session
        self._calls = calls
        self._known = known
        self._clock = clock
        self._wire = wire
        self._account: Account | None = None
        """What a post told of the account: an answer to a look may tell less."""
        self._shown: tuple[str, int] | None = None
        """The code that was told, as the service gave it, and when it ends."""
        self._downs = 0

    async def begin(self) -> None:
        """Let the service connect the session, unless it has done so already.

        Raises:
            EngineUnavailable: it can't be reached, or will not.
        """
        seen = await self._calls.status(self._session)
        if seen.state not in {State.CONNECTED, State.SHOWING_QR}:
            await self._known.keep(self._session, linked=self._known.is_linked(self._session))
            seen = await self._calls.init(self._session)
        if seen.state is State.SHOWING_QR:
            # It has lost the login that it had: no end of this line, but a new beginning.
            await self._known.keep(self._session, linked=False)
        if seen.state in {State.CONNECTED, State.SHOWING_QR}:
            await self._believe(seen)

    async def heard(self, event: EventWord, data: JsonObject) -> None:
        """See to what the service has posted."""
        body = flat(data)
        match event:
            case "qr" if self.phase in LOGGING_IN:
                await self._show(body)
            case "disconnected":
                await self._heard_of_loss(final_of(body))
            case "connected":
                self._account = account_of(body) or self._account
                await self.look()
            case _:
                await self.look()

    async def look(self) -> None:
        """Ask the service how the session stands, and tell what has changed."""
        if (seen := await self._seen()) is not None:
            await self._believe(seen)

    def end(self, final: Signal) -> None:
        """End the connection with this signal, unless it has ended."""
        self._enter(Phase.ENDED)
        self._wire.tell(final)

    def close(self) -> None:
        """Let nothing change any more."""
        self._enter(Phase.ENDED)

    def _enter(self, phase: Phase) -> None:
        # An answer may come when the connection has ended meanwhile.
        if self.phase is not Phase.ENDED:
            self.phase = phase

    async def _heard_of_loss(self, final: Signal | None) -> None:
        if final is None:
            self._lost("stream_lost")
            await self.look()
            return
        seen = await self._seen()
        if seen is None or seen.state is State.CONNECTED:
            return
        # A new login has begun since: that end was the last one's.
        if seen.state in {State.SHOWING_QR, State.WORKING} and self.phase in LOGGING_IN:
            await self._believe(seen)
            return
        await self._conclude(final)

    async def _seen(self) -> Seen | None:
        try:
            return await self._calls.status(self._session)
        except EngineUnavailable as error:
            if self.phase is Phase.ONLINE:
                extra = {"session": self._session, "reason": error.message}
                logger.warning("microservice away", extra=extra)
            self._lost("keepalive_lost")
            return None

    async def _believe(self, seen: Seen) -> None:
        self._downs = self._downs + 1 if seen.state is State.DOWN else 0
        if self.phase is Phase.ENDED:
            return
        match seen.state:
            case State.CONNECTED:
                await self._up(seen.body)
            case State.SHOWING_QR if self.phase in LOGGING_IN:
                await self._show(seen.body)
            case State.SHOWING_QR | State.LOGGED_OUT if self.phase not in LOGGING_IN:
                await self._conclude(LoggedOut(by_phone=True))
            case State.WORKING:
                self._lost("stream_lost")
            case State.REPLACED:
                await self._conclude(StreamReplaced())
            case State.FAILED:
                await self._conclude(final_of(seen.body) or self._vague_end())
            case _:
                await self._down()

    def _vague_end(self) -> Signal:
        """Return what it means that a session ended, and nobody says why."""
        if self.phase is Phase.SHOWING_QR:
            return QrExhausted()
        return EngineStopped(detail="the microservice gave the session up")

    async def _down(self) -> None:
        """See to a session that the service does nothing for."""
        self._lost("stream_lost")
        if self.phase is Phase.SHOWING_QR or self._downs > _DOWNS_MOST:
            await self._conclude(self._vague_end())
        elif self._downs > 1:
            # Not at first sight: it may be between two connections of its own.
            try:
                await self._calls.init(self._session)
            except EngineUnavailable as error:
                extra = {"session": self._session, "reason": error.message}
                logger.warning("microservice does not connect", extra=extra)

    async def _up(self, body: JsonObject) -> None:
        if self.phase is Phase.ONLINE:
            return
        account = self._fuller(account_of(body))
        if account is None:
            # Every record of the session would be about nobody.
            logger.error("microservice tells no phoneNumber", extra={"session": self._session})
            self.end(EngineStopped(detail="the microservice tells no phoneNumber"))
            return
        jid = f"{account.phone}@{PHONE_SERVER}"
        if not self._known.is_linked(self._session):
            # A login that is told before it is kept would be forgotten by a restart.
            await self._known.keep(self._session, linked=True)
            self._wire.tell(Paired(jid=jid, lid=account.lid, platform="microservice"))
        self._wire.tell(
            Connected(jid=jid, phone=account.phone, lid=account.lid, push_name=account.push_name)
        )
        self._enter(Phase.ONLINE)

    def _fuller(self, seen: Account | None) -> Account | None:
        told = self._account
        return told if seen is None or (told is not None and told.phone == seen.phone) else seen

    def _lost(self, reason: Literal["stream_lost", "keepalive_lost"]) -> None:
        if self.phase is Phase.ONLINE:
            self._enter(Phase.AWAY)
            self._wire.tell(Disconnected(reason=reason))

    async def _show(self, body: JsonObject) -> None:
        """Tell of the code that can be scanned now, unless it was told and can still be."""
        try:
            found = body if any(codes_of(body)) else await self._calls.qr_code(self._session)
        except EngineUnavailable:
            return
        now_ms, shown = to_ms(self._clock.now()), next(iter(codes_of(found)), None)
        if shown is None or (
            self._shown is not None and self._shown[0] == shown and self._shown[1] > now_ms
        ):
            return
        if (code := await self._read(shown)) is not None:
            expires_at_ms = max(expiry_ms(found, self._clock.now()), now_ms + _CODE_LEAST_MS)
            self._shown = (shown, expires_at_ms)
            self._enter(Phase.SHOWING_QR)
            self._wire.tell(QrCode(code=code, expires_at_ms=expires_at_ms))

    async def _read(self, shown: str) -> str | None:
        if not is_picture(shown):
            return shown
        try:
            return await asyncio.to_thread(read_code, shown)
        except UnreadablePicture as error:
            extra = {"session": self._session, "reason": str(error)}
            logger.warning("microservice shows no readable code", extra=extra)
            return None

    async def _conclude(self, final: Signal) -> None:
        """End the connection with what the service says; what is kept here changes first."""
        if isinstance(final, LoggedOut | CredentialsCorrupted):
            await self._known.keep(self._session, linked=False)
        self.end(final)
