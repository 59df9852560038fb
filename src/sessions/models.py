"""Tables, portable between SQLite and PostgreSQL; times are Unix ms in 64-bit integers."""

from datetime import date
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

# SQLite numbers rows by itself only for a column of exactly this type.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _session_key(*, primary: bool = False) -> Any:
    """Return the column by which everything of a session goes when the session goes."""
    target = ForeignKey("sessions.id", ondelete="CASCADE")
    return Column("session", Text, target, primary_key=primary, nullable=False)


def _moment() -> Any:
    return Column(BigInteger, nullable=False)


class SessionRow(SQLModel, table=True):
    """A session: what the user wants, what is, and where its log and its owner stand."""

    __tablename__ = "sessions"
    __table_args__ = (UniqueConstraint("tenant", "name", name="uq_sessions_tenant_name"),)

    id: str = Field(primary_key=True)
    tenant: str
    name: str
    phone_number: str | None = None
    display_name: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    is_active: bool = False
    status: str
    reason: str
    detail: str | None = None
    """A sentence that says more than the reason's own; None: the reason's own."""
    jid: str | None = None
    lid: str | None = None
    push_name: str | None = None
    connected_at: int | None = Field(default=None, sa_column=Column(BigInteger))
    created_at: int = Field(sa_column=_moment())
    updated_at: int = Field(sa_column=_moment())
    log_id: str
    last_seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    trimmed_seq: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Events up to here are no longer kept."""
    epoch: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    """Counts the owners that this session has had; an owner's writes carry its own."""


class EventRow(SQLModel, table=True):
    """A numbered event; `seq` has no holes within a session."""

    __tablename__ = "events"
    __table_args__ = (UniqueConstraint("session", "dedupe_key", name="uq_events_dedupe"),)

    session: str = Field(sa_column=_session_key(primary=True))
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: str = Field(unique=True)
    type: str
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    dedupe_key: str | None = None
    """What makes a redelivery the same event; None: cannot come twice."""
    timestamp: int = Field(sa_column=_moment())


class MessageRow(SQLModel, table=True):
    """A message in either direction; queued ones are the outbox, in the order of `position`."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("session", "idempotency_key", name="uq_messages_idempotency"),
        Index("ix_messages_outbox", "session", "status", "urgent", "position"),
        Index("ix_messages_chat", "session", "chat_id", "timestamp", "position"),
        Index("ix_messages_recent", "session", "timestamp", "position"),
        Index("ix_messages_whatsapp_id", "session", "whatsapp_id"),
        Index("ix_messages_expiry", "status", "expires_at"),
    )

    position: int | None = Field(
        default=None, sa_column=Column(_SERIAL, primary_key=True, autoincrement=True)
    )
    id: str = Field(unique=True)
    session: str = Field(sa_column=_session_key())
    whatsapp_id: str | None = None
    direction: str
    chat_id: str
    sender: str | None = None
    recipient: str | None = None
    phone: str | None = None
    lid: str | None = None
    from_me: bool = False
    is_group: bool = False
    push_name: str | None = None
    type: str = "text"
    text: str | None = Field(default=None, sa_column=Column(Text))
    media: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    quoted_message_id: str | None = None
    status: str
    error_code: str | None = None
    error_message: str | None = None
    timestamp: int = Field(sa_column=_moment())
    idempotency_key: str | None = None
    body_hash: str | None = None
    epoch: int | None = Field(default=None, sa_column=Column(BigInteger))
    """The owner that is sending it, or sent it."""
    urgent: bool = False
    typing: bool = False
    """Let the other side see for a while that somebody is typing it."""
    attempts: int = 0
    """How often it was handed to the engine."""
    expires_at: int | None = Field(default=None, sa_column=Column(BigInteger))


class ConversationRow(SQLModel, table=True):
    """A chat with its newest message, and how many of its messages nobody has read."""

    __tablename__ = "conversations"
    __table_args__ = (Index("ix_conversations_recent", "session", "last_at", "last_position"),)

    session: str = Field(sa_column=_session_key(primary=True))
    chat_id: str = Field(primary_key=True)
    name: str | None = None
    """The other side's own name for itself; None for groups, where each message has another."""
    last_at: int = Field(sa_column=_moment())
    last_position: int = Field(sa_column=Column(BigInteger, nullable=False))
    unread: int = 0


class MessageStatusRow(SQLModel, table=True):
    """One step in an outgoing message's life."""

    __tablename__ = "message_statuses"

    position: int | None = Field(
        default=None, sa_column=Column(_SERIAL, primary_key=True, autoincrement=True)
    )
    message: str = Field(
        sa_column=Column(
            Text, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    status: str
    error_code: str | None = None
    error_message: str | None = None
    at: int = Field(sa_column=_moment())


class UsageRow(SQLModel, table=True):
    """What a session took in and sent on one day (UTC); it outlives the session, as bills do."""

    __tablename__ = "usage"
    __table_args__ = (Index("ix_usage_tenant", "tenant", "day", "session"),)

    session: str = Field(sa_column=Column(Text, primary_key=True))
    day: date = Field(sa_column=Column(Date, primary_key=True))
    tenant: str
    name: str
    messages_in: int = Field(sa_column=Column(BigInteger, nullable=False))
    messages_out: int = Field(sa_column=Column(BigInteger, nullable=False))
