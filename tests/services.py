"""Redis and PostgreSQL for tests: one that runs, one that is started here, or a skip that says why.

In CI (`CI=true`) a missing service fails, so that no promise goes unproven unnoticed.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from tests.sessions.house import migrate

PROBE_SECONDS = 2.0
START_SECONDS = 10.0
POSTGRES_CANDIDATES = ("postgresql://root@127.0.0.1/test", "postgresql://postgres@127.0.0.1/test")


def missing(reason: str) -> NoReturn:
    """Skip at home, fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI needs it", pytrace=False)
    pytest.skip(reason)


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = START_SECONDS) -> None:
    """Poll until something holds, for code outside of an event loop."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def _answers_ping(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), PROBE_SECONDS) as connection:
            connection.settimeout(PROBE_SECONDS)
            connection.sendall(b"PING\r\n")
            return connection.recv(5).startswith(b"+PONG")
    except OSError:
        return False


@dataclass
class RedisServer:
    """A redis-server of the test's own, which may be frozen, ended and started again."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, without a disk copy, and wait until it answers."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            ["redis-server", *arguments],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: _answers_ping("127.0.0.1", self.port), "redis-server answers")

    def kill(self) -> None:
        """End it as a power cut does. Idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=START_SECONDS)
            self.process = None

    def freeze(self) -> None:
        """Let connections stand and nothing answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running_redis(directory: Path) -> Iterator[RedisServer]:
    """Run a redis-server on a free port until the block is left."""
    if shutil.which("redis-server") is None:
        missing("no Redis answers at 127.0.0.1:6379, and there is no redis-server to start")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = RedisServer(directory, port)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to do harm to."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis that others may use too: keep to `redis_prefix`."""
    if given := os.environ.get("TESTS_REDIS_URL"):
        yield given
    elif _answers_ping("127.0.0.1", 6379):
        yield "redis://127.0.0.1:6379/0"
    else:
        with running_redis(tmp_path_factory.mktemp("redis")) as server:
            yield server.url


@pytest.fixture
def redis_prefix() -> str:
    """What the test's keys and channels begin with."""
    return f"wagate-test:{secrets.token_hex(6)}:"


@pytest.fixture
async def redis(redis_url: str, redis_prefix: str) -> AsyncIterator[Redis]:
    """A client; the keys below `redis_prefix` are removed at the end."""
    async with Redis.from_url(redis_url) as client:
        yield client
        async for key in client.scan_iter(match=f"{redis_prefix}*"):
            await client.delete(key)


def _postgres() -> str:
    given = os.environ.get("TESTS_POSTGRES_URL")
    failures = []
    for url in [given] if given else POSTGRES_CANDIDATES:
        try:
            asyncio.run(_execute(url, "SELECT 1"))
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            failures.append(f"{urlsplit(url).hostname}: {error}")
        else:
            return url
    missing(f"no PostgreSQL ({'; '.join(failures)}); set TESTS_POSTGRES_URL")


async def _execute(url: str, statement: str) -> None:
    plain = url.replace("postgresql+asyncpg://", "postgresql://")
    connection = await asyncpg.connect(plain, timeout=PROBE_SECONDS)
    try:
        await connection.execute(statement, timeout=START_SECONDS)
    finally:
        await connection.close(timeout=PROBE_SECONDS)


@contextlib.contextmanager
def fresh_database(template: str = "template1") -> Iterator[str]:
    """Create a PostgreSQL database, empty or a copy, yield its SQLAlchemy URL, drop it."""
    server = _postgres()
    name = f"wagate_test_{secrets.token_hex(6)}"
    asyncio.run(_execute(server, f"CREATE DATABASE {name} TEMPLATE {template}"))
    try:
        parts = urlsplit(server)
        yield urlunsplit(parts._replace(scheme="postgresql+asyncpg", path=f"/{name}"))
    finally:
        asyncio.run(_execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of this test run's own; tests share it, so they use names of their own."""
    with fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    """The name of a database that has the tables and nothing in them; nobody connects to it."""
    with fresh_database() as url:
        migrate(url)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def postgres_copy(postgres_template: str) -> Iterator[str]:
    """A database with tables of the test's own."""
    with fresh_database(postgres_template) as url:
        yield url
