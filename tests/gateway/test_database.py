"""Connections to the database: their errors are logged, and so must tell nothing that is secret."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.database import open_database

CANARY = "canary-message-text"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/wagate.db"
    address: str = request.getfixturevalue("postgres_url")
    return address


async def test_an_error_tells_no_parameter(url: str) -> None:
    database = open_database(url)
    statement = text("SELECT * FROM no_such_table WHERE body = :body")
    try:
        for engine in (database.writer, database.reader):
            with pytest.raises(DBAPIError) as failed:
                async with engine.connect() as connection:
                    await connection.execute(statement, {"body": CANARY})
            assert "no_such_table" in str(failed.value)
            assert CANARY not in str(failed.value)
    finally:
        await database.close()
