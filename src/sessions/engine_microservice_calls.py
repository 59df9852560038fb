"""The five calls that a QR microservice answers, and what its answers mean."""

import logging
from dataclasses import dataclass, field

from sessions.clock import Clock, to_ms
from sessions.engine_microservice_words import (
    State,
    flat,
    lid_of,
    message_id_of,
    moment_ms,
    sentence_of,
    state_of,
)
from sessions.errors import (
    EngineUnavailable,
    NotConnected,
    NotOnWhatsApp,
    SendFailed,
    SendThrottled,
    SendUncertain,
)
from sessions.ids import SessionId, new_uuid
from sessions.messages import PHONE_SERVER, OutgoingText, Sent
from sessions.microservice import JsonObject, Microservice, NotAnswered, NotReached, Reply

logger = logging.getLogger(__name__)

INIT_SECONDS = 30
"""Some start a browser for it."""
LOOK_SECONDS = 10
DISCONNECT_SECONDS = 14
"""It may have to tell WhatsApp."""

_FAULT_SECONDS = 120
"""Longer than the pause between two attempts to open a session."""

_REFUSED_KEY = "The QR microservice refuses the key. Set WAGATE_WHATSAPP_QR_SERVICE_KEY to its own."
_NOT_ON_WHATSAPP = frozenset({"not_on_whatsapp", "number_not_on_whatsapp", "not_registered"})


@dataclass(frozen=True)
class Seen:
    """What the service says about a session."""

    state: State
    body: JsonObject = field(default_factory=dict, repr=False)


class ServiceCalls:
    """The contract's calls, each with a time of its own; none is made twice by itself."""

    def __init__(self, service: Microservice, clock: Clock, *, send_seconds: float) -> None:
        self._service = service
        self._clock = clock
        self._send_seconds = send_seconds
        self._fault: tuple[str, float] | None = None

    @property
    def fault(self) -> str | None:
        """Why the service was of no use lately; None when it is, or nobody has asked it since."""
        if self._fault is None or self._clock.monotonic() > self._fault[1] + _FAULT_SECONDS:
            return None
        return self._fault[0]

    async def init(self, session: SessionId) -> Seen:
        """Ask the service to connect a session.

        Raises:
            EngineUnavailable: it can't be reached, or will not.
        """
        try:
            reply = await self._post("/init", {"sessionId": session}, INIT_SECONDS)
        except NotAnswered:
            # A browser may be starting for longer than that: the looks that follow will tell.
            return Seen(State.WORKING)
        if reply.status == 409:
            return Seen(State.WORKING)
        self._require(reply, "/init")
        seen = Seen(state_of(flat(reply.body)), flat(reply.body))
        return Seen(State.WORKING, seen.body) if seen.state is State.DOWN else seen

    async def status(self, session: SessionId) -> Seen:
        """Ask where a session stands.

        Raises:
            EngineUnavailable: the service can't be reached, or will not say.
        """
        reply = await self._look(f"/status/{session}")
        if reply.status == 404:
            return Seen(State.DOWN)
        self._require(reply, "/status")
        return Seen(state_of(flat(reply.body)), flat(reply.body))

    async def qr_code(self, session: SessionId) -> JsonObject:
        """Ask for the code that can be scanned now; empty when there is none.

        Raises:
            EngineUnavailable: the service can't be reached.
        """
        reply = await self._look(f"/qr-code/{session}")
        return flat(reply.body) if reply.taken else {}

    async def disconnect(self, session: SessionId, *, timeout_seconds: float) -> None:
        """Ask the service to give a session up, its link to the phone too.

        Raises:
            EngineUnavailable: it can't be reached, or will not.
        """
        # `logout` is for services that can end a session without unlinking it.
        body = {"sessionId": session, "logout": True}
        try:
            reply = await self._post("/disconnect", body, timeout_seconds)
        except NotAnswered as error:
            raise self._away(error) from error
        # Any other refusal says that there is nothing to give up.
        if reply.status in {401, 403, 429} or reply.status >= 500:
            self._require(reply, "/disconnect")

    async def send(self, session: SessionId, message: OutgoingText) -> Sent:
        """Send a text; raises what `Connection.send` does."""
        user, _, server = message.to.partition("@")
        body = {
            "sessionId": session,
            "to": user if server == PHONE_SERVER else message.to,
            "message": message.text,
        }
        if message.quoted_message_id is not None:
            body["quotedMessageId"] = message.quoted_message_id
        try:
            reply = await self._post("/send", body, self._send_seconds)
        except EngineUnavailable as error:
            raise NotConnected(error.message) from error
        except NotAnswered as error:
            raise SendUncertain from error
        if not reply.taken:
            raise _refusal(reply)
        return self._sent(flat(reply.body), user if server == PHONE_SERVER else None)

    def _sent(self, body: JsonObject, phone: str | None) -> Sent:
        moment = moment_ms(body.get("timestamp"))
        return Sent(
            # Without an id, no receipt and no quote will find it; it was sent all the same.
            whatsapp_id=message_id_of(body) or new_uuid(),
            timestamp_ms=to_ms(self._clock.now()) if moment is None else moment,
            phone=phone,
            lid=lid_of(body),
        )

    async def _look(self, path: str) -> Reply:
        try:
            reply = await self._service.call("GET", path, timeout_seconds=LOOK_SECONDS)
        except (NotReached, NotAnswered) as error:
            raise self._away(error) from error
        self._fault = None
        return reply

    async def _post(self, path: str, body: JsonObject, timeout_seconds: float) -> Reply:
        try:
            return await self._service.call("POST", path, body, timeout_seconds=timeout_seconds)
        except NotReached as error:
            raise self._away(error) from error

    def _require(self, reply: Reply, path: str) -> None:
        if reply.taken:
            return
        if reply.status in {401, 403}:
            raise self._failed(_REFUSED_KEY)
        said = sentence_of(flat(reply.body)) or "it gave no reason"
        raise self._failed(f"The QR microservice answered {path} with {reply.status}: {said}")

    def _away(self, reason: Exception) -> EngineUnavailable:
        return self._failed(
            f"The QR microservice can't be reached: {reason}. Check WAGATE_WHATSAPP_QR_SERVICE_URL."
        )

    def _failed(self, message: str) -> EngineUnavailable:
        self._fault = message, self._clock.monotonic()
        return EngineUnavailable(message)


def _refusal(reply: Reply) -> SendFailed | SendUncertain:
    """Return what a refused send means; only what is certain may be tried again."""
    body = flat(reply.body)
    if any(str(body.get(name)) in _NOT_ON_WHATSAPP for name in ("code", "error", "reason")):
        return NotOnWhatsApp()
    status = reply.status
    if status in {400, 413, 415, 422} or 200 <= status < 300:
        return SendFailed(f"The QR microservice refused the message: {sentence_of(body)}")
    if status == 429:
        return SendThrottled()
    # 503 says that nothing was done; whoever else fails may have sent it before.
    if status == 408 or (status >= 500 and status != 503):
        return SendUncertain()
    return NotConnected()
