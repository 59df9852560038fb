"""Where each refused event is in the schedule: kept with its attempts, so that a restart goes on.

A session's later events wait for its first, so that there are no more of these than sessions, and
what was given up and is tried again by hand.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import BigInteger, Column, ForeignKey, Text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col, select

from sessions.ids import SessionId
from sessions.models import SessionRow
from sessions.store import Unit


class RetryRow(SQLModel, table=True):
    """An event of a session that an endpoint has refused and is to get again."""

    __tablename__ = "webhook_retries"

    webhook: str = Field(
        sa_column=Column(Text, ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    )
    session: str = Field(
        sa_column=Column(
            Text, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True, index=True
        )
    )
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True))
    failures: int
    not_before: int = Field(sa_column=Column(BigInteger, nullable=False))


@dataclass(frozen=True)
class Retry:
    """How often an event was refused, and when it comes again (Unix ms); 0 failures: it is over."""

    session: SessionId
    seq: int
    failures: int = 0
    not_before: int = 0


async def of_endpoint(db: AsyncSession, webhook: str) -> list[Retry]:
    """Return what an endpoint is to get again."""
    rows = await db.execute(select(RetryRow).where(col(RetryRow.webhook) == webhook))
    return [
        Retry(SessionId(row.session), row.seq, row.failures, row.not_before)
        for row in rows.scalars()
    ]


async def keep(unit: Unit, webhook: str, retry: Retry) -> None:
    """Store where an event is in the schedule, or that this is over."""
    row = await unit.db.get(RetryRow, (webhook, retry.session, retry.seq))
    if not retry.failures:
        if row is not None:
            await unit.db.delete(row)
        return
    if row is None:
        # Its session may be deleted while the request is under way.
        if await unit.db.get(SessionRow, retry.session) is None:
            return
        unit.db.add(RetryRow(webhook=webhook, **asdict(retry)))
        return
    row.failures, row.not_before = retry.failures, retry.not_before


class Schedule:
    """An endpoint's retries in memory, begun with what an earlier process has kept."""

    def __init__(self, kept: Sequence[Retry]) -> None:
        self._retries = {(retry.session, retry.seq): retry for retry in kept}
        self._to_wait_for = dict(self._retries)
        self.failures_before = sum(retry.failures for retry in kept)
        """How often something was refused that is still to be delivered."""

    def waits_seconds(self, session: SessionId, seq: int, now_ms: int) -> float | None:
        """Return how long an event must still wait since before a restart; told once."""
        retry = self._to_wait_for.pop((session, seq), None)
        if retry is None or retry.not_before <= now_ms:
            return None
        return (retry.not_before - now_ms) / 1000

    def hurry(self) -> None:
        """Let nothing wait any more for what was before a restart."""
        self._to_wait_for.clear()

    def failures(self, session: SessionId, seq: int) -> int:
        """Return how often an event was refused in a row."""
        return self._retries.get((session, seq), Retry(session, seq)).failures

    def note(self, retry: Retry) -> None:
        """Remember what was stored."""
        if retry.failures:
            self._retries[retry.session, retry.seq] = retry
        else:
            self._retries.pop((retry.session, retry.seq), None)
