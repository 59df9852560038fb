"""The bridge to a back end that takes incoming messages from a BullMQ queue."""

import logging
import time

from api.chatbots import chatbot_of
from gateway.bridge import TemporaryFailure
from gateway.bridge_bullmq_library import FeedQueue, RedisAway
from gateway.chatbot_words import incoming, is_incoming
from sessions.errors import SessionNotFound, Unavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, TenantId
from sessions.manager import SessionManager

logger = logging.getLogger(__name__)

JOB_NAME = "incoming-message"
_LONGEST_PAUSE_SECONDS = 15.0
_FAULT_SECONDS = 60.0


class BullMqBridge:
    """Adds a job for each message that comes in; its id is the event's, so that none is twice."""

    name = "bullmq"
    session: SessionId | None = None

    def __init__(self, feed: FeedQueue, manager: SessionManager, tenant: TenantId) -> None:
        self.tenant: TenantId | None = tenant
        self._feed = feed
        self._manager = manager
        self._owner = tenant
        self._refusal: tuple[str, float] | None = None

    @property
    def fault(self) -> str | None:
        """Why messages can't be handed over now; None when they can.

        Of a session that was deleted meanwhile nothing is tried again: so a fault has its time.
        """
        if self._refusal is None or time.monotonic() - self._refusal[1] > _FAULT_SECONDS:
            return None
        return self._refusal[0]

    def wants(self, type_: EventType) -> bool:
        """Tell whether it may be a message, or tells of some that were forgotten."""
        return type_ in {EventType.SESSION_MESSAGE, EventType.EVENTS_GAP}

    async def deliver(self, event: SessionEvent) -> None:
        """Add the job, and return when Redis has it."""
        if event.type is EventType.EVENTS_GAP:
            self._say_forgotten(event)
        if not is_incoming(event):
            return
        data = incoming(event, await self._chatbot(event))
        try:
            await self._feed.add(JOB_NAME, data, job_id=event.id)
        except RedisAway as error:
            self._refusal = str(error), time.monotonic()
            raise TemporaryFailure(f"Redis took no job: {error}", of_all=True) from None
        self._refusal = None

    async def show(self, event: SessionEvent) -> None:
        """Take nothing: codes are no messages."""

    def pause_seconds(self, failures: int) -> float:
        """Return half a second, then more, up to a quarter of a minute."""
        return min(0.5 * 2.0 ** min(failures - 1, 8), _LONGEST_PAUSE_SECONDS)

    def _say_forgotten(self, event: SessionEvent) -> None:
        """Tell the operator: a back end would take a job about it for a message."""
        lost = f"events {event.data['from']} to {event.data['to']} were forgotten before it was fed"
        extra = {"service": self.name, "session": event.session, "error": lost}
        logger.error("back end missed events", extra=extra)

    async def _chatbot(self, event: SessionEvent) -> str | None:
        try:
            session = await self._manager.get(self._owner, event.session)
        except SessionNotFound:
            return None
        except Unavailable as error:
            raise TemporaryFailure(error.message) from None
        return chatbot_of(session.session_id, session.metadata)
