"""The bridge to a chatbot back end: what happens to sessions, and each message, as POSTs.

Model: the pump hands events over; of one session one at a time, so that these stay in order. What
is refused comes again for three days, as a back end that answers 404 in the middle of a deployment
must lose nothing; only what it refuses for its form is parked after minutes, or one odd message
would silence its conversation. Both are counted in memory: a restart begins anew.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from api.chatbots import chatbot_of
from gateway import chatbot_words
from gateway.bridge import PermanentFailure, TemporaryFailure
from gateway.webhook_client import Outcome, WebhookClient
from sessions.clock import Clock
from sessions.errors import SessionNotFound, Unavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, TenantId
from sessions.manager import SessionManager

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 10.0
PAUSES_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""The last of them again and again."""
_JITTER = 0.2
_GIVE_UP_SECONDS = 3 * 24 * 60 * 60.0
_REFUSED_FOR_ITS_FORM = frozenset({400, 413, 415, 422})
_FORM_ATTEMPTS = 8
_WANTED = frozenset(
    {
        EventType.QR,
        EventType.SESSION_CONNECTED,
        EventType.SESSION_STATUS,
        EventType.SESSION_MESSAGE,
        EventType.SESSION_DELETED,
        EventType.EVENTS_GAP,
    }
)


@dataclass(frozen=True)
class _Refused:
    """A session's next event, and how long the back end has not taken it."""

    event: str
    since: float
    """Monotonic seconds."""
    attempts: int = 0


class ChatbotBridge:
    """Tells one back end of one tenant's sessions, whether they have a chatbot or not."""

    name = "chatbot"
    session: SessionId | None = None

    def __init__(
        self,
        manager: SessionManager,
        tenant: TenantId,
        clock: Clock,
        *,
        url: str,
        key: str | None,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self.tenant: TenantId | None = tenant
        self._manager = manager
        self._owner = tenant
        self._clock = clock
        self._pauses_seconds = pauses_seconds
        self._url = url
        self._headers = {} if key is None else {"x-api-key": key}
        # The operator chose this URL, so that it may lead into his own network.
        self._client = WebhookClient(
            allow_http=True, allow_private=True, total_seconds=_ANSWER_SECONDS
        )
        self._refused: dict[SessionId, _Refused] = {}
        self._connected: dict[SessionId, str | None] = {}
        """Told to be so, with their chatbots: a session that is deleted can't be asked any more."""
        self._fault: str | None = None

    @property
    def bridge(self) -> "ChatbotBridge":
        """Itself: nothing else is done for this back end."""
        return self

    async def run(self) -> None:
        """Keep connections open until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._client.close()

    def degraded(self) -> list[str]:
        """Return why the back end is not told now; nothing when it is."""
        return [] if self._fault is None else [f"The chatbot back end can't be told: {self._fault}"]

    def wants(self, type_: EventType) -> bool:
        """Tell whether the back end has a word for it."""
        return type_ in _WANTED

    async def deliver(self, event: SessionEvent) -> None:
        """Post, and return when the back end has answered with 2xx."""
        if event.type is EventType.EVENTS_GAP:
            _say_forgotten(event)
            return
        outcome = await self._told(event)
        if outcome is not None and not outcome.taken:
            raise self._refusal(event, outcome)
        self._refused.pop(event.session, None)

    async def show(self, event: SessionEvent) -> None:
        """Post a code, or that a session was deleted, once."""
        if event.type is EventType.SESSION_DELETED:
            await self._deleted(event)
            return
        outcome = await self._told(event)
        if outcome is not None and not outcome.taken:
            raise TemporaryFailure(outcome.refusal)

    def pause_seconds(self, failures: int) -> float:
        """Return a second, then more, up to half a minute, give or take a fifth."""
        pause = self._pauses_seconds[min(failures, len(self._pauses_seconds)) - 1]
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load only

    async def _told(self, event: SessionEvent) -> Outcome | None:
        """Post what the back end has a word for; None: it has none."""
        try:
            session = await self._manager.get(self._owner, event.session)
        except SessionNotFound:
            return None
        except Unavailable as error:
            raise TemporaryFailure(error.message, of_all=True) from None
        chatbot = chatbot_of(session.session_id, session.metadata)
        if chatbot_words.is_incoming(event):
            return await self._post("incoming", event.id, chatbot_words.incoming(event, chatbot))
        body = chatbot_words.changed(event, chatbot)
        return None if body is None else await self._change_told(event, chatbot, body)

    async def _change_told(
        self, event: SessionEvent, chatbot: str | None, body: dict[str, Any]
    ) -> Outcome:
        """Post what became of a session, and note whether the back end takes it for up."""
        was_up = event.session in self._connected
        if body["event"] == "disconnected":
            # Before it is told: a deletion meanwhile must not say it a second time.
            self._connected.pop(event.session, None)
        outcome = await self._post("webhook", event.id, body)
        match body["event"], outcome.taken:
            case ("connected", True):
                self._connected[event.session] = chatbot
            case ("disconnected", False) if was_up:
                self._connected[event.session] = chatbot
        return outcome

    async def _deleted(self, event: SessionEvent) -> None:
        """Say that a session is gone, unless the log had still said that it is down."""
        self._refused.pop(event.session, None)
        if event.session in self._connected:
            chatbot = self._connected.pop(event.session)
            await self._post("webhook", event.id, chatbot_words.deleted(event, chatbot))

    async def _post(self, path: str, id_: str, body: dict[str, Any]) -> Outcome:
        outcome = await self._client.post(
            f"{self._url}/whatsapp-qr/{path}",
            to_json(body),
            {**self._headers, "webhook-id": id_},
        )
        self._fault = None if outcome.taken else outcome.refusal
        return outcome

    def _refusal(self, event: SessionEvent, outcome: Outcome) -> Exception:
        """Return what the pump is to make of an event that was not taken."""
        now = self._clock.monotonic()
        known = self._refused.get(event.session)
        if known is None or known.event != event.id:
            known = _Refused(event.id, since=now)
        known = replace(known, attempts=known.attempts + 1)
        self._refused[event.session] = known
        for_its_form = outcome.status in _REFUSED_FOR_ITS_FORM and known.attempts >= _FORM_ATTEMPTS
        if for_its_form or now - known.since > _GIVE_UP_SECONDS:
            del self._refused[event.session]
            return PermanentFailure(outcome.refusal)
        asked_seconds = outcome.pause_asked_seconds(self._clock.now())
        pause_seconds = asked_seconds or self.pause_seconds(known.attempts)
        return TemporaryFailure(
            outcome.refusal, retry_seconds=pause_seconds, of_all=asked_seconds is not None
        )


def _say_forgotten(event: SessionEvent) -> None:
    """Tell the operator, as the back end has no word for it."""
    lost = f"events {event.data['from']} to {event.data['to']} were forgotten before it was told"
    logger.error(
        "back end missed events",
        extra={"service": ChatbotBridge.name, "session": event.session, "error": lost},
    )
