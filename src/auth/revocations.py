"""Tokens that are refused before their time: by their own id, or by whose they are and how old."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from auth.principal import Principal


@dataclass(frozen=True)
class Revocation:
    """One decision, within one tenant: a token by `token_id`, or a subject's before a moment."""

    tenant: str
    created_at: datetime
    token_id: str | None = None
    subject: str | None = None
    not_before: datetime | None = None
    """The subject's tokens that were issued before this are refused."""


class RevocationList:
    """What is revoked, in memory: asked for every request."""

    def __init__(self) -> None:
        self._token_ids: set[tuple[str, str]] = set()
        self._not_before: defaultdict[tuple[str, str], datetime | None] = defaultdict(lambda: None)

    def add(self, revocation: Revocation) -> None:
        """Refuse what a revocation covers from now on. Idempotent."""
        if revocation.token_id is not None:
            self._token_ids.add((revocation.tenant, revocation.token_id))
        if revocation.subject is not None and revocation.not_before is not None:
            key = (revocation.tenant, revocation.subject)
            self._not_before[key] = max(
                revocation.not_before, self._not_before[key] or revocation.not_before
            )

    def covers(self, principal: Principal) -> bool:
        """Tell whether a caller's token is revoked; one without `iat` counts as older than all."""
        if (principal.tenant, principal.token_id) in self._token_ids:
            return True
        moment = self._not_before.get((principal.tenant, principal.subject))
        if moment is None:
            return False
        return principal.issued_at is None or principal.issued_at < moment


class Revoker(Protocol):
    """Takes revocations and keeps them; once it returns, they hold, and over restarts too."""

    async def revoke(self, revocation: Revocation) -> None:
        """Keep a revocation.

        Raises:
            RevocationsUnavailable: it can't be kept now; nothing was revoked.
        """
        ...
