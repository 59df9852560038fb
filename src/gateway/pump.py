"""Carries the event log to bridges: each at its own pace, each from its own cursor.

Model: one listener hears the bus and wakes the lines. Each bridge has a line, a task that looks for
sessions whose log is longer than the bridge has read, and drains a few of them at once; within a
session one event is handed over after another. What is taken moves the cursor, a page at a time: a
crash repeats at most a page. Nothing is held in memory but the page at hand.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry

from api.bridge_status import BridgeStatus, Redelivery
from gateway.bridge import Bridge
from gateway.bridge_line import Line
from gateway.bridge_metrics import BridgeMetrics
from sessions import consumers
from sessions.bus import Bus
from sessions.clock import Clock
from sessions.errors import StorageUnavailable
from sessions.events import EVERYTHING, EventType, SessionEvent
from sessions.ids import SessionId, TenantId
from sessions.store import Store

logger = logging.getLogger(__name__)

_TRY_AGAIN_SECONDS = 2


class Pump:
    """The bridges of this process."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        metrics: BridgeMetrics | None = None,
        *,
        measure_seconds: float = 15,
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._metrics = metrics or BridgeMetrics(CollectorRegistry())
        self._measure_seconds = measure_seconds
        self._lines: dict[str, Line] = {}
        self._tenants: dict[SessionId, TenantId] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve every bridge until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for line in list(self._lines.values()):
                    self._start(line)
                self._group.create_task(self._measure())
                await self._listen()
        finally:
            self._group = None

    def add(self, bridge: Bridge) -> None:
        """Serve one more bridge, from where it was, or from now on if it is new.

        Raises:
            ValueError: there is one of this name.
        """
        if bridge.name in self._lines:
            message = f"there is a bridge named {bridge.name} already"
            raise ValueError(message)
        line = self._lines[bridge.name] = Line(bridge, self._store, self._clock, self._metrics)
        if self._group is not None:
            self._start(line)

    async def remove(self, name: str) -> None:
        """Serve a bridge no more, and forget its cursors. Idempotent.

        Raises:
            StorageUnavailable: they can't be forgotten now; it is served on.
        """
        await self._store.write(lambda unit: consumers.unregister(unit, name))
        self.let_go(name)

    def let_go(self, name: str) -> None:
        """Serve a bridge no more whose cursors were forgotten by somebody else. Idempotent."""
        self._lines.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    def nudge(self, name: str) -> None:
        """Let a bridge try again at once what it is waiting to try again."""
        if name in self._lines:
            self._lines[name].nudge()

    async def redeliver(self, name: str) -> Redelivery:
        """Hand a bridge's parked events over again, oldest first, until one is refused for now."""
        line = self._lines.get(name)
        return Redelivery(delivered=0, still_parked=0) if line is None else await line.redeliver()

    async def status(self) -> list[BridgeStatus]:
        """Return how every bridge is doing.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        # Others come and go meanwhile.
        return [await line.status() for line in list(self._lines.values())]

    def _start(self, line: Line) -> None:
        assert self._group is not None  # noqa: S101 - callers have seen to it
        self._tasks[line.name] = self._group.create_task(self._serve(line), name=line.name)

    async def _serve(self, line: Line) -> None:
        await _patiently(line.register)
        await line.run()

    async def _measure(self) -> None:
        while True:
            try:
                self._metrics.measure(await self.status(), self._clock.now())
            except StorageUnavailable:
                pass
            except Exception:
                # Figures are not worth the end of every bridge.
                logger.exception("bridges not measured")
            await asyncio.sleep(self._measure_seconds)

    async def _listen(self) -> None:
        async with self._bus.subscribe(EVERYTHING) as payloads:
            async for payload in payloads:
                event = SessionEvent.model_validate_json(payload)
                tenant = await self._tenant(event)
                for line in list(self._lines.values()):
                    line.hear(event, tenant)

    async def _tenant(self, event: SessionEvent) -> TenantId | None:
        """Return whose an event is, None if nobody can tell now."""
        known = event.tenant or self._tenants.get(event.session)
        if known is None:
            with contextlib.suppress(StorageUnavailable):
                async with self._store.read() as db:
                    known = await consumers.tenant(db, event.session)
        if event.type is EventType.SESSION_DELETED:
            self._tenants.pop(event.session, None)
        elif known is not None:
            self._tenants[event.session] = known
        return known


async def _patiently(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await work()
        except StorageUnavailable:
            await asyncio.sleep(_TRY_AGAIN_SECONDS)
