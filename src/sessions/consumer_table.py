"""The rows of readers of the event log: who they are, where they are, what they could not take."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Text
from sqlmodel import Field, SQLModel


class ConsumerRow(SQLModel, table=True):
    """A reader of the log, by a name that is its own for ever."""

    __tablename__ = "consumers"

    name: str = Field(primary_key=True)
    tenant: str | None = None
    """Whose sessions it reads; None: everybody's."""
    session: str | None = None
    """The only session that it reads; None: all of the tenant's."""
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class ConsumerCursorRow(SQLModel, table=True):
    """How far a consumer has read one session's log."""

    __tablename__ = "consumer_cursors"

    consumer: str = Field(
        sa_column=Column(Text, ForeignKey("consumers.name", ondelete="CASCADE"), primary_key=True)
    )
    session: str = Field(
        sa_column=Column(
            Text, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True, index=True
        )
    )
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))


class ParkedRow(SQLModel, table=True):
    """An event that a consumer will never take; kept to be seen, and delivered again by hand."""

    __tablename__ = "parked_events"

    position: int | None = Field(
        default=None,
        sa_column=Column(
            BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
    )
    consumer: str = Field(
        sa_column=Column(
            Text, ForeignKey("consumers.name", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    session: str = Field(
        sa_column=Column(
            Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True
        )
    )
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    error: str
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
