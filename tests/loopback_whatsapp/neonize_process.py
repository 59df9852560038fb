"""The tests' end of `neonize_session`: a real neonize in a process of its own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from .client import REPOSITORY, LoopbackWhatsApp

EVENT_TIMEOUT_SECONDS = 20.0
END_TIMEOUT_SECONDS = 5.0
# A history is one line.
MAX_LINE_BYTES = 1 << 24

Event = dict[str, Any]


class NeonizeProcess:
    """A session of neonize on a database; what it says is kept in order."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.seen: list[Event] = []
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @asynccontextmanager
    async def start(cls, database: Path, environment: Mapping[str, str]) -> AsyncIterator[Self]:
        """Start a session; end its process with the block."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.loopback_whatsapp.neonize_session", str(database)),
            cwd=REPOSITORY,
            env=os.environ | environment,
            stdin=PIPE,
            stdout=PIPE,
            limit=MAX_LINE_BYTES,
            stderr=None if "LOOPBACK_WHATSAPP_VERBOSE" in os.environ else DEVNULL,
        )
        session = cls(process)
        try:
            yield session
        finally:
            await session.kill()

    async def event(self, *names: str, timeout_seconds: float = EVENT_TIMEOUT_SECONDS) -> Event:
        """The next event of one of these names; others before it are passed over."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._next(names)
        except TimeoutError:
            raise TimeoutError(f"none of {names} in {timeout_seconds} s: {self.seen}") from None

    async def do(
        self, command: str, *, timeout_seconds: float = EVENT_TIMEOUT_SECONDS, **arguments: Any
    ) -> Any:
        """Have something done; return its result. AssertionError when it fails."""
        answer = await self._ask(command, timeout_seconds, arguments)
        assert answer["event"] == "done", answer
        return answer["result"]

    async def attempt(
        self, command: str, *, timeout_seconds: float = EVENT_TIMEOUT_SECONDS, **arguments: Any
    ) -> str | None:
        """Have something done that may fail; return why it has, or None when it has not."""
        answer = await self._ask(command, timeout_seconds, arguments)
        return str(answer["reason"]) if answer["event"] == "failed" else None

    async def kill(self) -> None:
        """End the process at once, as `kill -9` does."""
        if self._process.returncode is None:
            self._process.kill()
        async with asyncio.timeout(END_TIMEOUT_SECONDS):
            await self._process.wait()
            await self._reading
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def _ask(self, command: str, timeout_seconds: float, arguments: dict[str, Any]) -> Event:
        assert self._process.stdin is not None
        line = json.dumps({"do": command, **arguments}) + "\n"
        self._process.stdin.write(line.encode())
        await self._process.stdin.drain()
        return await self.event("done", "failed", timeout_seconds=timeout_seconds)

    async def _next(self, names: tuple[str, ...]) -> Event:
        while (event := await self._events.get())["event"] not in names:
            assert event["event"] != "end", f"neonize has ended; it said {self.seen}"
        return event

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = json.loads(line)
            self.seen.append(event)
            await self._events.put(event)
        await self._events.put({"event": "end"})


async def link(session: NeonizeProcess, whatsapp: LoopbackWhatsApp, phone: str) -> None:
    """Link a session by QR code and wait until it is online."""
    code = (await session.event("qr"))["code"]
    await whatsapp.scan(code, phone, "Alice")
    await session.event("Connected")
    await whatsapp.wait_until_online(phone)
