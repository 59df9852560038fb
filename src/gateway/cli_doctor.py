"""`wagate doctor`: whether a start would succeed on this machine, each finding in one sentence."""

import asyncio
import errno
import socket
import stat
from collections.abc import Iterator

from gateway.data_directory import SECRET_FILE, DataDirectory, DataDirectoryError
from gateway.database import DatabaseError, OutdatedTables, open_database, prepare
from gateway.microservice_door import microservice_client
from gateway.neighbours import neighbours
from gateway.settings import Settings
from sessions.clock import SystemClock
from sessions.engine_microservice_calls import ServiceCalls
from sessions.engine_neonize_doctor import Finding, examine
from sessions.errors import EngineUnavailable
from sessions.ids import SessionId, new_uuid


def findings(settings: Settings) -> Iterator[Finding]:
    """Look at everything that a start needs, in the order in which it would fail."""
    directory = DataDirectory(settings.data_directory)
    running = None
    try:
        directory.prepare()
        running = directory.holder()
        yield Finding("data directory", "ok", _directory_sentence(directory, running))
        yield from _secret(directory)
    except DataDirectoryError as error:
        yield Finding("data directory", "fault", str(error))
    yield _database(settings)
    yield _port(settings, running)
    if settings.engine == "neonize":
        yield from examine(directory.path / "engine")
    if settings.engine == "microservice":
        yield _microservice(settings)
    yield from neighbours(settings)


def _directory_sentence(directory: DataDirectory, running: str | None) -> str:
    if running is None:
        return f"{directory.path} can be written and is free."
    return f"{directory.path} is in use by the server that runs as process {running}."


def _secret(directory: DataDirectory) -> Iterator[Finding]:
    file = directory.path / SECRET_FILE
    if not file.exists():
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        sentence = f"{file} is open to other users (mode {mode:o}): run chmod 600 on it."
        yield Finding("secret", "fault", sentence)
        return
    yield Finding("secret", "ok", f"{file} is readable by its owner only.")


def _database(settings: Settings) -> Finding:
    try:
        asyncio.run(_visit(settings))
    except OutdatedTables as error:
        if not settings.migrate_at_start:
            return Finding("database", "fault", str(error))
        return Finding("database", "ok", "It answers; the next start brings its tables up to date.")
    except DatabaseError as error:
        return Finding("database", "fault", str(error))
    return Finding("database", "ok", "It answers; its tables are up to date.")


async def _visit(settings: Settings) -> None:
    database = open_database(settings.database)
    try:
        # Only a start, or `wagate migrate`, changes tables.
        await prepare(database, migrate_at_start=False)
    finally:
        await database.close()


def _microservice(settings: Settings) -> Finding:
    try:
        asyncio.run(_ask(settings))
    except EngineUnavailable as error:
        return Finding("microservice", "fault", error.message)
    return Finding("microservice", "ok", "It answers, and takes the key.")


async def _ask(settings: Settings) -> None:
    client = microservice_client(settings)
    try:
        # About a session that it can't know: nothing is changed there.
        await ServiceCalls(client, SystemClock(), send_seconds=1).status(SessionId(new_uuid()))
    finally:
        await client.close()


def _port(settings: Settings, running: str | None) -> Finding:
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and running is not None:
                return Finding("port", "ok", f"{where} is in use by the running server.")
            return Finding("port", "fault", f"{where}: {error.strerror or error}.")
    return Finding("port", "ok", f"{where} is free.")
