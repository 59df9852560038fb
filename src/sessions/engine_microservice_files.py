"""Which sessions the microservice was told of, and which it has linked: a small file for each.

The credentials themselves are the service's; this is only what can be known without asking it.
"""

import asyncio
import json
from pathlib import Path
from uuid import UUID

from sessions.errors import EngineUnavailable
from sessions.ids import SessionId


class KnownSessions:
    """The sessions at the service; without a directory only in memory."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._linked: dict[SessionId, bool] = {}

    def load(self) -> None:
        """Read every file (blocks); one that can't be understood counts as linked."""
        if self._directory is None:
            return
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._directory.glob("*.json"):
            self._linked[SessionId(path.stem)] = _read(path)

    def __contains__(self, session: SessionId) -> bool:
        return session in self._linked

    def is_linked(self, session: SessionId) -> bool:
        """Tell whether a phone was linked, when it was last heard."""
        return self._linked.get(session, False)

    async def keep(self, session: SessionId, *, linked: bool) -> None:
        """Remember a session; does nothing if that is what is remembered.

        Raises:
            EngineUnavailable: the file can't be written.
        """
        if self._linked.get(session) == linked:
            return
        await self._change(session, linked)
        self._linked[session] = linked

    async def remove(self, session: SessionId) -> None:
        """Forget a session. Idempotent.

        Raises:
            EngineUnavailable: the file can't be removed.
        """
        if session in self._linked:
            await self._change(session, None)
            del self._linked[session]

    async def _change(self, session: SessionId, linked: bool | None) -> None:  # noqa: FBT001
        if self._directory is None:
            return
        path = self._directory / f"{UUID(session)}.json"
        try:
            await asyncio.to_thread(_write, path, linked)
        except OSError as error:
            message = f"What the microservice knows can't be kept here: {error.strerror}."
            raise EngineUnavailable(message) from error


def _read(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_bytes())["linked"])
    except (ValueError, KeyError, TypeError):
        return True


def _write(path: Path, linked: bool | None) -> None:  # noqa: FBT001 - what is in the file
    if linked is None:
        path.unlink(missing_ok=True)
        return
    # Renamed into place: a kill in the middle must not leave half a file.
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"linked": linked}))
    temporary.replace(path)
