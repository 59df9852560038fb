"""A gateway's domain as the worker of a back end, on a real RabbitMQ."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.bridge_status import BridgeStatus
from gateway.bridge_rabbitmq_topology import Topology
from gateway.bridge_rabbitmq_worker import RabbitMqWorker
from gateway.pump import Pump
from sessions.clock import SystemClock
from sessions.services import Policy
from sessions.session import Session, SessionQuery
from sessions.status import Status
from tests.bridges.spring_backend import SpringBackEnd
from tests.rabbitmq import connected
from tests.sessions.house import QUICK, TENANT, House, running_house, until

PHONE = "+221771234567"
NAME = f"session_6_{PHONE}"
FRIEND = "447700900123"


@dataclass(frozen=True)
class Paces:
    """How often the worker reports, and looks after its consumers."""

    status_seconds: float = 30
    check_seconds: float = 10
    silence_seconds: float = 60
    held_seconds: float = 3600


PACES = Paces()


@dataclass
class Site:
    """A gateway's domain, its worker and pump, and a back end on the same broker."""

    house: House
    worker: RabbitMqWorker
    pump: Pump
    backend: SpringBackEnd
    url: str
    topology: Topology

    async def session(self, name: str = NAME) -> Session:
        """Return a session."""
        return await self.house.manager.get(TENANT, name)

    async def connected(self, name: str = NAME) -> Session:
        """Create a number's session by command, and scan."""
        number, phone = name.split("_")[1:]
        await self.backend.command("create", int(number), phoneNumber=phone)
        await until(lambda: names(self.house), lambda found: name in found)
        session = await self.house.reaches(name, Status.QR_READY)
        self.house.engine.scan(session.id, phone=phone.lstrip("+"))
        return await self.house.reaches(name, Status.CONNECTED)

    async def outbox(self, name: str = NAME) -> list[str]:
        """Return the texts that were queued in a session, oldest first."""
        page = await self.house.manager.messages(TENANT, name, limit=200)
        return [one.message or "" for one in reversed(page.items) if one.direction == "out"]

    async def dead_letters(self, count: int = 1) -> list[tuple[bytes, dict[str, Any]]]:
        """Wait for so many messages that were set aside; return body and headers."""
        found: list[tuple[bytes, dict[str, Any]]] = []

        async def look() -> int:
            message = await queue.get(fail=False, no_ack=True)
            if message is not None:
                found.append((message.body, dict(message.headers)))
            return len(found)

        async with connected(self.url) as connection, connection.channel() as channel:
            queue = await channel.get_queue(self.topology.dead_letters)
            await until(look, lambda number: number >= count)
        return found

    async def status(self) -> BridgeStatus:
        """Return how the bridge is doing, as GET /bridges shows it."""
        return (await self.pump.status())[0]


async def names(house: House) -> list[str]:
    """Return what sessions are called."""
    return [one.session_id for one in await sessions(house)]


async def sessions(house: House) -> list[Session]:
    """Return every session."""
    return (await house.manager.list(TENANT, SessionQuery(limit=200))).items


@contextlib.asynccontextmanager
async def working(
    house: House, url: str, topology: Topology, paces: Paces
) -> AsyncIterator[tuple[RabbitMqWorker, Pump]]:
    """Run a worker and a pump on a domain."""
    worker = RabbitMqWorker(
        house.manager,
        TENANT,
        url=url,
        topology=topology,
        clock=SystemClock(),
        status_seconds=paces.status_seconds,
        check_seconds=paces.check_seconds,
        silence_seconds=paces.silence_seconds,
        held_seconds=paces.held_seconds,
    )
    pump = Pump(house.store, house.bus, SystemClock())
    pump.add(worker.bridge)
    tasks = [asyncio.create_task(run()) for run in (pump.run, worker.run)]
    try:
        yield worker, pump
    finally:
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=10)
        assert len(done) == len(tasks)
        assert all(task.cancelled() for task in tasks)


async def is_up(worker: RabbitMqWorker) -> None:
    """Wait until nothing is wrong between a worker and its broker."""

    async def faults() -> list[str]:
        return worker.degraded()

    await until(faults, lambda found: not found)


@contextlib.asynccontextmanager
async def running_site(
    directory: Path,
    url: str,
    topology: Topology,
    *,
    paces: Paces = PACES,
    qr_seconds: float = 60,
    policy: Policy = QUICK,
) -> AsyncIterator[Site]:
    """Run everything, connected."""
    prefix = topology.exchange.removesuffix("whatsapp.exchange")
    async with (
        running_house(directory, qr_lifetimes_seconds=(qr_seconds,), policy=policy) as house,
        SpringBackEnd.running(url, prefix=prefix) as backend,
        working(house, url, topology, paces) as (worker, pump),
    ):
        await is_up(worker)
        yield Site(house, worker, pump, backend, url, topology)
