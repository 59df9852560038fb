"""The domain on the neonize engine: what becomes of a session, as its user is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.database import open_database
from sessions.bus_memory import MemoryBus
from sessions.clock import SystemClock
from sessions.errors import QrNotAvailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionName
from sessions.manager import SessionManager
from sessions.messages import Message, MessageStatus, OutgoingText
from sessions.metrics import Metrics
from sessions.qr_codes_memory import MemoryQrCodes
from sessions.services import Policy, Services
from sessions.session import NewSession, Session
from sessions.status import Status
from sessions.store import Store
from tests.sessions.engine_neonize.watching import ALICE, BOB, Bench
from tests.sessions.house import TENANT, prepared, until

NAME = "one"
PATIENT = Policy(retry_first_seconds=0.1, retry_max_seconds=0.3, replaced_wait_seconds=0.1)


class Domain:
    """A manager with one session, whose phone is Alice's."""

    def __init__(self, manager: SessionManager, bench: Bench) -> None:
        self.manager = manager
        self.whatsapp = bench.whatsapp
        self.store = bench.store

    async def activate(self) -> None:
        """Create the session and activate it."""
        await self.manager.create(TENANT, NewSession(session_id=SessionName(NAME)))
        await self.manager.activate(TENANT, NAME)

    async def connect(self) -> Session:
        """Create the session, activate it, scan its code."""
        await self.activate()
        return await self.paired()

    async def paired(self) -> Session:
        """Scan the code of the session, which is active."""
        await self.is_in(Status.QR_READY)
        await self.scan()
        return await self.is_in(Status.CONNECTED)

    async def scan(self) -> None:
        """Scan the code that the session shows."""
        await self.whatsapp.scan((await self.manager.qr(TENANT, NAME)).code, ALICE)

    async def code(self) -> str | None:
        """Return the code that the session shows, None if it shows none."""
        try:
            return (await self.manager.qr(TENANT, NAME)).code
        except QrNotAvailable:
            return None

    async def is_in(self, status: Status, reason: str | None = None) -> Session:
        """Wait until the session has a status, for this reason if one is given."""
        return await until(
            lambda: self.manager.get(TENANT, NAME),
            lambda session: session.status is status and reason in {None, session.reason},
            seconds=50,
        )

    async def told(self, type_: EventType, count: int = 1) -> list[SessionEvent]:
        """Wait until the log has so many events of a type; return them."""
        return await until(lambda: self.events(type_), lambda found: len(found) >= count)

    async def events(self, type_: EventType) -> list[SessionEvent]:
        """Return the log's events of a type."""
        page = await self.manager.events(TENANT, NAME, limit=1000)
        return [event for event in page.items if event.type is type_]

    async def send(self, text: str) -> str:
        """Queue a text to Bob; return its id."""
        outgoing = OutgoingText(to=f"{BOB}@s.whatsapp.net", text=text)
        return (await self.manager.send(TENANT, NAME, outgoing)).id

    async def becomes(self, message: str, *statuses: MessageStatus) -> Message:
        """Wait until a message has one of these statuses."""
        return await until(
            lambda: self.manager.message(TENANT, NAME, message),
            lambda found: found.status in statuses,
        )


@asynccontextmanager
async def running_domain(
    bench: Bench, directory: Path, *, policy: Policy = PATIENT
) -> AsyncIterator[Domain]:
    """Run a manager over the bench's engine until the block is left."""
    database = await asyncio.to_thread(lambda: open_database(prepared(directory)))
    bus, clock, metrics = MemoryBus(), SystemClock(), Metrics(CollectorRegistry())
    store = Store(database, bus=bus, clock=clock, metrics=metrics)
    services = Services(
        store=store,
        engine=bench.engine,
        bus=bus,
        qr_codes=MemoryQrCodes(clock),
        clock=clock,
        metrics=metrics,
        policy=policy,
        connects=asyncio.Semaphore(policy.parallel_connects),
    )
    manager = SessionManager(services)
    tasks = [asyncio.create_task(work()) for work in (store.run, manager.run)]
    try:
        yield Domain(manager, bench)
        await manager.drain()
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.wait({task}, timeout=5)
        await database.close()
