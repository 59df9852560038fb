"""Which neonize worker process hosts what: spares, shared workers, one of its own per pairing.

Everything runs in `run`'s task group, one task per process. Spares are started ahead, so that a QR
code need not wait for the library to load. A worker that wore out (the library returns neither
descriptors nor memory of stopped clients) takes no new lines and is recycled when it is quiet.
"""

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sessions import signals
from sessions.engine_neonize_frames import CloseLine
from sessions.engine_neonize_process import (
    CallTimedOut,
    Receive,
    WorkerCommand,
    WorkerDied,
    WorkerProcess,
)
from sessions.errors import EngineUnavailable

CLOSE_SECONDS = 15.0
CEILING_SECONDS = 30.0
RECYCLED_WHEN_QUIET_SECONDS = 3.0
HARD_FACTOR = 1.5
FEWEST_DESCRIPTORS_LEFT = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolLimits:
    """How many processes there are, and how far one may wear out."""

    sessions_per_worker: int = 50
    spare_workers: int = 1
    pairing_workers: int = 25
    max_descriptors: int = 2000
    max_starts: int = 300
    turn_seconds: float = 60.0
    """How long a session waits for a process."""
    measure_seconds: float = 10.0
    """How often the workers are asked how they are."""
    hang_seconds: float = 30.0
    """How long a worker may take to say it before it is killed."""


@dataclass(frozen=True)
class Place:
    """A line in a worker."""

    worker: WorkerProcess
    line: int
    pairing: bool


