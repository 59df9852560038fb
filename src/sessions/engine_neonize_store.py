"""The credential files of the neonize engine: one SQLite store per session.

Only the server opens a store here, never the process in which the Go library has it open: two
copies of SQLite in one process break each other's file locks. Everything blocks; call it in a
thread.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from urllib.parse import quote

from sessions.errors import EngineUnavailable
from sessions.ids import SessionId
from sessions.signals import SIGNAL, Signal

_DEVICE_JID = re.compile(r"[0-9]+(\.[0-9]+)?(:[0-9]+)?@s\.whatsapp\.net")


class Credentials(Enum):
    """What a session's store holds."""

    NONE = "none"
    DEVICE = "device"
    CORRUPTED = "corrupted"


@dataclass(frozen=True)
class CredentialStore:
    """The directory with one store file per session, named by its id; mode 0700, files 0600."""

    directory: Path

    def path(self, session: SessionId) -> Path:
        """Return the session's store file, whether it exists or not."""
        # The id is a UUID made by the server; a name with a slash would leave the directory.
        if "/" in session or session.startswith("."):
            raise ValueError(f"{session!r} is no session id")
        return self.directory / f"{session}.db"

    def prepare(self, session: SessionId) -> Path:
        """Create the directory and an empty store file if missing, readable by us only.

        Raises:
            EngineUnavailable: the directory can't be written.
        """
        path = self.path(session)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise EngineUnavailable(
                f"The engine's store can't be written: {error.strerror}."
            ) from error
        return path

    def inspect(self, session: SessionId) -> Credentials:
        """Tell what the store holds, having read all of it.

        Raises:
            EngineUnavailable: the file can't be read now.
        """
        path = self.path(session)
        if not path.exists() or path.stat().st_size == 0:
            return Credentials.NONE
        try:
            with _reading(path) as database:
                return _examine(database)
        except sqlite3.OperationalError as error:
            raise EngineUnavailable(f"The session's store can't be read: {error}.") from error
        except sqlite3.DatabaseError:
            return Credentials.CORRUPTED

    def has_device(self, session: SessionId) -> bool:
        """Tell whether there is a linked device, without judging the rest of the store."""
        path = self.path(session)
        if not path.exists() or path.stat().st_size == 0:
            return False
        try:
            with _reading(path) as database:
                return _device(database) is not None
        except sqlite3.DatabaseError:
            return False

    def take_undelivered(self, session: SessionId) -> list[Signal]:
        """Return what earlier lines could not hand over, oldest first; kept until discarded."""
        taken = self._taken(session)
        fresh = undelivered_path(self.path(session))
        if fresh.exists():
            _append(taken, fresh.read_bytes())
            fresh.unlink()
        if not taken.exists():
            return []
        # A last line without its end was being written as the power failed.
        lines = taken.read_bytes().split(b"\n")[:-1]
        return [SIGNAL.validate_json(line) for line in lines]

    def discard_undelivered(self, session: SessionId) -> None:
        """Forget what `take_undelivered` returned: it is committed."""
        self._taken(session).unlink(missing_ok=True)

    def set_aside(self, session: SessionId) -> None:
        """Rename an unusable store, so that a new one can be made and the old one examined."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        for file in self._files(session):
            if ".unusable-" not in file.name:
                file.rename(file.with_name(f"{file.name}.unusable-{stamp}"))

    def forget(self, session: SessionId) -> None:
        """Remove every file of the session, those set aside too. Idempotent.

        Raises:
            EngineUnavailable: a file can't be removed.
        """
        try:
            for file in self._files(session):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise EngineUnavailable(
                f"The session's store can't be removed: {error.strerror}."
            ) from error

    def _taken(self, session: SessionId) -> Path:
        path = self.path(session)
        return path.with_name(f"{path.name}.redelivered")

    def _files(self, session: SessionId) -> list[Path]:
        return list(self.directory.glob(f"{self.path(session).name}*"))


def store_address(path: Path) -> str:
    """Return the name under which the library opens a store: a path with options of its driver.

    A write-ahead log commits with one fsync instead of four; `z` swallows what the library appends.
    """
    return f"{quote(str(path))}?_foreign_keys=on&_journal_mode=WAL&_busy_timeout=10000&z="


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
    try:
        yield database
    finally:
        database.close()


def _examine(database: sqlite3.Connection) -> Credentials:
    if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        return Credentials.CORRUPTED
    device = _device(database)
    if device is None:
        return Credentials.NONE
    # A name that is none would make the library log in as nobody.
    return Credentials.DEVICE if _DEVICE_JID.fullmatch(str(device)) else Credentials.CORRUPTED


def _device(database: sqlite3.Connection) -> object | None:
    tables = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'whatsmeow_device'"
    if database.execute(tables).fetchone() is None:
        return None
    row = database.execute("SELECT jid FROM whatsmeow_device LIMIT 1").fetchone()
    return row[0] if row else None


def _append(path: Path, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(file, "ab") as writer:
        writer.write(data)
        writer.flush()
        os.fsync(writer.fileno())


def undelivered_path(store: Path) -> Path:
    """Return the file of signals that a line could not hand over, one JSON document a line."""
    return store.with_name(f"{store.name}.undelivered")
