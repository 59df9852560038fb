"""The whole server in one event loop: the gate for clients and the control API."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from .control import Control
from .gate import Gate
from .network import Network
from .tls import server_context
from .trusting_neonize import copy_trusting

CONTROL_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ready:
    """Where the server is, and the environment by which an unmodified gateway talks to it."""

    proxy: str
    ca: str
    pythonpath: str
    control: str
    pid: int
    environment: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Server:
    """Serves until told to stop; `run` blocks and owns the process's signals, as uvicorn does."""

    def __init__(self, directory: Path, on_ready: Callable[[Ready], None]) -> None:
        self._directory, self._on_ready = directory, on_ready
        self._network = Network()
        self._socket = socket.create_server((CONTROL_HOST, 0))
        application = Control(self._network).application(self._lifespan)
        config = uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`."""
        # uvicorn raises the signal once more when it has ended, by the handlers that were there
        # before: the default ones would end the process before its directory is removed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())
        self._uvicorn.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `run` soon; may be called from any thread."""
        self._uvicorn.should_exit = True

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        control_port = self._socket.getsockname()[1]
        tls = await asyncio.to_thread(server_context, self._directory)
        copy = self._directory / "trusting_neonize"
        await asyncio.to_thread(copy_trusting, self._network.root.public, copy)
        gate = Gate(self._network, tls, control_port)
        proxy_port = await gate.open()
        self._on_ready(_ready(self._directory, copy, proxy_port, control_port))
        try:
            yield
        finally:
            gate.close()


def _ready(directory: Path, copy: Path, proxy_port: int, control_port: int) -> Ready:
    proxy = f"http://127.0.0.1:{proxy_port}"
    ca = str(directory / "ca.pem")
    environment = {
        "HTTPS_PROXY": proxy,
        "SSL_CERT_FILE": ca,
        "PYTHONPATH": _before_pythonpath(copy, os.environ),
    }
    control = f"http://{CONTROL_HOST}:{control_port}"
    return Ready(proxy, ca, str(copy), control, os.getpid(), environment)


def _before_pythonpath(copy: Path, environment: Mapping[str, str]) -> str:
    existing = environment.get("PYTHONPATH")
    return f"{copy}{os.pathsep}{existing}" if existing else str(copy)
