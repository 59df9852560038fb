"""`wagate migrate` and `wagate restored`: what is done to the database while nobody serves."""

import asyncio
from collections.abc import Awaitable, Callable

import typer
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import select

from gateway.data_directory import DataDirectory, DataDirectoryError
from gateway.database import DatabaseError, open_database, prepare
from gateway.settings import Settings
from sessions.ids import new_log_id
from sessions.models import SessionRow
from sessions.store import Database


def migrate_now(settings: Settings) -> int:
    """Bring the tables up to date while no server has the data directory; return the exit code."""
    return _alone(settings, _migrated, "The database's tables are up to date.")


def name_logs_anew(settings: Settings) -> int:
    """Tell every client of a restored database that its position is of a log that is gone."""
    return _alone(settings, _renamed, "Every event log has a new identity: old cursors end here.")


Work = Callable[[Database], Awaitable[None]]


def _alone(settings: Settings, work: Work, done: str) -> int:
    async def run() -> None:
        database = open_database(settings.database)
        try:
            await prepare(database, migrate_at_start=True)
            await work(database)
        finally:
            await database.close()

    try:
        with DataDirectory(settings.data_directory):
            asyncio.run(run())
    except (DataDirectoryError, DatabaseError) as error:
        typer.echo(f"wagate: {error}", err=True)
        return 1
    typer.echo(done)
    return 0


async def _migrated(_: Database) -> None:
    """Nothing is left to do."""


async def _renamed(database: Database) -> None:
    async with AsyncSession(database.writer) as db, db.begin():
        for row in (await db.execute(select(SessionRow))).scalars():
            row.log_id = new_log_id()
