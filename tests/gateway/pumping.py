"""A pump with bridges that take what they are told to take."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from prometheus_client import CollectorRegistry

from gateway.bridge_metrics import BridgeMetrics
from gateway.pump import Pump
from sessions import consumers
from sessions.clock import SystemClock
from sessions.consumer_table import ConsumerRow
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, TenantId
from tests.sessions.house import TENANT, House, until


class RecordingBridge:
    """Takes what it is told to take, and remembers."""

    def __init__(self, name: str, *, tenant: TenantId | None = None) -> None:
        self.name = name
        self.tenant = tenant
        self.session: SessionId | None = None
        self.taken: list[SessionEvent] = []
        self.shown: list[SessionEvent] = []
        self.tries = 0
        self.judge: Callable[[SessionEvent], None] = lambda _: None
        self.first: Callable[[SessionEvent], Awaitable[None]] | None = None
        self.wanted = frozenset(EventType)

    def wants(self, type_: EventType) -> bool:
        """Everything, unless a test says what."""
        return type_ in self.wanted

    async def deliver(self, event: SessionEvent) -> None:
        """Take it, if the judge lets it."""
        self.tries += 1
        if self.first is not None:
            await self.first(event)
        self.judge(event)
        self.taken.append(event)

    async def show(self, event: SessionEvent) -> None:
        """Take note."""
        self.shown.append(event)

    def pause_seconds(self, failures: int) -> float:
        """Hardly wait."""
        return 0.02

    def seqs(self, session: str) -> list[int | None]:
        """Return the numbers of a session's events that were taken."""
        return [event.seq for event in self.taken if event.session == session]


@contextlib.asynccontextmanager
async def pumping(
    house: House, *bridges: RecordingBridge, registry: CollectorRegistry | None = None
) -> AsyncIterator[Pump]:
    """Run a pump with bridges."""
    metrics = BridgeMetrics(registry or CollectorRegistry())
    pump = Pump(house.store, house.bus, SystemClock(), metrics, measure_seconds=0.1)
    for bridge in bridges:
        pump.add(bridge)
    task = asyncio.create_task(pump.run())
    try:
        for bridge in bridges:
            await until(partial(is_registered, house, bridge.name), bool)
        yield pump
    finally:
        task.cancel()
        await asyncio.wait({task})


async def is_registered(house: House, name: str) -> bool:
    """Tell whether the log knows a bridge: it gets what happens from then on."""
    async with house.store.read() as db:
        return await db.get(ConsumerRow, name) is not None


async def gets(bridge: RecordingBridge, session: str, upto: int, first: int = 1) -> None:
    """Wait until a bridge has everything in order."""

    async def seqs() -> list[int | None]:
        return bridge.seqs(session)

    await until(seqs, lambda found: found == list(range(first, upto + 1)))


async def head(house: House, name: str = "one") -> int:
    """Return the number of a session's newest event."""
    return int((await house.manager.get(TENANT, name)).cursor.rpartition(":")[2])


async def backlog(house: House, name: str) -> int:
    """Return how many events wait for a bridge."""
    async with house.store.read() as db:
        return (await consumers.lag(db, name)).events
