"""Webhook endpoints and what came of each attempt to reach them; times are Unix milliseconds."""

from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, Text, delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col, select

from gateway import webhook_retries
from gateway.webhook_retries import Retry
from sessions.clock import to_ms
from sessions.ids import SessionId, SessionName, TenantId
from sessions.models import SessionRow
from sessions.store import Unit

ATTEMPTS_KEPT = 1_000
FAILING_MOST = timedelta(days=5)
FAILED_TOO_LONG = "Nothing could be delivered for 5 days."


@dataclass(frozen=True)
class Secret:
    """A key that signs; the current one never expires."""

    secret: str = field(repr=False)
    expires_at: int | None = None


class WebhookRow(SQLModel, table=True):
    """Where a tenant's events, or one session's, are posted to."""

    __tablename__ = "webhooks"

    id: str = Field(primary_key=True)
    tenant: str = Field(index=True)
    session: str | None = Field(
        default=None,
        sa_column=Column(Text, ForeignKey("sessions.id", ondelete="CASCADE"), index=True),
    )
    """The only session; None: all of the tenant's."""
    url: str = Field(sa_column=Column(Text, nullable=False))
    events: list[str] = Field(sa_column=Column(JSON, nullable=False))
    """Patterns of types; `*` stands for anything."""
    secrets: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    """The current one first."""
    enabled: bool = True
    disabled_reason: str | None = None
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))
    failing_since: int | None = Field(default=None, sa_column=Column(BigInteger))
    """The first failure after which nothing was delivered."""


class AttemptRow(SQLModel, table=True):
    """One attempt to deliver one event."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (Index("ix_webhook_attempts_recent", "webhook", "position"),)

    position: int | None = Field(
        default=None,
        sa_column=Column(
            BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
    )
    webhook: str = Field(
        sa_column=Column(Text, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False)
    )
    event_id: str
    type: str
    session: str | None = None
    seq: int | None = Field(default=None, sa_column=Column(BigInteger))
    at: int = Field(sa_column=Column(BigInteger, nullable=False))
    status: int | None = None
    latency_ms: int
    error: str | None = None
    response: str = Field(default="", sa_column=Column(Text, nullable=False))


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as it is now."""

    id: str
    tenant: TenantId
    session: SessionId | None
    session_name: SessionName | None
    url: str
    events: tuple[str, ...]
    secrets: tuple[Secret, ...]
    enabled: bool
    disabled_reason: str | None
    created_at: int
    failing_since: int | None

    def signing(self, now_ms: int) -> list[str]:
        """Return the secrets that sign now, the current one first."""
        return [
            one.secret for one in self.secrets if one.expires_at is None or one.expires_at > now_ms
        ]


async def endpoints(
    db: AsyncSession, *, tenant: TenantId | None = None, id_: str | None = None
) -> list[Endpoint]:
    """Return endpoints, the oldest first: a tenant's, or everybody's."""
    query = select(WebhookRow, SessionRow.name).join(
        SessionRow, col(SessionRow.id) == col(WebhookRow.session), isouter=True
    )
    if tenant is not None:
        query = query.where(col(WebhookRow.tenant) == tenant)
    if id_ is not None:
        query = query.where(col(WebhookRow.id) == id_)
    rows = await db.execute(query.order_by(col(WebhookRow.id)))
    return [_endpoint(row, name) for row, name in rows]


def _endpoint(row: WebhookRow, name: str | None) -> Endpoint:
    return Endpoint(
        id=row.id,
        tenant=TenantId(row.tenant),
        session=None if row.session is None else SessionId(row.session),
        session_name=None if name is None else SessionName(name),
        url=row.url,
        events=tuple(row.events),
        secrets=tuple(Secret(**one) for one in row.secrets),
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        created_at=row.created_at,
        failing_since=row.failing_since,
    )


async def change(
    unit: Unit, id_: str, tenant: TenantId, changes: dict[str, Any]
) -> Endpoint | None:
    """Set columns of an endpoint; None: the tenant has none of this id."""
    row = await unit.db.get(WebhookRow, id_)
    if row is None or row.tenant != tenant:
        return None
    for column, value in changes.items():
        setattr(row, column, value)
    await unit.db.flush()
    (changed,) = await endpoints(unit.db, id_=id_)
    return changed


async def rotate(
    unit: Unit, id_: str, tenant: TenantId, *, secret: str, overlap: timedelta, most: int
) -> Endpoint | None:
    """Sign with a new secret, and for a while with the older ones too."""
    found = await endpoints(unit.db, tenant=tenant, id_=id_)
    if not found:
        return None
    now = to_ms(unit.clock.now())
    until = now + round(overlap.total_seconds() * 1000)
    ends = [(one.secret, min(until, one.expires_at or until)) for one in found[0].secrets]
    older = [Secret(text, end) for text, end in ends if end > now][: most - 1]
    secrets = [asdict(one) for one in (Secret(secret), *older)]
    return await change(unit, id_, tenant, {"secrets": secrets})


async def record(
    unit: Unit,
    attempt: AttemptRow,
    *,
    taken: bool,
    disable: str | None = None,
    retry: Retry | None = None,
) -> Endpoint | None:
    """Keep an attempt and what it means; None: the endpoint is gone. `disable`: why."""
    row = await unit.db.get(WebhookRow, attempt.webhook)
    if row is None:
        return None
    unit.db.add(attempt)
    if retry is not None:
        await webhook_retries.keep(unit, attempt.webhook, retry)
    row.failing_since = None if taken else row.failing_since or attempt.at
    if row.failing_since is not None:
        lasts = timedelta(milliseconds=attempt.at - row.failing_since)
        disable = disable or (FAILED_TOO_LONG if lasts >= FAILING_MOST else None)
    if disable is not None and row.enabled:
        row.enabled, row.disabled_reason = False, disable
    await unit.db.flush()
    await _trim(unit.db, attempt.webhook)
    (found,) = await endpoints(unit.db, id_=attempt.webhook)
    return found


async def _trim(db: AsyncSession, webhook: str) -> None:
    newest = (
        select(AttemptRow.position)
        .where(col(AttemptRow.webhook) == webhook)
        .order_by(col(AttemptRow.position).desc())
        .offset(ATTEMPTS_KEPT)
        .limit(1)
    )
    oldest = (await db.execute(newest)).scalar()
    if oldest is not None:
        await db.execute(
            delete(AttemptRow).where(
                col(AttemptRow.webhook) == webhook, col(AttemptRow.position) <= oldest
            )
        )


async def attempts(db: AsyncSession, webhook: str, *, limit: int) -> list[AttemptRow]:
    """Return an endpoint's attempts, the newest first."""
    query = (
        select(AttemptRow)
        .where(col(AttemptRow.webhook) == webhook)
        .order_by(col(AttemptRow.position).desc())
        .limit(limit)
    )
    return list((await db.execute(query)).scalars())
