"""One bridge's line to the event log: where it is in each session, and what stands in its way."""

import asyncio
import logging
from collections import deque
from functools import partial

from api.bridge_status import BridgeStatus, Redelivery
from gateway.bridge import Bridge, PermanentFailure, TemporaryFailure
from gateway.bridge_drain import Drain
from gateway.bridge_metrics import BridgeMetrics
from sessions import consumers
from sessions.clock import Clock
from sessions.errors import StorageUnavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import TenantId
from sessions.store import Store

logger = logging.getLogger(__name__)

_SHOWN_LIMIT = 100
_SHOW_SECONDS = 10
_REDELIVERED_LIMIT = 1_000


class Line:
    """What passes to one bridge: the log by a drain, and what is transient as it happens."""

    def __init__(self, bridge: Bridge, store: Store, clock: Clock, metrics: BridgeMetrics) -> None:
        self.name = bridge.name
        self._bridge = bridge
        self._store = store
        self._drain = Drain(bridge, store, clock, metrics)
        self._shown: deque[SessionEvent] = deque(maxlen=_SHOWN_LIMIT)
        self._something_to_show = asyncio.Event()

    def hear(self, event: SessionEvent, tenant: TenantId | None) -> None:
        """Take note of a tenant's event that has just happened; never waits."""
        bridge = self._bridge
        if event.type is EventType.SESSION_DELETED:
            self._drain.forget(event.session)
        is_wanted = bridge.wants(event.type) and bridge.session in {None, event.session}
        if not is_wanted or (tenant is not None and bridge.tenant not in {None, tenant}):
            # The cursor moves past it in its own time: most endpoints want few types.
            return
        if event.seq is not None:
            self._drain.wake()
        elif tenant is not None or bridge.tenant is None:
            # With a code of another tenant, anyone could take its session over.
            self._shown.append(event)
            self._something_to_show.set()

    def nudge(self) -> None:
        """Try again at once."""
        self._drain.nudge()

    async def register(self) -> None:
        """Make the bridge known to the log."""
        bridge = self._bridge
        await self._store.write(
            partial(
                consumers.register, name=bridge.name, tenant=bridge.tenant, session=bridge.session
            )
        )

    async def run(self) -> None:
        """Drain until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._show_all())
            group.create_task(self._drain.run())

    async def status(self) -> BridgeStatus:
        """Return how the bridge is doing."""
        async with self._store.read() as db:
            lag = await consumers.lag(db, self.name)
        error, error_at = self._drain.last_error or (None, None)
        return BridgeStatus(
            name=self.name,
            tenant=self._bridge.tenant,
            backlog=lag.events,
            oldest=lag.oldest,
            parked=lag.parked,
            failing_sessions=self._drain.failing_sessions,
            last_error=error,
            last_error_at=error_at,
            last_taken_at=self._drain.last_taken_at,
        )

    async def redeliver(self) -> Redelivery:
        """Hand parked events over again, oldest first, until one is refused for now."""
        delivered = lost = 0
        async with self._store.read() as db:
            parked = await consumers.parked(db, self.name, limit=_REDELIVERED_LIMIT)
        for position, event in parked:
            try:
                if event is not None:
                    await self._bridge.deliver(event)
            except TemporaryFailure as failure:
                self._drain.note(failure)
                break
            except PermanentFailure as failure:
                self._drain.note(failure)
                continue
            await self._store.write(partial(consumers.unpark, position=position))
            delivered += event is not None
            lost += event is None
        still_parked = (await self.status()).parked
        return Redelivery(delivered=delivered, lost=lost, still_parked=still_parked)

    async def _show_all(self) -> None:
        while True:
            await self._something_to_show.wait()
            self._something_to_show.clear()
            while self._shown:
                await self._show(self._shown.popleft())

    async def _show(self, event: SessionEvent) -> None:
        try:
            async with asyncio.timeout(_SHOW_SECONDS):
                await self._bridge.show(event)
        except (TemporaryFailure, PermanentFailure, StorageUnavailable, TimeoutError) as failure:
            self._drain.note(failure)
        except Exception:
            logger.exception("bridge failed unexpectedly", extra={"service": self.name})
