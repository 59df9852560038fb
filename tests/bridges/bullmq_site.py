"""A gateway's domain beside the queues of a back end, on a real Redis."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from api.bridge_status import BridgeStatus
from gateway.bridge_bullmq_library import Paces, QueueNames
from gateway.bridge_bullmq_queues import BullMqQueues
from gateway.pump import Pump
from sessions.clock import SystemClock
from sessions.messages import Message
from sessions.services import Policy
from tests.sessions.house import QUICK as QUICK_POLICY
from tests.sessions.house import TENANT, House, running_house, until

Judge = Callable[[list[str]], bool]

FRIEND = "447700900123"
QUICK = Paces(
    lock_seconds=1.5,
    call_seconds=1,
    take_seconds=8,
    check_seconds=0.3,
    silence_seconds=2,
    full_seconds=1,
)


@dataclass
class Site:
    """A gateway's domain, its queues and pump."""

    house: House
    queues: BullMqQueues
    pump: Pump
    names: QueueNames

    async def status(self) -> BridgeStatus:
        """Return how the bridge is doing, as GET /bridges shows it."""
        return (await self.pump.status())[0]

    async def outbox(self, session: str = "one") -> list[Message]:
        """Return what was queued in a session, oldest first."""
        page = await self.house.manager.messages(TENANT, session, limit=1000)
        return [one for one in reversed(page.items) if one.direction == "out"]

    async def sent(self, session: str = "one") -> list[str]:
        """Return the texts that WhatsApp has got from a session."""
        found = await self.house.manager.get(TENANT, session)
        return [text.text for text in self.house.engine.sent(found.id)]

    async def is_up(self) -> None:
        """Wait until nothing is wrong."""
        await self.degrades(lambda found: not found)

    async def degrades(self, good: Judge) -> list[str]:
        """Wait until what `/health/ready` says as degraded is good."""

        async def look() -> list[str]:
            return self.queues.degraded()

        return await until(look, good)


@contextlib.asynccontextmanager
async def queueing(house: House, names: QueueNames, paces: Paces = QUICK) -> AsyncIterator[Site]:
    """Serve the queues on a domain; they must end in order within the supervisor's time."""
    # In a thread: the library reads its scripts from files.
    queues = await asyncio.to_thread(BullMqQueues, house.manager, TENANT, names, paces)
    pump = Pump(house.store, house.bus, SystemClock())
    pump.add(queues.bridge)
    tasks = [asyncio.create_task(run()) for run in (pump.run, queues.run)]
    try:
        yield Site(house, queues, pump, names)
    finally:
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=5)
        assert len(done) == len(tasks)
        assert all(task.cancelled() for task in tasks)


@contextlib.asynccontextmanager
async def running_site(
    directory: Path, names: QueueNames, *, paces: Paces = QUICK, policy: Policy = QUICK_POLICY
) -> AsyncIterator[Site]:
    """Run everything."""
    async with (
        running_house(directory, policy=policy) as house,
        queueing(house, names, paces) as site,
    ):
        await site.is_up()
        yield site
