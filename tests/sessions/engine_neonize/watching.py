"""A session opened on the engine under test, with everything that its connection tells."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil

from sessions.engine import Connection
from sessions.engine_neonize import NeonizeEngine
from sessions.ids import SessionId, new_uuid
from sessions.signals import Connected, MessageReceived, QrCode
from tests.loopback_whatsapp.client import LoopbackWhatsApp

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05
ALICE, BOB, CAROL = "15550001111", "447700900123", "4915112345678"

Kind = TypeVar("Kind")


class Watched:
    """A connection whose signals are taken, and so acknowledged, at once."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.seen: list[Any] = []
        self._news = asyncio.Condition()

    async def watch(self) -> None:
        """Take signals until the connection ends."""
        async for batch in self.connection.signals():
            async with self._news:
                self.seen += batch
                self._news.notify_all()

    async def wait_for(self, kind: type[Kind], *, count: int = 1) -> Kind:
        """Return the so-manyth signal of a kind; AssertionError with all when it does not come."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._news:
                await self._news.wait_for(lambda: len(self.all(kind)) >= count)
        except TimeoutError:
            raise AssertionError(f"{count} {kind.__name__} expected, came: {self.kinds}") from None
        return self.all(kind)[count - 1]

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Return the signals of a kind so far."""
        return [signal for signal in self.seen if isinstance(signal, kind)]

    @property
    def kinds(self) -> list[str]:
        """What came so far."""
        return [signal.kind for signal in self.seen]

    @property
    def texts(self) -> list[str | None]:
        """The texts of the messages that came so far."""
        return [one.message.text for one in self.all(MessageReceived)]


class Bench:
    """An engine, the loopback WhatsApp that its workers talk to, and sessions on it."""

    def __init__(self, engine: NeonizeEngine, whatsapp: LoopbackWhatsApp, store: Path) -> None:
        self.engine = engine
        self.whatsapp = whatsapp
        self.store = store

    @asynccontextmanager
    async def open(self, session: SessionId) -> AsyncIterator[Watched]:
        """Open a session and take its signals."""
        async with self.engine.open(session) as connection:
            watched = Watched(connection)
            watching = asyncio.create_task(watched.watch())
            try:
                yield watched
            finally:
                watching.cancel()
                await asyncio.wait([watching])

    @asynccontextmanager
    async def pair(self, phone: str, session: SessionId) -> AsyncIterator[Watched]:
        """Open a session, scan its code with a phone, wait until it is connected."""
        async with self.open(session) as watched:
            code = await watched.wait_for(QrCode)
            await self.whatsapp.scan(code.code, phone)
            await watched.wait_for(Connected)
            yield watched

    async def is_linked(self, session: SessionId) -> bool:
        """Tell whether the engine has credentials of the session."""
        return await asyncio.to_thread(self.engine.has_credentials, session)

    async def linked(self, phone: str) -> SessionId:
        """Return a session with credentials of the account, not open."""
        session = new_session()
        async with self.pair(phone, session):
            return session


@asynccontextmanager
async def running(store: Path, whatsapp: LoopbackWhatsApp, **settings: Any) -> AsyncIterator[Bench]:
    """Run an engine in this process; leaving the block ends it and its workers."""
    environment = {**os.environ, **whatsapp.environment}
    engine = NeonizeEngine(directory=store, environment=environment, **settings)
    serving = asyncio.create_task(engine.run())
    try:
        yield Bench(engine, whatsapp, store)
    finally:
        serving.cancel()
        await asyncio.wait([serving])
    assert serving.cancelled()


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so; AssertionError with `what` when it does not become so."""
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not in time: {what}"
        await asyncio.sleep(POLL_SECONDS)


def new_session() -> SessionId:
    """Return the id of a session that does not exist yet."""
    return SessionId(new_uuid())


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
