"""The directory of everything that outlives a start: one process at a time, nobody else's eyes."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from auth.errors import UnusableKey
from auth.keys import check_secret

SECRET_FILE = "jwt_secret"  # noqa: S105 - the name of a file
LOCK_FILE = "lock"


class DataDirectoryError(Exception):
    """The data directory can't be used; the message says why, and what to do."""


class DataDirectory:
    """A directory that is made when missing (mode 0700). As a context manager, it is ours alone.

    The lock is an advisory `flock`: the kernel drops it when the process ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make the directory, see that it can be written, and lock it.

        Raises:
            DataDirectoryError: another process has it, or it can't be written.
        """
        self.prepare()
        self._lock = self._locked()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            # The file stays: removing it would let two processes lock two files of one name.
            os.close(self._lock)
            self._lock = None

    def prepare(self) -> None:
        """Make the directory if it is missing, and see that it can be written.

        Raises:
            DataDirectoryError: it can't be.
        """
        probe = self.path / f".probe-{secrets.token_hex(4)}"
        with self._explained():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                # A page of data: a full disk still makes empty files.
                _write_new(probe, secrets.token_bytes(4096))
            finally:
                probe.unlink(missing_ok=True)

    def holder(self) -> str | None:
        """Return the id of the process that holds the lock ("?" if unknown), None if none does."""
        try:
            os.close(self._locked())
        except DataDirectoryError:
            return self._holder_id()
        return None

    def has_secret(self) -> bool:
        """Tell whether `jwt_secret` was made already."""
        return (self.path / SECRET_FILE).exists()

    def jwt_secret(self) -> str:
        """Return the secret that signs tokens; made, with mode 0600, when there is none yet.

        Raises:
            DataDirectoryError: it can't be read or written, or is not what was written once.
        """
        file = self.path / SECRET_FILE
        self.prepare()
        with self._explained():
            if not self.has_secret():
                self._create_secret(file)
            secret = file.read_text(encoding="utf-8").strip()
        try:
            check_secret(secret)
        except UnusableKey as error:
            message = f"{file}: {error}. Remove the file to have a new one made."
            raise DataDirectoryError(message) from None
        return secret

    def _create_secret(self, file: Path) -> None:
        draft = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
        content = f"{secrets.token_urlsafe(32)}\n".encode()
        try:
            _write_new(draft, content)
            # A link appears whole or not at all, and never replaces what another process made.
            os.link(draft, file)
        except FileExistsError:
            pass
        except PermissionError:
            # Some mounted volumes know no links.
            _write_new(file, content)
        finally:
            draft.unlink(missing_ok=True)

    def _locked(self) -> int:
        with self._explained():
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(self.path / LOCK_FILE, flags, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                message = (
                    f"The data directory {self.path} is in use by process {self._holder_id()}. "
                    "Stop that one, or choose another with --data-directory."
                )
                raise DataDirectoryError(message) from None
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())
        return lock

    def _holder_id(self) -> str:
        try:
            text = (self.path / LOCK_FILE).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return "?"
        return text if text.isdecimal() else "?"

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            message = (
                f"The data directory {self.path} can't be used: {reason}. Make it writable for "
                "this user, free some space, or choose another with --data-directory."
            )
            raise DataDirectoryError(message) from None


def _write_new(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
