"""A session as its owner sees it, and what an owner may ask of it."""

from datetime import date
from typing import Any

from pydantic import Field

from sessions.clock import Instant
from sessions.events import SessionEvent
from sessions.ids import SessionId, SessionName
from sessions.messages import Message, WireModel
from sessions.status import Status, UserAction


class Session(WireModel):
    """One linked WhatsApp device; `reason`, `message` and `user_action` explain its status."""

    id: SessionId
    session_id: SessionName
    phone_number: str | None
    name: str | None
    status: Status
    is_active: bool
    created_at: Instant
    updated_at: Instant
    reason: str
    message: str
    user_action: UserAction
    jid: str | None
    lid: str | None
    push_name: str | None
    connected_at: Instant | None
    metadata: dict[str, Any]
    cursor: str


class NewSession(WireModel):
    """What a client gives to create a session."""

    session_id: SessionName
    phone_number: str | None = None
    name: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class SessionChanges(WireModel):
    """What a client may change; a field that is not set stays as it is."""

    name: str | None = None
    phone_number: str | None = None
    metadata: dict[str, Any] | None = None


class MetadataMatch(WireModel):
    """That a member of a session's metadata is one of these, written as text."""

    member: str
    values: frozenset[str]


class SessionQuery(WireModel):
    """Which sessions to list; `only` (ids or names) narrows to what a token may see.

    What `metadata` finds is to be looked at again: it may be more than was meant, never less.
    """

    status: Status | None = None
    is_active: bool | None = None
    name_prefix: str | None = None
    metadata: MetadataMatch | None = None
    only: frozenset[str] | None = None
    limit: int = 50
    offset: int = 0


class SessionPage(WireModel):
    """A slice of a tenant's sessions, oldest first."""

    items: list[Session]
    total: int
    limit: int
    offset: int


class EventPage(WireModel):
    """Durable events behind a cursor, in order; read on from `cursor` until `items` is empty."""

    items: list[SessionEvent]
    cursor: str
    recovered: bool = True


class MessagePage(WireModel):
    """A chat's messages, newest first; pass `before` to read older ones, None at the end."""

    items: list[Message]
    before: str | None


class Conversation(WireModel):
    """A chat: who it is with, its newest message, and how many incoming ones are unread."""

    chat_id: str
    name: str | None
    phone: str | None
    lid: str | None
    is_group: bool
    unread_count: int
    last_message: Message


class ConversationPage(WireModel):
    """Chats, the most recently active first; pass `before` to go on, None at the end."""

    items: list[Conversation]
    before: str | None


class UsageQuery(WireModel):
    """Which days to tell of, both ends included; `ref` is a session's id or sessionId.

    Without `last` it is today, without `first` the thirty days until then. `only` (ids or names)
    narrows to what a token may see.
    """

    first: date | None = None
    last: date | None = None
    ref: str | None = None
    only: frozenset[str] | None = None
    limit: int = 100
    offset: int = 0


class MessageCounts(WireModel):
    """Messages taken in, and messages that this gateway sent."""

    messages_in: int
    messages_out: int


class SessionUsage(MessageCounts):
    """What one session took in and sent on one day (UTC); the session may be gone."""

    session_id: SessionName
    id: SessionId
    day: date


class UsagePage(WireModel):
    """A slice of what was used, day by day; `totals` are over all of it, not the slice."""

    items: list[SessionUsage]
    total: int
    limit: int
    offset: int
    totals: MessageCounts
