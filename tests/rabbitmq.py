"""RabbitMQ for tests: one that runs, or one of the test's own to do harm to."""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from gateway.bridge_rabbitmq_topology import Topology
from tests.services import missing, wait_until

CANDIDATE = "amqp://guest:guest@127.0.0.1:5672/"
START_SECONDS = 50.0
_PROBE_SECONDS = 2.0
_SCRIPTS = Path("/usr/lib/rabbitmq/bin")


def _answers(port: int) -> bool:
    """Tell whether a broker answers a client of another protocol version with its own."""
    try:
        with socket.create_connection(("127.0.0.1", port), _PROBE_SECONDS) as connection:
            connection.settimeout(_PROBE_SECONDS)
            connection.sendall(b"AMQP\x00\x00\x00\x00")
            return connection.recv(4) == b"AMQP"
    except OSError:
        return False


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A broker that others may use too: a virtual host of this run's own if that can be had.

    Without one keep to `rabbitmq_names`.
    """
    url = os.environ.get("TESTS_RABBITMQ_URL", CANDIDATE)
    parts = urlsplit(url)
    if not _answers(parts.port or 5672):
        missing(f"no RabbitMQ at {parts.hostname}; set TESTS_RABBITMQ_URL")
    vhost = f"wagate-test-{secrets.token_hex(6)}"
    if not _control("add_vhost", vhost):
        yield url
        return
    try:
        user = parts.username or "guest"
        assert _control("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
        yield urlunsplit(parts._replace(path=f"/{vhost}"))
    finally:
        _control("delete_vhost", vhost)


def _control(*arguments: str) -> bool:
    if shutil.which("rabbitmqctl") is None:
        return False
    done = subprocess.run(
        ["rabbitmqctl", "-q", *arguments], check=False, capture_output=True, timeout=60
    )
    return done.returncode == 0


@pytest.fixture
async def topology(rabbitmq_url: str) -> AsyncIterator[Topology]:
    """Names that no other test uses; what was made under them is removed at the end."""
    prefix = f"t{secrets.token_hex(4)}."
    default = Topology()
    names = Topology(
        exchange=prefix + default.exchange,
        session_update=prefix + default.session_update,
        message_send=prefix + default.message_send,
        message_receive=prefix + default.message_receive,
        number_health=prefix + default.number_health,
        worker_events=prefix + default.worker_events,
        commands=prefix + default.commands,
        dead_letters=prefix + default.dead_letters,
    )
    yield names
    async with connected(rabbitmq_url) as connection, connection.channel() as channel:
        for queue in {*(queue for queue, _ in names.bindings), names.held, names.dead_letters}:
            await channel.queue_delete(queue)
        await channel.exchange_delete(names.exchange)
        await channel.exchange_delete(names.dead_letters)


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AbstractConnection]:
    """Open a connection of the test's own."""
    connection = await aio_pika.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RabbitServer:
    """A broker of the test's own, which may be killed and started again; it keeps its files."""

    directory: Path
    port: int = field(default_factory=_free_port)
    _dist_port: int = field(default_factory=_free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.directory / "rabbitmq.out").open("ab") as out:
            self._process = subprocess.Popen(
                [_SCRIPTS / "rabbitmq-server"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        wait_until(lambda: _answers(self.port), "rabbitmq-server answers", seconds=START_SECONDS)

    def kill(self) -> None:
        """End it as a power cut does. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def control(self, *arguments: str) -> None:
        """Run rabbitmqctl on it."""
        command = [str(_SCRIPTS / "rabbitmqctl"), "-q", *arguments]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=60)

    @property
    def _environment(self) -> dict[str, str]:
        base = self.directory
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(base),
            "RABBITMQ_NODENAME": f"wagate{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(base / "none.env"),
            "RABBITMQ_CONFIG_FILE": str(base / "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
            # Else a shell stays in front of it, and a kill would not reach the broker.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


@pytest.fixture
async def rabbit_server(tmp_path: Path) -> AsyncIterator[RabbitServer]:
    """A broker of the test's own, running."""
    if not (_SCRIPTS / "rabbitmq-server").exists():
        missing("no rabbitmq-server")
    directory = tmp_path / "rabbitmq"
    directory.mkdir()
    server = RabbitServer(directory)
    try:
        await asyncio.to_thread(server.start)
        yield server
    finally:
        await asyncio.to_thread(server.kill)
