"""This gateway as a worker of a back end over RabbitMQ: what it takes, tells, and reports."""

import asyncio
from typing import Any

import psutil

from gateway.bridge import TemporaryFailure
from gateway.bridge_rabbitmq import RabbitMqBridge
from gateway.bridge_rabbitmq_commands import Commands
from gateway.bridge_rabbitmq_held import Held
from gateway.bridge_rabbitmq_intake import Intake
from gateway.bridge_rabbitmq_publisher import Publisher
from gateway.bridge_rabbitmq_topology import Topology
from gateway.bridge_rabbitmq_words import Publication, worker_status
from sessions.clock import Clock, to_ms
from sessions.errors import SessionsError
from sessions.ids import TenantId, new_uuid
from sessions.manager import SessionManager
from sessions.session import SessionQuery
from sessions.status import Status

UNNAMED = "wagate"


class RabbitMqWorker:
    """Everything that speaks to one broker; `bridge` is for the pump.

    Args:
        url: of the broker. Secret.
        name: of its connections.
        status_seconds: pause between two reports.
        check_seconds, silence_seconds: as `Intake`.
        held_seconds: so long may an order wait while its session is full.
    """

    def __init__(
        self,
        manager: SessionManager,
        tenant: TenantId,
        *,
        url: str,
        topology: Topology,
        clock: Clock,
        name: str | None = None,
        status_seconds: float = 30.0,
        check_seconds: float = 10.0,
        silence_seconds: float = 60.0,
        held_seconds: float = 3600.0,
    ) -> None:
        self._manager = manager
        self._tenant = tenant
        self._clock = clock
        self._worker_id = topology.worker_id or UNNAMED
        self._status_seconds = status_seconds
        self._started_at = clock.monotonic()
        shown = name or f"wagate {self._worker_id}"
        self._publisher = Publisher(url, topology, name=shown, worker_id=self._worker_id)
        commands = Commands(manager, tenant, clock=clock, tell=self._tell)
        self._held = Held(topology, commands, self._publisher, longest_seconds=held_seconds)
        self._intake = Intake(
            url,
            topology,
            name=shown,
            worker_id=self._worker_id,
            commands=commands,
            publisher=self._publisher,
            held=self._held,
            check_seconds=check_seconds,
            silence_seconds=silence_seconds,
        )
        self.bridge = RabbitMqBridge(self._publisher, manager, tenant)

    async def run(self) -> None:
        """Serve until cancelled, whatever the broker does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publisher.run())
            group.create_task(self._intake.run())
            group.create_task(self._report())

    def degraded(self) -> list[str]:
        """Return why back ends are not served now; nothing when they are. Asks only memory."""
        faults = (
            ("Events can't be published to RabbitMQ", self._publisher.fault),
            ("Commands can't be read from RabbitMQ", self._intake.fault),
            ("Messages to send have to wait in RabbitMQ", self._held.fault),
        )
        return [f"{what}: {fault}." for what, fault in faults if fault is not None]

    async def _tell(self, publication: Publication) -> None:
        await self._publisher.publish(publication, message_id=new_uuid())

    async def _report(self) -> None:
        while True:
            try:
                told = worker_status(
                    await self._status(),
                    to_ms(self._clock.now()),
                    seconds=self._status_seconds,
                )
                for publication in told:
                    await self._tell(publication)
            except (TemporaryFailure, SessionsError):
                # The next report says it all again; what is wrong is told by `degraded`.
                await asyncio.sleep(min(1.0, self._status_seconds))
            else:
                await asyncio.sleep(self._status_seconds)

    async def _status(self) -> dict[str, Any]:
        total = await self._count(SessionQuery(limit=1))
        connected = await self._count(SessionQuery(limit=1, status=Status.CONNECTED))
        return {
            "workerId": self._worker_id,
            "totalSessions": total,
            "connectedSessions": connected,
            "disconnectedSessions": total - connected,
            "uptime": int(self._clock.monotonic() - self._started_at),
            "memory": await asyncio.to_thread(_resident_bytes),
        }

    async def _count(self, query: SessionQuery) -> int:
        return (await self._manager.list(self._tenant, query)).total


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
