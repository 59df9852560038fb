"""What a session's earlier lines could not hand over, taken up until it is committed."""

import asyncio

from sessions.engine_neonize_store import CredentialStore
from sessions.ids import SessionId
from sessions.signals import Signal


class Kept:
    """One session's file of signals, read in threads."""

    def __init__(self, store: CredentialStore, session: SessionId) -> None:
        self._store = store
        self._session = session
        self._taken = 0

    async def take(self) -> list[Signal]:
        """Return what is kept, oldest first; it stays so until `committed` as often as taken."""
        signals = await asyncio.to_thread(self._store.take_undelivered, self._session)
        self._taken += bool(signals)
        return signals

    async def committed(self) -> None:
        """Forget what was taken, unless more was taken since."""
        self._taken -= 1
        if not self._taken:
            await asyncio.to_thread(self._store.discard_undelivered, self._session)
