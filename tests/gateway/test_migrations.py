"""The migrations: they make, on each kind of database, what the models say."""

import asyncio
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

from gateway.database import open_database
from tests.sessions.house import prepared


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a migrated database of each kind."""
    if request.param == "sqlite":
        return prepared(tmp_path)
    address: str = request.getfixturevalue("postgres_copy")
    return address


def differences(connection: Connection) -> list[object]:
    """Return what a further migration would have to change."""
    context = MigrationContext.configure(connection)
    return list(compare_metadata(context, SQLModel.metadata))


def test_the_migrations_make_what_the_models_say(url: str) -> None:
    async def compare() -> list[object]:
        database = open_database(url)
        try:
            async with database.writer.connect() as connection:
                return await connection.run_sync(differences)
        finally:
            await database.close()

    assert asyncio.run(compare()) == []
