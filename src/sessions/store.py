"""Group commit: every write of this process goes through one transaction after another.

Model: `write` queues a unit of work; one task takes all that is queued, runs each unit in a
savepoint of one transaction, commits once, publishes the units' events and only then answers. While
a commit waits for the disk the next group gathers, so durability costs one fsync per group, not
per write. Reads go beside it on connections of their own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from sessions.bus import Bus, announce
from sessions.clock import Clock
from sessions.errors import StorageUnavailable
from sessions.events import SessionEvent
from sessions.metrics import Metrics

logger = logging.getLogger(__name__)

T = TypeVar("T")

_GROUP_LIMIT = 256
_QUEUE_LIMIT = 10_000
_WRITE_SECONDS = 30


class Unit:
    """What a unit of work sees: the database, and the events to publish once it is committed."""

    def __init__(self, db: AsyncSession, clock: Clock) -> None:
        self.db = db
        self.clock = clock
        self.events: list[SessionEvent] = []

    def publish(self, event: SessionEvent) -> None:
        """Let an event go out on the bus after the commit."""
        self.events.append(event)


Work = Callable[[Unit], Awaitable[T]]


@dataclass
class _Pending(Generic[T]):
    work: Work[T]
    answer: asyncio.Future[T]
    events: list[SessionEvent] = field(default_factory=list)
    outcome: T | None = None
    error: Exception | None = None
    abandoned: bool = False
    """Its caller waits no more: it is left out, if it has not been run."""

    def settle(self) -> None:
        """Answer the caller, unless it has gone away meanwhile."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
            return
        self.answer.set_result(self.outcome)  # type: ignore[arg-type]  # set by the group's run


@dataclass(frozen=True)
class Database:
    """Connections: `writer` for the group commit alone, `reader` for everything else."""

    writer: AsyncEngine
    reader: AsyncEngine

    async def close(self) -> None:
        """Close every connection."""
        await self.writer.dispose()
        if self.reader is not self.writer:
            await self.reader.dispose()


class Store:
    """The database as the domain uses it."""

    def __init__(self, database: Database, *, bus: Bus, clock: Clock, metrics: Metrics) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._queue: asyncio.Queue[_Pending[Any]] = asyncio.Queue(_QUEUE_LIMIT)
        self._ended = False
        self.fault: str | None = None
        """Why the last group could not be committed, None when it could."""

    async def write(self, work: Work[T]) -> T:
        """Run `work` in the next group's transaction; return its result once it is committed.

        A unit that raises is rolled back alone.

        Raises:
            StorageUnavailable: the database did not take the group; nothing was changed, unless it
                was just being committed when the time was over.
        """
        pending: _Pending[T] = _Pending(work, asyncio.get_running_loop().create_future())
        if self._ended or self._queue.full():
            raise StorageUnavailable
        self._queue.put_nowait(pending)
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                return await pending.answer
        except TimeoutError:
            raise StorageUnavailable from None
        finally:
            pending.abandoned = True

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Give a consistent view of what is committed.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        try:
            async with AsyncSession(self._database.reader, expire_on_commit=False) as db:
                yield db
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            logger.warning("read failed", extra={"error": type(error).__name__})
            raise StorageUnavailable from error

    async def run(self) -> None:
        """Commit groups until cancelled; what is queued then is answered with an error."""
        group: list[_Pending[Any]] = []
        try:
            while True:
                group = [await self._queue.get()]
                while len(group) < _GROUP_LIMIT and not self._queue.empty():
                    group.append(self._queue.get_nowait())
                await self._commit(group)
        finally:
            self._ended = True
            while not self._queue.empty():
                group.append(self._queue.get_nowait())
            for pending in group:
                pending.error = pending.error or StorageUnavailable()
                pending.settle()

    async def _commit(self, group: list[_Pending[Any]]) -> None:
        started = self._clock.monotonic()
        try:
            async with (
                AsyncSession(self._database.writer, expire_on_commit=False) as db,
                db.begin(),
            ):
                for pending in group:
                    await self._run_one(db, pending)
            self.fault = None
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            self.fault = str(getattr(error, "orig", error))
            logger.exception("commit failed", extra={"units": len(group)})
            for pending in group:
                pending.error = StorageUnavailable()
                pending.events = []
        self._metrics.commit_seconds.observe(self._clock.monotonic() - started)
        for pending in group:
            for event in pending.events:
                await announce(self._bus, event)
            pending.settle()

    async def _run_one(self, db: AsyncSession, pending: _Pending[Any]) -> None:
        if pending.abandoned:
            return
        unit = Unit(db, self._clock)
        try:
            async with db.begin_nested():
                pending.outcome = await pending.work(unit)
        except DBAPIError as error:
            if error.connection_invalidated or not _is_of_the_statement(error):
                raise
            pending.error = error
            return
        except Exception as error:  # noqa: BLE001 - it is the caller's, and goes back to it
            pending.error = error
            return
        pending.events = unit.events


def _is_of_the_statement(error: DBAPIError) -> bool:
    """Tell a broken constraint, which is the unit's fault, from a broken database."""
    return type(error).__name__ in {"IntegrityError", "DataError"}
