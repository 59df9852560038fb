"""What happened to a session, as every consumer sees it: Socket.IO, REST, webhooks, queues."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from sessions.ids import SessionId, SessionName, TenantId


class EventType(StrEnum):
    """The events of the wire contract."""

    QR = "qr"
    QR_EXPIRED = "qr:expired"
    PAIRING_CODE = "pairing:code"
    SESSION_STARTED = "session:started"
    SESSION_CONNECTED = "session:connected"
    SESSION_DISCONNECTED = "session:disconnected"
    SESSION_STOPPED = "session:stopped"
    SESSION_MESSAGE = "session:message"
    SESSION_ERROR = "session:error"
    SESSION_AUTH_CORRUPTED = "session:auth:corrupted"
    SESSION_ERROR_515 = "session:error:515"
    SESSION_STATUS = "session:status"
    SESSION_DELETED = "session:deleted"
    MESSAGE_STATUS = "message:status"
    EVENTS_GAP = "events:gap"
    """Told to a consumer that was away for so long that events between were forgotten."""


TRANSIENT_TYPES = frozenset(
    {EventType.QR, EventType.QR_EXPIRED, EventType.PAIRING_CODE, EventType.SESSION_DELETED}
)
"""Never logged, without `seq` and cursor: shown live or not at all."""


class SessionEvent(BaseModel):
    """One event; durable ones carry `seq` (per session, +1, no holes) and `cursor`.

    `data` is the event's own part of the payload, in wire form (camelCase, JSON values).
    """

    model_config = ConfigDict(frozen=True)

    id: str
    type: EventType
    session: SessionId
    session_id: SessionName
    tenant: TenantId | None = None
    """Whose session it is; None where that is not at hand. Never part of the payload."""
    seq: int | None = None
    cursor: str | None = None
    timestamp: int
    data: dict[str, Any]

    def payload(self) -> dict[str, Any]:
        """Return the body as the contract gives it: transient events have no `seq`, no `cursor`."""
        position = {} if self.seq is None else {"seq": self.seq, "cursor": self.cursor}
        head = {"id": self.id, "sessionId": self.session_id, **position}
        return {**head, "timestamp": self.timestamp, **self.data}


EVERYTHING = "sessions"
"""The bus topic that carries every session's events."""


def topic(session: SessionId) -> str:
    """Return the bus topic that carries a session's events, each a `SessionEvent` as JSON."""
    return f"session.{session}"
