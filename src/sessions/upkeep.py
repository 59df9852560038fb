"""What goes on by itself: connecting again what was active, expiring what waited too long."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from sessions import consumers, event_log, outbox, session_table
from sessions.clock import to_ms
from sessions.errors import StorageUnavailable
from sessions.fleet import Fleet
from sessions.ids import SessionId
from sessions.services import Services
from sessions.store import T

_HOUSEKEEPING_SECONDS = 10
_TRY_AGAIN_SECONDS = 2


class Upkeep:
    """The manager's background work beside the sessions' own tasks."""

    def __init__(self, services: Services, fleet: Fleet) -> None:
        self._store = services.store
        self._policy = services.policy
        self._clock = services.clock
        self._fleet = fleet
        self._stopped = False

    def stop(self) -> None:
        """Start no session any more."""
        self._stopped = True

    async def run(self) -> None:
        """Restore, then keep house until cancelled."""
        await self._restore()
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            with contextlib.suppress(StorageUnavailable):
                await self._store.write(outbox.expire)
                await self.trim()

    async def trim(self) -> None:
        """Forget events that are too old or too many."""
        keep = self._policy.event_limit
        older_than_ms = to_ms(self._clock.now() - self._policy.event_retention)
        async with self._store.read() as db:
            sessions = await event_log.trimmable(db, keep=keep, older_than_ms=older_than_ms)
            unread = {session: await consumers.slowest(db, session) for session in sessions}
        for session in sessions:
            work = partial(
                event_log.trim,
                session=session,
                keep=keep,
                older_than_ms=older_than_ms,
                unread_from=unread[session],
            )
            await self._store.write(work)

    async def _restore(self) -> None:
        """Connect again what was active when the last process ended, one after another."""
        for session in await self._patiently(self._to_restore):
            await self._patiently(partial(self._restore_one, session))

    async def _to_restore(self) -> list[SessionId]:
        async with self._store.read() as db:
            return [SessionId(row.id) for row in await session_table.to_restore(db)]

    async def _restore_one(self, session: SessionId) -> None:
        """Start a session, unless a command was faster."""
        async with self._fleet.turn(session):
            async with self._store.read() as db:
                row = await session_table.find_any(db, session)
            if row is None or not row.is_active or session in self._fleet or self._stopped:
                return
            started = await self._store.write(
                lambda unit: session_table.start(unit, session, "restoring")
            )
            self._fleet.start(started)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do what must be done, as soon as the database lets it."""
        while True:
            try:
                return await work()
            except StorageUnavailable:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
