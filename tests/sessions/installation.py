"""A gateway's domain in virtual time that can be killed and started again, and its invariants.

What outlives a kill is what would: the database's file, and WhatsApp (the simulator behind its
witness). Manager, store, bus, feeds are made anew by each start.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from gateway.database import open_database
from sessions.engine_simulator import SimulatorEngine
from sessions.errors import SessionsError
from sessions.ids import SessionId, SessionName
from sessions.manager import SessionManager
from sessions.metrics import Metrics
from sessions.qr_codes_memory import MemoryQrCodes
from sessions.services import Policy, Services
from sessions.status import Status
from sessions.store import Store
from tests.sessions.house import prepared
from tests.sessions.inline_sqlite import DISKS, Disk
from tests.sessions.listeners import Door, Listener, Page, WeakBus
from tests.sessions.tracks import Track
from tests.sessions.virtual_time import VirtualClock, VirtualTimeLoop, ticks
from tests.sessions.witness import Witness

POLICY = Policy(event_limit=25, send_timeout_seconds=12, queue_limit=50)
_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it


class Installation:
    """One database, one WhatsApp, and at most one gateway on them at a time."""

    def __init__(self) -> None:
        parent = _MEMORY if _MEMORY.is_dir() else None
        self._directory = Path(tempfile.mkdtemp(prefix="wagate-", dir=parent))
        self._url = prepared(self._directory).replace("aiosqlite", "inline")
        file = self._directory / "wagate.db"
        self.disk = DISKS[str(file)] = Disk()
        self.loop = VirtualTimeLoop()
        asyncio.set_event_loop(self.loop)
        self.clock = VirtualClock(self.loop)
        engine = SimulatorEngine(
            self.clock,
            qr_lifetimes_seconds=(60, 20),
            # In the wrong order, as it may be.
            delivered_after_seconds=2.0,
            read_after_seconds=0.5,
        )
        self.witness = Witness(engine, file)
        self.engine = engine
        self.pages: list[Page] = []
        self.listeners: list[Listener] = []
        self.tracks: dict[SessionId, Track] = {}
        """By id, also those that are gone."""
        self.names: dict[str, Track] = {}
        """The sessions that there are, as of the last `look`."""
        self.faults: list[str] = []
        self._far_side = self.loop.create_task(engine.run())
        self._commands: set[asyncio.Task[None]] = set()
        self._life: AsyncExitStack | None = None
        self.manager: SessionManager
        self.door: Door
        self.bus: WeakBus

    @property
    def up(self) -> bool:
        """Whether a gateway runs."""
        return self._life is not None

    def start(self) -> None:
        """Start a gateway."""
        self.loop.finish(self._start())

    def kill(self) -> None:
        """End the gateway between two of its steps; nothing is put in order."""
        self.loop.finish(self._end())

    def stop(self) -> None:
        """End the gateway in order."""
        self.loop.finish(self._stop())

    def run(self, pause: float) -> None:
        """Let time pass: whole numbers are steps of the loop, others virtual seconds."""
        self.loop.finish(ticks(pause) if isinstance(pause, int) else asyncio.sleep(pause))

    def spawn(self, command: Coroutine[Any, Any, Any]) -> None:
        """Give a command and go on; what the gateway may refuse it for is no fault."""
        if not self.up:
            command.close()
            return
        task = self.loop.create_task(self._command(command))
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)

    def spoil(self, spared: int, seconds: float) -> None:
        """Let the database fail, behind so many statements, for so long."""
        self.disk.spared, self.disk.failing = spared, True
        self.loop.call_later(seconds, self._mend)

    def _mend(self) -> None:
        self.disk.failing = False

    def close(self) -> None:
        """Free everything."""
        if self.up:
            self.kill()
        self._far_side.cancel()
        self.loop.finish(_ended([self._far_side]))
        self.loop.finish(self.loop.shutdown_asyncgens())
        self.loop.close()
        asyncio.set_event_loop(None)
        self.witness.close()
        shutil.rmtree(self._directory)

    def look(self) -> None:
        """Take notice of the sessions that there are now."""
        self.names = {}
        for id_, name, status in self.witness.rows("SELECT id, name, status FROM sessions"):
            session = SessionId(str(id_))
            if session not in self.tracks:
                self._meet(session, SessionName(str(name)))
            track = self.names[str(name)] = self.tracks[session]
            if track.unlinking:
                track.unlinked()
            if status == Status.LOGGED_OUT and track.unlinking:
                track.unlinking -= 1

    def listen(self) -> None:
        """Let everybody who is not connected connect, as clients do by themselves."""
        for listener in self.listeners:
            if self.up:
                self.spawn(self.door.connect(listener))

    def read(self) -> None:
        """Let every reader of pages read on."""
        for page in self.pages:
            self.spawn(page.read(self.manager))

    def _meet(self, session: SessionId, name: SessionName) -> None:
        self.tracks[session] = Track(session)
        self.pages.append(Page(session))
        self.listeners += [Listener(number, session, name) for number in (1, 2)]

    async def _start(self) -> None:
        database = open_database(self._url)
        self.bus = WeakBus()
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        store = Store(database, bus=self.bus, clock=self.clock, metrics=metrics)
        services = Services(
            store=store,
            engine=self.witness,
            bus=self.bus,
            qr_codes=MemoryQrCodes(self.clock),
            clock=self.clock,
            metrics=metrics,
            policy=POLICY,
            connects=asyncio.Semaphore(POLICY.parallel_connects),
        )
        self.manager = SessionManager(services)
        self.door = Door(self.manager, self.bus, self.clock)
        self._registry = registry
        self._life = AsyncExitStack()
        self._life.push_async_callback(database.close)
        self._services = [asyncio.create_task(run()) for run in (store.run, self.manager.run)]
        self._life.push_async_callback(self._end_services)
        await self._life.enter_async_context(self.door.serving())

    async def _stop(self) -> None:
        await self.manager.drain()
        await self._end()

    async def _end(self) -> None:
        assert self._life is not None
        # First: what they are told from now on, a killed process could not have told them.
        await _ended(list(self._commands), cancel=True)
        self.check_process()
        await self._life.aclose()
        self._life = None

    async def _end_services(self) -> None:
        await _ended(self._services, cancel=True)

    async def _command(self, command: Coroutine[Any, Any, Any]) -> None:
        try:
            await command
        except SessionsError:
            return
        except Exception as error:  # noqa: BLE001 - it is what these tests look for
            self.faults.append(f"a command failed: {error!r}")

    def check_process(self) -> None:
        """See that the process is sound: its services run, and nothing unforeseen was met."""
        for task in self._services:
            if task.done():
                self.faults.append(f"a service ended: {task!r}")
        unforeseen = self._registry.get_sample_value("wagate_background_faults_total")
        if unforeseen:
            self.faults.append("a session's task met an unforeseen error")

    def check(self) -> None:
        """Hold everything to the invariants that are true at every moment."""
        if self.up:
            self.check_process()
        told = [violation for page in self.pages for violation in page.violations]
        told += [violation for one in self.listeners for violation in one.violations]
        broken = [*self.faults, *self.witness.violations, *told]
        assert not broken, broken
        rows = self.witness.rows("SELECT id, last_seq, trimmed_seq FROM sessions")
        for session, last, trimmed in rows:
            query = "SELECT seq FROM events WHERE session = ? ORDER BY seq"
            numbers = [row[0] for row in self.witness.rows(query, session)]
            assert numbers == list(range(int(str(trimmed)) + 1, int(str(last)) + 1)), "I2"
            if not trimmed:
                self._check_usage(str(session))

    def _check_usage(self, session: str) -> None:
        """See that bills are made from what happened, and from nothing else."""
        came = (
            "SELECT count(*) FROM events WHERE session = ? AND type = 'session:message' "
            "AND NOT json_extract(data, '$.message.fromMe')"
        )
        went = (
            "SELECT count(DISTINCT s.message) FROM message_statuses s JOIN messages m "
            "ON m.id = s.message WHERE m.session = ? AND m.body_hash IS NOT NULL "
            "AND s.status IN ('sent', 'delivered', 'read', 'played')"
        )
        used = "SELECT sum(messages_in), sum(messages_out) FROM usage WHERE session = ?"
        happened = tuple(self.witness.rows(query, session)[0][0] for query in (came, went))
        counted = tuple(number or 0 for number in self.witness.rows(used, session)[0])
        assert counted == happened, "usage"


async def _ended(tasks: list[asyncio.Task[None]], *, cancel: bool = False) -> None:
    for task in tasks:
        if cancel:
            task.cancel()
    if tasks:
        await asyncio.wait(tasks)
