"""Whether a token lets a client in, now."""

from typing import Protocol

from auth.errors import ExpiredToken, MissingToken, RevokedToken
from auth.principal import Principal
from sessions.clock import Clock


class Verifier(Protocol):
    """Tells whom a token stands for."""

    async def verify(self, token: str) -> Principal:
        """Return the caller; raises AuthError."""
        ...

    def is_revoked(self, principal: Principal) -> bool:
        """Tell whether a caller's token was revoked since; asked again and again."""
        ...


class Admission:
    """Verifies the tokens of connections, which outlive the moment of their verification."""

    def __init__(self, verifier: Verifier, clock: Clock) -> None:
        self._verifier = verifier
        self._clock = clock

    def check(self, principal: Principal) -> None:
        """Let a connection go on whose token still holds.

        Raises:
            RevokedToken, ExpiredToken: it holds no more.
        """
        if self._verifier.is_revoked(principal):
            raise RevokedToken
        # The verifier allows for clocks that differ; a connection ends at `exp` by ours.
        if principal.expires_at <= self._clock.now():
            raise ExpiredToken

    async def principal(self, token: str | None) -> Principal:
        """Return whom a token stands for.

        Raises:
            AuthError: there is none, it is not to be trusted, or its time is over.
        """
        if not token:
            raise MissingToken
        principal = await self._verifier.verify(token)
        self.check(principal)
        return principal
