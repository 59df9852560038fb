"""What the server tells over Socket.IO: the payload of every event, as clients may rely on it.

The documents are made from these models, and the acceptance tests hold the running server to them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.commands import Failed
from sessions.clock import Instant
from sessions.events import EventType
from sessions.ids import SessionName
from sessions.messages import Message, MessageStatus, Problem
from sessions.status import Status, UserAction


class Payload(BaseModel):
    """One event's data."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class Identity(Payload):
    """The connection is authenticated, until `expiresAt`."""

    subject: str
    tenant: str
    expires_at: Instant


class Expiring(Payload):
    """The token ends in 60 s or less; send `auth:refresh`, or be disconnected at `expiresAt`."""

    expires_at: Instant


class Joined(Payload):
    """The session's events follow."""

    session_id: SessionName


class Left(Payload):
    """No more events of this session come on this connection."""

    session_id: SessionName
    reason: Literal["unsubscribed", "deleted", "forbidden"]


class Transient(Payload):
    """Shown live or not at all; not in the event log."""

    id: str
    session_id: SessionName
    timestamp: Annotated[int, Field(description="Unix milliseconds.")]


class Durable(Transient):
    """Numbered without holes per session; delivered again from `cursor` on."""

    seq: Annotated[int, Field(ge=1)]
    cursor: str


class Qr(Transient):
    """A code to scan; it replaces the previous one. `qr` is a PNG as data URL."""

    qr: Annotated[str, Field(repr=False, pattern="^data:image/png;base64,")]
    code: Annotated[str, Field(repr=False)]
    attempt: int
    max_attempts: int
    expires_at: Instant


class QrExpired(Transient):
    """The codes of this attempt are used up; a new attempt follows if `willRegenerate`."""

    attempt: int
    max_attempts: int
    will_regenerate: bool


class PairingCode(Transient):
    """A code to type into the phone instead of scanning."""

    code: Annotated[str, Field(repr=False)]
    expires_at: Instant


class SessionStarted(Durable):
    """The session was activated; connecting begins."""


class SessionConnected(Durable):
    """The device is logged in; messages flow."""

    phone_number: str
    jid: str
    lid: str | None
    push_name: str | None


class SessionDisconnected(Durable):
    """The connection to WhatsApp was lost; it comes back by itself if `willReconnect`."""

    reason: str
    message: str
    will_reconnect: bool


class SessionStopped(Durable):
    """The session was deactivated, or its credentials were reset."""

    reason: str


class EventMessage(Message):
    """A message as REST shows it, but for its time, which is Unix milliseconds in events."""

    timestamp: int  # type: ignore[assignment]  # the one field whose form differs from REST


class SessionMessage(Durable):
    """A message in one of the account's chats, from others or from its own other devices."""

    message: EventMessage


class SessionError(Durable):
    """Something went wrong that a person should know; `userAction` is what helps."""

    error: Problem
    user_action: UserAction
    whatsapp_id: str | None = None
    """Of the message that can't be read, when the error is about one."""


class SessionAuthCorrupted(Durable):
    """The credentials are unusable or revoked: reset-auth, activate, scan again."""

    error: Problem


class SessionError515(Durable):
    """WhatsApp's restart did not come up in time, or the account is banned `until` then."""

    error: Problem
    until: Instant | None = None


class SessionStatus(Durable):
    """Any change of status."""

    status: Status
    previous: Status
    reason: str
    message: str
    user_action: UserAction


class MessageStatusChanged(Durable):
    """How far an outgoing message has come."""

    message_id: str
    whatsapp_id: str | None
    status: MessageStatus
    error: Problem | None = None


PAYLOADS: dict[str, type[BaseModel]] = {
    "connected": Identity,
    "auth:expiring": Expiring,
    "subscribed": Joined,
    "unsubscribed": Left,
    "error": Failed,
    EventType.QR: Qr,
    EventType.QR_EXPIRED: QrExpired,
    EventType.PAIRING_CODE: PairingCode,
    EventType.SESSION_STARTED: SessionStarted,
    EventType.SESSION_CONNECTED: SessionConnected,
    EventType.SESSION_DISCONNECTED: SessionDisconnected,
    EventType.SESSION_STOPPED: SessionStopped,
    EventType.SESSION_MESSAGE: SessionMessage,
    EventType.SESSION_ERROR: SessionError,
    EventType.SESSION_AUTH_CORRUPTED: SessionAuthCorrupted,
    EventType.SESSION_ERROR_515: SessionError515,
    EventType.SESSION_STATUS: SessionStatus,
    EventType.MESSAGE_STATUS: MessageStatusChanged,
}
"""Each event's payload by its name."""
