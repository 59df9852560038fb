"""SQLite on the event loop's own thread, for tests with virtual time; the URL is `sqlite+inline:`.

SQLAlchemy's dialect with another driver beneath: every statement gives way to the loop once, so a
cancellation can meet a transaction anywhere, and a `Disk` can fail as disks do.
"""

import asyncio
import sqlite3
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import (
    AsyncAdapt_aiosqlite_connection,
    AsyncAdapt_aiosqlite_dbapi,
    SQLiteDialect_aiosqlite,
)


@dataclass
class Disk:
    """What one database file is on; `spared` statements pass before `failing` is felt."""

    failing: bool = False
    spared: int = 0

    def touch(self) -> None:
        """Let one statement pass, or fail it."""
        if not self.failing:
            return
        if self.spared:
            self.spared -= 1
            return
        raise sqlite3.OperationalError("disk I/O error")


DISKS: dict[str, Disk] = {}
"""By the path of the database's file; none is one that never fails."""


class _Cursor:
    def __init__(self, connection: sqlite3.Connection, disk: Disk) -> None:
        self._cursor = connection.cursor()
        self._disk = disk
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        await asyncio.sleep(0)
        self._disk.touch()
        self._cursor.execute(statement, parameters)

    async def executemany(self, statement: str, parameters: Any) -> None:
        await asyncio.sleep(0)
        self._disk.touch()
        self._cursor.executemany(statement, parameters)

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class _Connection:
    def __init__(self, path: str, **options: Any) -> None:
        self._connection: sqlite3.Connection | None = sqlite3.connect(path, **options)
        self._disk = DISKS.get(path, Disk())

    @property
    def raw(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("connection closed")
        return self._connection

    def cursor(self) -> _Cursor:
        return _Cursor(self.raw, self._disk)

    async def create_function(self, *arguments: Any, **options: Any) -> None:
        self.raw.create_function(*arguments, **options)

    async def commit(self) -> None:
        await asyncio.sleep(0)
        self._disk.touch()
        self.raw.commit()

    async def rollback(self) -> None:
        self.raw.rollback()

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Adapted(AsyncAdapt_aiosqlite_connection):
    __slots__ = ()

    @property
    def isolation_level(self) -> str | None:
        return self._connection.raw.isolation_level  # type: ignore[no-any-return]  # a str

    @isolation_level.setter
    def isolation_level(self, value: str | None) -> None:
        self._connection.raw.isolation_level = value


class _Driver(AsyncAdapt_aiosqlite_dbapi):
    def connect(self, *arguments: Any, **options: Any) -> _Adapted:
        return _Adapted(self, _Connection(*arguments, **options))  # type: ignore[arg-type]  # by shape


class InlineDialect(SQLiteDialect_aiosqlite):
    """SQLAlchemy's aiosqlite dialect without aiosqlite's threads."""

    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> _Driver:
        """Return the driver."""
        return _Driver(__import__("aiosqlite"), sqlite3)


registry.register("sqlite.inline", __name__, InlineDialect.__name__)
