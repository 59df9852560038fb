"""A manager with a real SQLite file, the in-process bus and the simulator, as tests use it."""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry

from gateway.database import open_database
from sessions.bus_memory import MemoryBus
from sessions.clock import SystemClock
from sessions.engine_simulator import SimulatorEngine
from sessions.events import EventType, SessionEvent, topic
from sessions.ids import SessionId, SessionName, TenantId
from sessions.manager import SessionManager
from sessions.messages import OutgoingText
from sessions.metrics import Metrics
from sessions.qr_codes_memory import MemoryQrCodes
from sessions.services import Policy, Services
from sessions.session import NewSession, Session
from sessions.status import Status
from sessions.store import Database, Store

T = TypeVar("T")
TENANT = TenantId("acme")
QUICK = Policy(
    blip_seconds=0.2,
    retry_first_seconds=0.05,
    retry_max_seconds=0.2,
    replaced_wait_seconds=0.05,
    send_timeout_seconds=2,
    stop_timeout_seconds=1,
    storage_patience_seconds=1,
)


@dataclass
class House:
    """The domain, running."""

    manager: SessionManager
    engine: SimulatorEngine
    bus: MemoryBus
    store: Store
    database: Database
    registry: CollectorRegistry

    async def faults(self) -> int:
        """Return how many unforeseen errors the sessions' tasks have met."""
        return int(self.registry.get_sample_value("wagate_background_faults_total") or 0)

    async def session(self, name: str = "one") -> Session:
        """Create a session."""
        return await self.manager.create(TENANT, NewSession(session_id=SessionName(name)))

    async def connected(self, name: str = "one", *, phone: str = "15550001111") -> Session:
        """Create, activate and scan."""
        session = await self.session(name)
        await self.manager.activate(TENANT, name)
        await self.reaches(name, Status.QR_READY)
        self.engine.scan(session.id, phone=phone, push_name="Alice")
        return await self.reaches(name, Status.CONNECTED)

    async def reaches(self, name: str, status: Status) -> Session:
        """Wait until a session has a status."""
        return await until(
            lambda: self.manager.get(TENANT, name), lambda session: session.status is status
        )

    async def events(self, name: str, type_: EventType | None = None) -> list[SessionEvent]:
        """Return the log, whole or of one type."""
        page = await self.manager.events(TENANT, name, limit=1000)
        return [event for event in page.items if type_ in {None, event.type}]

    async def logged(self, name: str, type_: EventType, count: int = 1) -> list[SessionEvent]:
        """Wait until the log has so many events of a type."""
        return await until(lambda: self.events(name, type_), lambda found: len(found) >= count)

    async def send(self, name: str, text: str, *, to: str = "447700900123") -> str:
        """Queue a text and return the message's id."""
        outgoing = OutgoingText(to=f"{to}@s.whatsapp.net", text=text)
        return (await self.manager.send(TENANT, name, outgoing)).id


async def until(
    look: Callable[[], Awaitable[T]], good: Callable[[T], bool], *, seconds: float = 20
) -> T:
    """Look again and again until what is found is good."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if good(found):
            return found
        if time.monotonic() > deadline:
            message = f"not within {seconds} s; last seen: {found!r}"
            raise AssertionError(message)
        await asyncio.sleep(0.01)


def migrate(url: str) -> None:
    """Make the tables, in a process of its own: it reads files, which our loop must not."""
    with tempfile.TemporaryDirectory() as data:
        options = ["--database-url", url, "--data-directory", data]
        command = [sys.executable, "-m", "gateway", "migrate", *options]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


@cache
def empty_database() -> bytes:
    """Return a SQLite file with the tables and nothing in them."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "empty.db"
        migrate(f"sqlite+aiosqlite:///{file}")
        return file.read_bytes()


def prepared(directory: Path) -> str:
    """Return the URL of the directory's database, made if it is not there."""
    file = directory / "wagate.db"
    if not file.exists():
        file.write_bytes(empty_database())
    return f"sqlite+aiosqlite:///{file}"


def built(
    url: str, directory: Path, qr_lifetimes_seconds: tuple[float, ...]
) -> tuple[Database, SimulatorEngine]:
    """Construct what reads files when it is constructed."""
    engine = SimulatorEngine(
        SystemClock(),
        directory=directory,
        qr_lifetimes_seconds=qr_lifetimes_seconds,
        delivered_after_seconds=None,
        read_after_seconds=None,
    )
    return open_database(url), engine


@contextlib.asynccontextmanager
async def running_house(
    directory: Path,
    *,
    policy: Policy = QUICK,
    qr_lifetimes_seconds: tuple[float, ...] = (60,),
    url: str | None = None,
) -> AsyncIterator[House]:
    """Run the domain on this directory until the block is left; left in order."""
    location = await asyncio.to_thread(prepared, directory) if url is None else url
    database, engine = await asyncio.to_thread(built, location, directory, qr_lifetimes_seconds)
    bus, clock, registry = MemoryBus(), SystemClock(), CollectorRegistry()
    metrics = Metrics(registry)
    store = Store(database, bus=bus, clock=clock, metrics=metrics)
    services = Services(
        store=store,
        engine=engine,
        bus=bus,
        qr_codes=MemoryQrCodes(clock),
        clock=clock,
        metrics=metrics,
        policy=policy,
        connects=asyncio.Semaphore(policy.parallel_connects),
    )
    manager = SessionManager(services)
    tasks = [asyncio.create_task(work()) for work in (store.run, engine.run, manager.run)]
    try:
        yield House(manager, engine, bus, store, database, registry)
        await manager.drain()
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.wait({task}, timeout=5)
        await database.close()


@contextlib.asynccontextmanager
async def listening(house: House, session: SessionId) -> AsyncIterator[list[SessionEvent]]:
    """Collect what the bus carries of a session."""
    heard: list[SessionEvent] = []
    async with house.bus.subscribe(topic(session)) as payloads:

        async def collect() -> None:
            async for payload in payloads:
                heard.append(SessionEvent.model_validate_json(payload))

        task = asyncio.create_task(collect())
        try:
            yield heard
        finally:
            task.cancel()
