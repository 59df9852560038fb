"""The QR codes of a single process."""

from sessions.clock import Clock
from sessions.ids import SessionId
from sessions.qr_codes import CurrentQr


class MemoryQrCodes:
    """`QrCodes` in a dict: gone with the process, as the login attempts that they belong to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: dict[SessionId, CurrentQr] = {}

    async def put(self, session: SessionId, qr: CurrentQr) -> None:
        """Replace the session's code; it expires by itself at `qr.expires_at`."""
        self._codes[session] = qr

    async def get(self, session: SessionId) -> CurrentQr | None:
        """Return the code that can be scanned now, None if there is none."""
        qr = self._codes.get(session)
        if qr is None or qr.valid_at(self._clock.now()):
            return qr
        del self._codes[session]
        return None

    async def remove(self, session: SessionId) -> None:
        """Forget the session's code. Idempotent."""
        self._codes.pop(session, None)
