"""The two queues of a back end over BullMQ: what is taken from one, and fed to the other."""

import asyncio
import logging

from gateway.bridge_bullmq import BullMqBridge
from gateway.bridge_bullmq_intake import Intake
from gateway.bridge_bullmq_library import FeedQueue, Paces, QueueNames, RedisAway, SendQueue
from sessions.ids import TenantId
from sessions.manager import SessionManager

logger = logging.getLogger(__name__)

_KEEPING = "noeviction"
_PACES = Paces()


class BullMqQueues:
    """Everything that speaks BullMQ on one Redis; `bridge` is for the pump.

    Reads files when it is constructed, so that is done before the event loop runs.
    """

    def __init__(
        self,
        manager: SessionManager,
        tenant: TenantId,
        names: QueueNames,
        paces: Paces = _PACES,
    ) -> None:
        self._names = names
        self._paces = paces
        self._feed = FeedQueue(names, paces)
        self._send = SendQueue(names, paces)
        self._intake = Intake(self._send, manager, tenant, paces)
        self._evicting: str | None = None
        self.bridge = BullMqBridge(self._feed, manager, tenant)

    async def run(self) -> None:
        """Serve until cancelled, whatever Redis does."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._intake.run())
                group.create_task(self._look_at_policy())
        finally:
            await self._feed.close()

    def degraded(self) -> list[str]:
        """Return why a back end is not served now; nothing when it is. Asks only memory."""
        faults = (
            (f"Jobs can't be taken from {self._names.send}", self._intake.fault),
            (f"Messages can't be added to {self._names.incoming}", self.bridge.fault),
            ("Redis may drop jobs that wait", self._evicting),
        )
        return [f"{what}: {fault}." for what, fault in faults if fault is not None]

    async def _look_at_policy(self) -> None:
        """See whether Redis would rather lose a job than refuse one."""
        while True:
            try:
                self._note_policy(await self._send.eviction())
            except RedisAway:
                # Told by those who need it more.
                pass
            except Exception:
                logger.exception("Redis not asked", extra={"service": self._names.send})
            await asyncio.sleep(self._paces.check_seconds)

    def _note_policy(self, policy: str | None) -> None:
        fault = None
        if policy not in {None, _KEEPING}:
            fault = f"its maxmemory-policy is {policy}; set it to {_KEEPING}"
        if fault is not None and fault != self._evicting:
            logger.warning("Redis may drop jobs", extra={"error": fault})
        self._evicting = fault
