"""What keeps background work honest: a task that ends unasked ends the process, in order.

uvicorn goes on serving when a task of the lifespan dies after start-up; a gateway without its
store or its engine must not look alive, but restart.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry, Counter

logger = logging.getLogger(__name__)

Run = Callable[[], Awaitable[None]]

_END_SECONDS = 5


class Supervisor:
    """Starts services top to bottom and ends them bottom to top."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._deaths = Counter(
            "wagate_service_deaths", "Background services that ended unasked.", registry=registry
        )
        self._ending = False
        self.dead: str | None = None
        """The service that ended unasked, if one did."""

    @asynccontextmanager
    async def serving(self, services: dict[str, Run]) -> AsyncIterator[None]:
        """Run services, named, until the block is left; then end them, the last one first."""
        tasks = [
            asyncio.create_task(self._watched(name, run), name=name)
            for name, run in services.items()
        ]
        try:
            yield
        finally:
            self._ending = True
            for task in reversed(tasks):
                await _end(task)

    async def _watched(self, name: str, run: Run) -> None:
        try:
            await run()
        except Exception:
            logger.exception("service failed", extra={"service": name})
        # Reached by failure and by an end that nobody asked for; cancellation passes by.
        self._deaths.inc()
        logger.error("service ended unasked; stopping the server", extra={"service": name})
        if self.dead is None and not self._ending:
            # Once: the second signal would end the process at once, not in order.
            os.kill(os.getpid(), signal.SIGTERM)
        self.dead = self.dead or name


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=_END_SECONDS)
    if not done:
        logger.error("service does not end", extra={"service": task.get_name()})
