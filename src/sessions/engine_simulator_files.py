"""Where the simulator keeps credentials: one small JSON file per session, named by its UUID."""

import asyncio
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from sessions.engine_simulator_phone import Account
from sessions.errors import EngineUnavailable
from sessions.ids import SessionId


class Credentials:
    """Accounts by session; without a directory only in memory."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._stored: dict[SessionId, Account | None] = {}

    def load(self) -> dict[SessionId, Account | None]:
        """Read every file (blocks); None stands for one that can't be understood."""
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in self._directory.glob("*.json"):
                self._stored[SessionId(path.stem)] = _read(path)
        return dict(self._stored)

    async def save(self, session: SessionId, account: Account | None) -> None:
        """Store an account, or remove it; does nothing if that is what is stored.

        Raises:
            EngineUnavailable: the file can't be written or removed.
        """
        if session in self._stored and self._stored[session] == account and account is not None:
            return
        if session not in self._stored and account is None:
            return
        if self._directory is not None:
            path = self._directory / f"{UUID(session)}.json"
            try:
                await asyncio.to_thread(_write, path, account)
            except OSError as error:
                message = f"The credentials can't be stored or removed: {error.strerror}."
                raise EngineUnavailable(message) from error
        if account is None:
            del self._stored[session]
        else:
            self._stored[session] = account


def _read(path: Path) -> Account | None:
    try:
        return Account.model_validate_json(path.read_bytes())
    except ValidationError:
        return None


def _write(path: Path, account: Account | None) -> None:
    if account is None:
        path.unlink(missing_ok=True)
        return
    # Renamed into place: a kill in the middle must not look like corrupted credentials.
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(account.model_dump_json())
    temporary.replace(path)
