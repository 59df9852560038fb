"""The engine that talks to WhatsApp by the neonize library, in worker processes.

The library never runs here: it ends its process on races and can't stop an unpaired client. See
`docs/decisions` for the choice; `engine_neonize_pool` for which process hosts what,
`engine_neonize_host` for the inside of a worker, `engine_neonize_events` for the translation.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from sessions import signals
from sessions.engine import Connection, Engine
from sessions.engine_neonize_connection import NeonizeConnection
from sessions.engine_neonize_kept import Kept
from sessions.engine_neonize_pool import PoolLimits, WorkerPool
from sessions.engine_neonize_process import WorkerCommand
from sessions.engine_neonize_store import Credentials, CredentialStore
from sessions.errors import EngineUnavailable
from sessions.ids import SessionId

RUNNING_SECONDS = 60.0

_log = logging.getLogger(__name__)


class NeonizeEngine(Engine):
    """Keeps each session's credentials in `directory`, in a file of its own.

    `settle_seconds`: a session that was just paired moves from its own process to a shared one when
    WhatsApp sent nothing for so long (the first synchronisation is over), at the latest after
    `settle_at_most_seconds`. `acknowledge_seconds`: a line whose signals are not committed for so
    long leaves WhatsApp, which then keeps its messages. `environment`: the workers' whole
    environment, by default this process's.
    """

    def __init__(
        self,
        *,
        directory: Path,
        sessions_per_worker: int = 50,
        spare_workers: int = 1,
        pairing_workers: int = 25,
        max_descriptors: int = 2000,
        max_starts: int = 300,
        turn_seconds: float = 60.0,
        measure_seconds: float = 10.0,
        hang_seconds: float = 30.0,
        acknowledge_seconds: float = 10.0,
        settle_seconds: float = 10.0,
        settle_at_most_seconds: float = 120.0,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._store = CredentialStore(directory)
        self._settle_seconds = settle_seconds
        self._settle_at_most_seconds = settle_at_most_seconds
        limits = PoolLimits(
            sessions_per_worker=sessions_per_worker,
            spare_workers=spare_workers,
            pairing_workers=pairing_workers,
            max_descriptors=max_descriptors,
            max_starts=max_starts,
            turn_seconds=turn_seconds,
            measure_seconds=measure_seconds,
            hang_seconds=hang_seconds,
        )
        command = WorkerCommand(python, acknowledge_seconds, environment)
        self._pool = WorkerPool(command, limits)
        self._running = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; see `Engine`."""
        self._running.set()
        try:
            await self._pool.run()
        finally:
            self._running.clear()

    @contextlib.asynccontextmanager
    async def open(self, session: SessionId) -> AsyncIterator[Connection]:
        """Connect a session; see `Engine`."""
        await self._until_running()
        credentials = await asyncio.to_thread(self._store.inspect, session)
        if credentials is Credentials.CORRUPTED:
            await asyncio.to_thread(self._store.set_aside, session)
        connection = await self._connection(session)
        settling: asyncio.Task[None] | None = None
        try:
            match credentials:
                case Credentials.CORRUPTED:
                    detail = "the stored credentials can't be read"
                    connection.fail(signals.CredentialsCorrupted(detail=detail))
                case Credentials.DEVICE:
                    await connection.open(pairing=False)
                case Credentials.NONE:
                    await connection.open(pairing=True)
                    settling = asyncio.create_task(self._settle(connection))
            yield connection
        finally:
            if settling:
                settling.cancel()
                await asyncio.wait([settling])
            await connection.close()

    async def forget(self, session: SessionId) -> None:
        """Remove a session's credentials; see `Engine`."""
        await asyncio.to_thread(self._store.forget, session)

    def has_credentials(self, session: SessionId) -> bool:
        """Tell whether there is a linked device; reads a file, so call it in a thread."""
        return self._store.has_device(session)

    def processes(self) -> list[int]:
        """Return the process ids of the workers, for health and tests."""
        return self._pool.processes()

    async def _until_running(self) -> None:
        try:
            async with asyncio.timeout(RUNNING_SECONDS):
                await self._running.wait()
        except TimeoutError:
            raise EngineUnavailable from None

    async def _connection(self, session: SessionId) -> NeonizeConnection:
        store = await asyncio.to_thread(self._store.prepare, session)
        return NeonizeConnection(self._pool, str(store), Kept(self._store, session))

    async def _settle(self, connection: NeonizeConnection) -> None:
        try:
            await connection.settle(self._settle_seconds, self._settle_at_most_seconds)
        except Exception:  # noqa: BLE001 - a session that can't be moved must be opened anew, not left behind
            _log.exception("moving a session failed")
            connection.fail(signals.EngineStopped(planned=True, detail="could not be moved"))