class WorkerPool:
    """The worker processes of one engine."""

    def __init__(self, command: WorkerCommand, limits: PoolLimits) -> None:
        self._command = command
        self._limits = limits
        self._running: dict[WorkerProcess, asyncio.Task[None]] = {}
        self._spares: list[WorkerProcess] = []
        self._shared: list[WorkerProcess] = []
        self._wanted = 0
        self._failures = 0
        self._fault = ""
        self._changed = asyncio.Condition()
        self._placing = asyncio.Lock()
        self._pairings = asyncio.Semaphore(limits.pairing_workers)
        self._numbers = itertools.count(1)

    async def run(self) -> None:
        """Keep spares and watch the workers until cancelled; leaves no process behind."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_spares(tasks))
            tasks.create_task(self._watch())

    async def place_pairing(self, receive: Receive) -> Place:
        """Return a line in a process without any other. End it by `vacate`.

        Raises:
            EngineUnavailable: none was to be had in time.
        """
        async with self._turn():
            await self._pairings.acquire()
            try:
                worker = await self._fresh()
            except BaseException:
                self._pairings.release()
                raise
        place = Place(worker, next(self._numbers), pairing=True)
        worker.attach(place.line, receive)
        return place

    async def place_shared(self, receive: Receive) -> Place:
        """Return a line in the fullest shared worker that has room, else in a new one.

        Raises:
            EngineUnavailable: none was to be had in time.
        """
        async with self._turn(), self._placing:
            worker = self._with_room()
            if worker is None:
                worker = await self._fresh()
                self._shared.append(worker)
            place = Place(worker, next(self._numbers), pairing=False)
            worker.attach(place.line, receive)
        return place

    async def vacate(self, place: Place, *, reuse: bool = False) -> None:
        """Forget the line. A pairing's own process is killed, or becomes a spare again.

        `reuse` only after the line was closed in order: loading the library again costs a second.
        """
        worker = place.worker
        worker.detach(place.line)
        if not place.pairing:
            return
        self._pairings.release()
        async with self._changed:
            wanted = len(self._spares) < max(self._wanted, self._limits.spare_workers)
            if reuse and wanted and not worker.gone and not self._worn(worker, 1.0):
                self._spares.append(worker)
                self._changed.notify_all()
                return
        worker.kill()
        await asyncio.shield(self._ended(worker))

    def processes(self) -> list[int]:
        """Return the process ids of all workers."""
        return [worker.pid for worker in self._running if worker.pid is not None]

    async def _ended(self, worker: WorkerProcess) -> None:
        if task := self._running.get(worker):
            await asyncio.wait([task])

    def _with_room(self) -> WorkerProcess | None:
        fitting = [
            worker
            for worker in self._shared
            if not worker.gone
            and len(worker.lines) < self._limits.sessions_per_worker
            and not self._worn(worker, 1.0)
        ]
        return max(fitting, key=lambda worker: len(worker.lines), default=None)

    def _worn(self, worker: WorkerProcess, factor: float) -> bool:
        load, limits = worker.load, self._limits
        return (
            load.stuck > 0
            or load.descriptors_left < FEWEST_DESCRIPTORS_LEFT / factor
            or load.descriptors >= limits.max_descriptors * factor
            or load.starts >= limits.max_starts * factor
        )

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._limits.turn_seconds):
                yield
        except TimeoutError:
            raise EngineUnavailable(self._fault or None) from None

    async def _fresh(self) -> WorkerProcess:
        """Take a spare, waiting for one if need be."""
        self._wanted += 1
        try:
            async with self._changed:
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self._spares)
                # Else a process that just died, and is about to leave the list, could be taken.
                while (worker := self._spares.pop(0)).gone:
                    await self._changed.wait_for(lambda: self._spares)
                return worker
        finally:
            self._wanted -= 1
            async with self._changed:
                self._changed.notify_all()

    async def _keep_spares(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(
                    lambda: len(self._spares) < max(self._wanted, self._limits.spare_workers)
                )
            if self._failures:
                await asyncio.sleep(self._back_off_seconds())
            await self._start_spare(tasks)

    def _back_off_seconds(self) -> float:
        ceiling = min(CEILING_SECONDS, 0.5 * 2**self._failures)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - jitter, no secret

    async def _start_spare(self, tasks: asyncio.TaskGroup) -> None:
        worker = WorkerProcess(self._command)
        self._running[worker] = tasks.create_task(self._supervise(worker))
        try:
            await worker.wait_ready()
        except EngineUnavailable as error:
            worker.kill()
            self._failures += 1
            self._fault = error.message
            _log.error("no engine process could be started: %s", error.message)
            return
        self._failures, self._fault = 0, ""
        async with self._changed:
            self._spares.append(worker)
            self._changed.notify_all()

    async def _supervise(self, worker: WorkerProcess) -> None:
        try:
            await worker.run()
        except Exception:  # noqa: BLE001 - one worker's trouble must not end the others
            _log.exception("neonize worker %s failed", worker.pid)
        finally:
            del self._running[worker]
            for role in (self._spares, self._shared):
                if worker in role:
                    role.remove(worker)
            async with self._changed:
                self._changed.notify_all()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._limits.measure_seconds)
            self._dismiss_surplus()
            async with asyncio.TaskGroup() as tasks:
                for worker in list(self._running):
                    tasks.create_task(self._check(worker))

    def _dismiss_surplus(self) -> None:
        enough = max(self._wanted, self._limits.spare_workers)
        self._spares, surplus = self._spares[:enough], self._spares[enough:]
        for worker in surplus:
            worker.kill()

    async def _check(self, worker: WorkerProcess) -> None:
        await worker.measure(self._limits.hang_seconds)
        if worker not in self._shared or not self._worn(worker, 1.0):
            return
        quiet = min(worker.load.quiet_seconds.values(), default=RECYCLED_WHEN_QUIET_SECONDS)
        if quiet >= RECYCLED_WHEN_QUIET_SECONDS or self._worn(worker, HARD_FACTOR):
            await self._recycle(worker)

    async def _recycle(self, worker: WorkerProcess) -> None:
        """Close every line with its signals still being taken, then end the process."""
        _log.info("neonize worker %s is recycled, %d sessions", worker.pid, len(worker.lines))
        self._shared.remove(worker)
        for line in worker.lines:
            try:
                await worker.call(CloseLine(line=line, keep=False), CLOSE_SECONDS)
            except (WorkerDied, CallTimedOut):
                break
        worker.stop_lines(signals.EngineStopped(planned=True, detail="worn out"))
        worker.hang_up()
