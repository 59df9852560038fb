"""Connections to the database, and its tables' migrations."""

import asyncio
import sqlite3
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from sessions.store import Database

_BUSY_MS = 5_000
_POSTGRES_SECONDS = 10
_READERS = 4


class DatabaseError(Exception):
    """The database can't be used; the text says why and what to do."""


class OutdatedTables(DatabaseError):
    """The database answers, but its tables are older than this version, and must be migrated."""


def open_database(url: str) -> Database:
    """Prepare connections to a SQLite file or a PostgreSQL server; none is made yet.

    Its errors tell no parameters: these are message texts and phone numbers, and errors are logged.
    """
    if make_url(url).get_backend_name() == "sqlite":
        return Database(writer=_sqlite(url, writes=True), reader=_sqlite(url, writes=False))
    engine = create_async_engine(
        url,
        pool_size=_READERS + 1,
        pool_timeout=_POSTGRES_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"timeout": _POSTGRES_SECONDS, "command_timeout": _POSTGRES_SECONDS},
    )
    return Database(writer=engine, reader=engine)


def _sqlite(url: str, *, writes: bool) -> AsyncEngine:
    """One connection that writes, a few that read beside it: as WAL allows."""
    engine = create_async_engine(
        url,
        pool_size=1 if writes else _READERS,
        max_overflow=0,
        pool_timeout=_POSTGRES_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        try:
            _set_up(connection, writes=writes)
        except Exception:
            # The pool forgets a connection that could not be set up, but its thread would stay.
            connection.close()
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _set_up(connection: Any, *, writes: bool) -> None:
    # The driver's own transactions begin too late to hold a savepoint or a consistent read.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.execute("PRAGMA foreign_keys = ON")
    # What a statement needs for itself would be a file each time: it fails without a descriptor.
    cursor.execute("PRAGMA temp_store = MEMORY")
    if writes:
        cursor.execute("PRAGMA journal_mode = WAL")
        # An event that was acknowledged must survive a power cut.
        cursor.execute("PRAGMA synchronous = FULL")
    else:
        cursor.execute("PRAGMA query_only = ON")
    cursor.close()


async def prepare(database: Database, *, migrate_at_start: bool) -> None:
    """Bring the tables up to date, or see that they are. Reads files: do it before serving.

    Raises:
        DatabaseError: the database does not answer or take writes, or its tables are not ours.
    """
    try:
        await _try_to_open(database.writer.url)
        async with database.writer.begin() as connection:
            found, wanted = await connection.run_sync(_revisions)
            if found == wanted:
                return
            if not migrate_at_start:
                raise OutdatedTables(
                    f"the database's tables are at {found or 'nothing'}, expected {wanted}. "
                    "Run `wagate migrate`, or set WAGATE_MIGRATE_AT_START=true."
                )
            await connection.run_sync(_upgrade)
    except (DBAPIError, OSError, sqlite3.Error) as error:
        raise DatabaseError(_explained(error)) from error


async def _try_to_open(url: URL) -> None:
    """Open a SQLite file once by hand, as aiosqlite's thread outlives the loop when it fails to."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return
    path = url.database
    await asyncio.to_thread(lambda: sqlite3.connect(path).close())


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "gateway:migrations")
    config.attributes["connection"] = connection
    return config


def _revisions(connection: Connection) -> tuple[str | None, str | None]:
    script = ScriptDirectory.from_config(_config(connection))
    found = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseError(
            f"the database's tables are at {found}, which this version does not know. "
            "A newer Wagate made them: start that version, or restore a backup."
        )
    return found, script.get_current_head()


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


def _explained(error: DBAPIError | OSError | sqlite3.Error) -> str:
    cause = str(getattr(error, "orig", error))
    hints = {
        "readonly": "Make the file and its directory writable for this user.",
        "unable to open": "Make the directory exist and be writable for this user.",
        "full": "Free some space on the disk.",
        "not a database": "The file is no SQLite database: move it away, or restore a backup.",
        "malformed": "The database is damaged: restore a backup.",
        "disk I/O": "The disk is full or failing: check it.",
        "locked": "Another program holds it: end that one.",
    }
    step = next(
        (step for word, step in hints.items() if word in cause),
        "Check WAGATE_DATABASE_URL and that the server is up.",
    )
    return f"the database can't be used: {cause}. {step}"
