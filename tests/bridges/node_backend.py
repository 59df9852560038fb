"""A back end on Node: BullMQ itself, unchanged, on each end of the two queues."""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.bridge_bullmq_library import QueueNames

NODE = Path(__file__).parent / "node"
VERSIONS = ("5", "6")
INSTALL_SECONDS = 90.0
_WAIT_SECONDS = 20.0
_END_SECONDS = 5.0

Payload = dict[str, Any]


@pytest.fixture(scope="session")
def node() -> None:
    """Install BullMQ from npm; without Node or a network that is a failure only in CI."""
    with _alone():
        installed = all((NODE / "node_modules" / f"bullmq-{one}").is_dir() for one in VERSIONS)
        reason = None if installed else _installation_failure()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let no other test run install meanwhile."""
    directory = os.open(NODE, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _installation_failure() -> str | None:
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    try:
        done = subprocess.run(
            [npm, "install"], cwd=NODE, capture_output=True, check=False, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"npm install took more than {INSTALL_SECONDS} s"
    if done.returncode == 0:
        return None
    return f"npm install failed: {done.stderr.decode(errors='replace')[-300:]}"


class NodeProcess:
    """A script; what it says, in order."""

    def __init__(self, commands: asyncio.StreamWriter) -> None:
        self.said: list[tuple[str, Payload]] = []
        self._news = asyncio.Event()
        self._ended = False
        self._commands = commands

    @classmethod
    @asynccontextmanager
    async def running(
        cls, script: str, version: str, names: QueueNames, queue: str
    ) -> AsyncIterator["NodeProcess"]:
        """Run a script until the block is left."""
        process = await asyncio.create_subprocess_exec(
            *("node", script, version, names.url, names.prefix, queue),
            cwd=NODE,
            stdin=PIPE,
            stdout=PIPE,
            limit=2**22,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        running = cls(process.stdin)
        listening = asyncio.create_task(running._listen(process.stdout))
        try:
            await running.hears("ready")
            yield running
        finally:
            process.stdin.close()
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            await listening

    def tell(self, command: Payload) -> None:
        """Give it something to do."""
        self._commands.write(json.dumps(command).encode() + b"\n")

    def heard(self, event: str) -> list[Payload]:
        """Return what it has said of one kind."""
        return [payload for said, payload in self.said if said == event]

    async def hears(self, event: str, count: int = 1, *, seconds: float = _WAIT_SECONDS) -> Payload:
        """Wait until it has said so many of a kind; return the last of them."""
        return (await self.until(event, lambda found: len(found) >= count, seconds=seconds))[
            count - 1
        ]

    async def until(
        self,
        event: str,
        good: Callable[[list[Payload]], bool],
        *,
        seconds: float = _WAIT_SECONDS,
    ) -> list[Payload]:
        """Wait until what it has said of one kind is good; return it."""
        try:
            async with asyncio.timeout(seconds):
                while not good(self.heard(event)):
                    assert not self._ended, f"it has ended; it said {self.said}"
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no more {event} in {seconds} s: {self.said[-20:]}") from None
        return self.heard(event)

    async def _listen(self, output: asyncio.StreamReader) -> None:
        while line := await output.readline():
            said, payload = json.loads(line)
            self.said.append((said, payload))
            self._news.set()
        self._ended = True
        self._news.set()


class Producer(NodeProcess):
    """Adds jobs to the queue of messages to send."""

    @classmethod
    @asynccontextmanager
    async def adding(cls, version: str, names: QueueNames) -> AsyncIterator["Producer"]:
        """Run one until the block is left."""
        async with cls.running("producer.mjs", version, names, names.send) as running:
            assert isinstance(running, cls)
            yield running

    def add(self, ref: str, data: Any, **options: Any) -> None:
        """Add a job; options in BullMQ's words."""
        self.tell({"ref": ref, "data": data, "opts": options})

    async def send(self, ref: str, session: str, text: str, **options: Any) -> str:
        """Have a text sent; return the id that the job's result gives."""
        self.add(ref, {"sessionId": session, "to": "447700900123", "message": text}, **options)
        return await self.result(ref)

    async def remove(self, job_id: str) -> None:
        """Remove a job that has ended."""
        self.tell({"remove": job_id})
        assert (await self.hears("removed", len(self.heard("removed")) + 1))["count"] == 1

    async def result(self, ref: str, *, seconds: float = _WAIT_SECONDS) -> str:
        """Wait for the end of a job that goes well."""
        found = await self.until("finished", _has(ref), seconds=seconds)
        result = next(payload["result"] for payload in found if payload["ref"] == ref)
        assert set(result) == {"messageId"}
        return str(result["messageId"])

    async def failure(self, ref: str) -> Payload:
        """Wait for the end of a job that fails."""
        found = await self.until("failed", _has(ref))
        return next(payload for payload in found if payload["ref"] == ref)


def _has(ref: str) -> Callable[[list[Payload]], bool]:
    return lambda found: any(payload["ref"] == ref for payload in found)


@asynccontextmanager
async def worker(version: str, names: QueueNames) -> AsyncIterator[NodeProcess]:
    """Take incoming messages, until the block is left."""
    async with NodeProcess.running("worker.mjs", version, names, names.incoming) as running:
        yield running
