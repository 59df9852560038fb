"""WhatsApp messages as the domain knows them: what came in, what goes out, and how it fared."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from sessions.clock import Instant
from sessions.errors import InvalidRecipient
from sessions.ids import MessageId, SessionName

PHONE_SERVER = "s.whatsapp.net"
LID_SERVER = "lid"
GROUP_SERVER = "g.us"

MessageType = Literal[
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "contact",
    "location",
    "poll",
    "reaction",
    "revoked",
    "unknown",
]


class MessageStatus(StrEnum):
    """How far a message has come; incoming ones are `received`."""

    RECEIVED = "received"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


RECEIPT_RANK = {
    MessageStatus.UNKNOWN: 0,
    MessageStatus.SENDING: 0,
    MessageStatus.SENT: 1,
    MessageStatus.DELIVERED: 2,
    MessageStatus.READ: 3,
    MessageStatus.PLAYED: 4,
}
"""Receipts only ever move a message up: they arrive late, twice and out of order."""


class Priority(StrEnum):
    """Which lane of the outbox a message takes."""

    NORMAL = "normal"
    HIGH = "high"


class WireModel(BaseModel):
    """Frozen, camelCase in JSON, snake_case in Python."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="forbid"
    )


class Media(WireModel):
    """What is known of an attachment without downloading it; `size` in bytes."""

    mimetype: str | None = None
    size: int | None = None
    filename: str | None = None


class Problem(WireModel):
    """A machine-readable reason and a sentence for a person."""

    code: str | int
    message: str


class StatusChange(WireModel):
    """One step in a message's life."""

    status: MessageStatus
    at: Instant
    error: Problem | None = None


class Message(WireModel):
    """A stored message, in either direction.

    `chat_id`, `from_` and `to` are JIDs, by phone number when WhatsApp told it, else by LID.
    `message` is the text or caption. `history` is given by the single look-up only.
    """

    id: MessageId
    session_id: SessionName
    whatsapp_id: str | None
    direction: Literal["in", "out"]
    chat_id: str
    from_: Annotated[str | None, Field(alias="from")]
    to: str | None
    phone: str | None
    lid: str | None
    from_me: bool
    is_group: bool
    push_name: str | None
    type: MessageType
    message: str | None
    media: Media | None = None
    quoted_message_id: str | None = None
    status: MessageStatus
    error: Problem | None = None
    timestamp: Instant
    history: list[StatusChange] | None = None


class EngineMessage(WireModel):
    """A message as an engine reports it; JIDs are bare (no device), times Unix milliseconds.

    `phone` (digits) and `lid` (digits) tell the other side: the sender, or for an own message the
    recipient. `from_me` marks what the account's own phone or another linked device wrote.
    """

    whatsapp_id: str
    chat: str
    sender: str
    phone: str | None = None
    lid: str | None = None
    from_me: bool = False
    is_group: bool = False
    push_name: str | None = None
    type: MessageType = "text"
    text: str | None = None
    media: Media | None = None
    quoted_message_id: str | None = None
    timestamp_ms: int


class OutgoingText(WireModel):
    """A text to send; `to` is a JID made by `parse_recipient`."""

    to: str
    text: str
    quoted_message_id: str | None = None


class Sent(WireModel):
    """What WhatsApp answered: its message id, when (Unix ms), and the recipient's two names."""

    whatsapp_id: str
    timestamp_ms: int
    phone: str | None = None
    lid: str | None = None


_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{5,24}")
_JID = re.compile(r"([0-9]{5,20}|[0-9]{5,20}-[0-9]{5,20})@(s\.whatsapp\.net|c\.us|lid|g\.us)")


def bare(jid: str) -> str:
    """Return a JID without its device: `1555:3@s.whatsapp.net` is the account `1555@…`."""
    user, at, server = jid.partition("@")
    return user.partition(":")[0] + at + server


def phone_digits(text: str) -> str | None:
    """Return a phone number's 6 to 15 digits without `+` and spacing, None if it is none."""
    if not _PHONE.fullmatch(text.strip()):
        return None
    digits = re.sub(r"\D", "", text)
    return digits if 6 <= len(digits) <= 15 else None


def parse_recipient(text: str) -> str:
    """Return the JID that a client's `to` means: `+44 7700 900123`, `447700900123@c.us`, a group.

    Raises:
        InvalidRecipient: neither a phone number with country code nor a JID.
    """
    if jid := _JID.fullmatch(text.strip()):
        user, server = jid.groups()
        return f"{user}@{PHONE_SERVER if server == 'c.us' else server}"
    if digits := phone_digits(text):
        return f"{digits}@{PHONE_SERVER}"
    raise InvalidRecipient(
        f"{text[:64]!r} is no recipient. Give a phone number with country code, "
        "for example +447700900123, or a JID such as 447700900123@s.whatsapp.net."
    )
