"""The gateway as its users run it: a process with a data directory, started, stopped, killed."""

import asyncio
import os
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_REST_SECONDS = 0.5
_REST_CPU_SECONDS = 0.03


class GatewayProcess:
    """One gateway on one data directory and one port, over any number of its process's lives."""

    def __init__(self, directory: Path, *, engine: str, environment: Mapping[str, str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.log = directory / "gateway.log"
        self.url = ""
        self._engine = engine
        # Nothing that the developer has set for a gateway of his own may reach this one.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("WAGATE_")}
        self._environment = {
            **inherited,
            "WAGATE_DATA_DIRECTORY": str(directory / "data"),
            "WAGATE_LOG_FORMAT": "json",
            **environment,
        }
        self._process: Process | None = None
        self._lives = 0

    @classmethod
    @asynccontextmanager
    async def running(
        cls, directory: Path, *, engine: str, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator["GatewayProcess"]:
        """Start a gateway, wait until it is ready, and end it with the block."""
        gateway = cls(directory, engine=engine, environment=environment or {})
        try:
            await gateway.start()
            yield gateway
        finally:
            await gateway.kill()

    @property
    def process(self) -> Process:
        """The running process."""
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        """Start the process and wait until it is ready to serve."""
        # The first life takes a free port, the next ones the same: clients come back to it.
        port = self.url.rpartition(":")[2] or "0"
        arguments = ["serve", "--engine", self._engine, "--port", port]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "gateway", *arguments),
                cwd=self.directory,
                env=self._environment,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._lives += 1
        await self._ready()

    async def stop(self) -> int:
        """End it in order by SIGTERM; return the exit code."""
        self.process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            return await self.process.wait()

    async def kill(self) -> None:
        """End it by SIGKILL. Idempotent."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def token(self, *arguments: str, subject: str = "tests") -> str:
        """Return what `wagate token` prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", "token", "--sub", subject, *arguments),
            cwd=self.directory,
            env=self._environment,
            stdout=PIPE,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0
        return printed.decode().strip()

    def workers(self) -> list[psutil.Process]:
        """Return the engine's processes."""
        return psutil.Process(self.process.pid).children()

    def connected_workers(self) -> list[psutil.Process]:
        """Return the engine's processes that have a connection to somewhere."""
        return [worker for worker in self.workers() if _is_connected(worker)]

    async def at_rest(self) -> None:
        """Wait until the engine's processes compute nothing: whatever they prepare is ready."""
        deadline = time.monotonic() + START_SECONDS
        before, after = -1.0, self._engine_cpu_seconds()
        while after - before > _REST_CPU_SECONDS:
            assert time.monotonic() < deadline, "the engine does not come to rest"
            await asyncio.sleep(_REST_SECONDS)
            before, after = after, self._engine_cpu_seconds()

    def _engine_cpu_seconds(self) -> float:
        return sum(sum(_cpu_times(worker)) for worker in self.workers())

    async def _ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(trust_env=False) as http:
            while not (self._announced() and await self._answers(http)):
                if self.process.returncode is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the gateway is not ready:\n{self.log.read_text()}")
                await asyncio.sleep(_POLL_SECONDS)

    def _announced(self) -> bool:
        """Take the address from what the process prints for its user."""
        found = re.findall(r"Wagate is ready at (http://\S+)", self.log.read_text())
        if len(found) < self._lives:
            return False
        self.url = found[-1]
        return True

    async def _answers(self, http: httpx.AsyncClient) -> bool:
        try:
            return (await http.get(f"{self.url}/health/ready")).status_code == 200
        except httpx.TransportError:
            return False


def send_signal(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _cpu_times(process: psutil.Process) -> tuple[float, float]:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0, 0
    return times.user, times.system


def _is_connected(process: psutil.Process) -> bool:
    try:
        return any(c.status == psutil.CONN_ESTABLISHED for c in process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return False
