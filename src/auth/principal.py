"""Who is asking, and what they may do."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from auth.errors import InsufficientScope


class Scope(StrEnum):
    """What a token allows; `admin` implies the others, within the token's own tenant."""

    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    MESSAGES_READ = "messages:read"
    MESSAGES_SEND = "messages:send"
    ADMIN = "admin"


ORDINARY_SCOPES = frozenset(Scope) - {Scope.ADMIN}
"""Everything that a tenant's own back end needs; what tokens without scopes get by default."""


@dataclass(frozen=True)
class Principal:
    """An authenticated caller. `sessions` are the only ids or names it may touch; None: all."""

    subject: str
    tenant: str
    scopes: frozenset[Scope]
    sessions: frozenset[str] | None
    expires_at: datetime
    token_id: str | None
    issued_at: datetime | None = None

    def require(self, scope: Scope) -> None:
        """Let a caller pass that has this scope, or `admin`.

        Raises:
            InsufficientScope: it has neither.
        """
        if scope in self.scopes or Scope.ADMIN in self.scopes:
            return
        message = f"The token lacks the scope {scope.value}. Get one that has it."
        raise InsufficientScope(message)

    def may_access(self, *names: str) -> bool:
        """Tell whether a session of its tenant, by its id and its name, is open to this caller."""
        return self.sessions is None or not self.sessions.isdisjoint(names)
