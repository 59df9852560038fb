"""Revoked tokens in the database, and in memory for every request."""

import logging

from sqlalchemy import BigInteger, Column, Integer
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, select

from auth.errors import RevocationsUnavailable
from auth.revocations import Revocation, RevocationList
from sessions.clock import from_ms, to_ms
from sessions.store import Database

logger = logging.getLogger(__name__)


class RevocationRow(SQLModel, table=True):
    """One decision; times are Unix milliseconds."""

    __tablename__ = "revocations"

    position: int | None = Field(
        default=None,
        sa_column=Column(
            BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
    )
    tenant: str
    token_id: str | None = None
    subject: str | None = None
    not_before: int | None = Field(default=None, sa_column=Column(BigInteger))
    created_at: int = Field(sa_column=Column(BigInteger, nullable=False))


class Revocations:
    """Keeps revocations: first in the database, then in the list that verifiers ask."""

    def __init__(self, database: Database, revoked: RevocationList) -> None:
        self._database = database
        self._revoked = revoked

    async def load(self) -> None:
        """Read what was revoked before this start; raises what the database raises."""
        async with AsyncSession(self._database.reader) as db:
            for row in (await db.execute(select(RevocationRow))).scalars():
                self._revoked.add(_revocation(row))

    async def revoke(self, revocation: Revocation) -> None:
        """Keep a revocation.

        Raises:
            RevocationsUnavailable: it can't be kept now; nothing was revoked.
        """
        row = RevocationRow(
            tenant=revocation.tenant,
            token_id=revocation.token_id,
            subject=revocation.subject,
            not_before=None if revocation.not_before is None else to_ms(revocation.not_before),
            created_at=to_ms(revocation.created_at),
        )
        try:
            async with AsyncSession(self._database.writer) as db, db.begin():
                db.add(row)
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            logger.warning("revocation not kept", extra={"error": type(error).__name__})
            raise RevocationsUnavailable from error
        self._revoked.add(revocation)


def _revocation(row: RevocationRow) -> Revocation:
    return Revocation(
        tenant=row.tenant,
        created_at=from_ms(row.created_at),
        token_id=row.token_id,
        subject=row.subject,
        not_before=None if row.not_before is None else from_ms(row.not_before),
    )
