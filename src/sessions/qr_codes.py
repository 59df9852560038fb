"""The port that keeps the code that each session shows right now."""

from datetime import datetime
from typing import Protocol

from pydantic import Field

from sessions.clock import Instant
from sessions.ids import SessionId
from sessions.messages import WireModel


class CurrentQr(WireModel):
    """What a screen shows: the QR code's text and, for a login by number, the code to type."""

    code: str = Field(repr=False)
    pairing_code: str | None = Field(default=None, repr=False)
    attempt: int
    max_attempts: int
    expires_at: Instant

    def valid_at(self, moment: datetime) -> bool:
        """Tell whether the code can still be scanned."""
        return moment < self.expires_at


class QrCodes(Protocol):
    """One current code per session, gone when it expires. Secret: an implementation logs none."""

    async def put(self, session: SessionId, qr: CurrentQr) -> None:
        """Replace the session's code; it expires by itself at `qr.expires_at`."""
        ...

    async def get(self, session: SessionId) -> CurrentQr | None:
        """Return the code that can be scanned now, None if there is none."""
        ...

    async def remove(self, session: SessionId) -> None:
        """Forget the session's code. Idempotent."""
        ...
