"""One worker process as the server sees it: started by exec, spoken to in frames, ended by kill.

`run` owns the process from start to end: it reads frames until the worker closes its side, and
drains what the library prints. Calls are matched to answers by number; raised signals go to the
line that they belong to. The socket is drained always: what bounds memory is that a line raises
one signal and waits.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from sessions import signals
from sessions.engine_neonize_frames import (
    NOTICE,
    Acknowledge,
    Answer,
    Load,
    Measure,
    Notice,
    Raised,
    Ready,
    Refused,
    Request,
)
from sessions.errors import EngineUnavailable
from sessions.frames import FrameTooLarge, pack, read_frame

START_SECONDS = 30.0
END_SECONDS = 8.0
LOGGED_CHARACTERS = 300
_MODULE = "sessions.engine_neonize_worker"
_COMMAND = ("env", "-u", "SPHINX", "NEONIZE_BOT_TAG=off")
"""Inherits the environment (a proxy, certificates) but for what changes the library: `SPHINX` would
keep its Go part out, and without the other messages carry an "AI" badge."""

_log = logging.getLogger(__name__)


Receive = Callable[[Raised | signals.EngineStopped], None]
"""Takes what a line raises; after `EngineStopped`, which the server itself raises, nothing."""


class WorkerDied(Exception):
    """The worker process ended before it answered."""


class CallTimedOut(Exception):
    """The worker did not answer in time."""


@dataclass(frozen=True)
class WorkerCommand:
    """How to start a worker; `environment` None is the server's own."""

    python: str
    acknowledge_seconds: float
    environment: Mapping[str, str] | None = None


class WorkerProcess:
    """A neonize worker process and the lines in it."""

    def __init__(self, command: WorkerCommand) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._lines: dict[int, Receive] = {}
        self._killed = False
        self.gone = False
        """Takes no more requests: it ended, or is about to."""
        self.load = Load(descriptors=0, descriptors_left=1000, starts=0, stuck=0, quiet_seconds={})
        self.opening = asyncio.Lock()
        """Connections start one by one in a worker."""

    @property
    def pid(self) -> int | None:
        """The process id once started."""
        return self._process.pid if self._process else None

    @property
    def lines(self) -> list[int]:
        """The numbers of the lines that it hosts."""
        return list(self._lines)

    async def run(self) -> None:
        """Start the process and serve it until it ends; cancelled, end it."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await self._spawn(theirs.fileno())
            reader, self._writer = await asyncio.open_connection(sock=ours)
            async with asyncio.TaskGroup() as tasks:
                draining = tasks.create_task(self._drain(self._process.pid, self._process.stdout))
                await self._read(reader)
                draining.cancel()
        except FrameTooLarge:
            _log.error("neonize worker %s does not speak our protocol", self.pid)
        finally:
            has_clients = bool(self._lines)
            self._bury()
            if self._writer is None:
                ours.close()
            await self._end(END_SECONDS if has_clients else 0)

    async def wait_ready(self) -> None:
        """Wait until the library is loaded.

        Raises:
            EngineUnavailable: it can't be loaded, the process ended, or it takes too long.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError:
            raise EngineUnavailable("The engine process did not start in time.") from None

    async def call(self, request: Request, seconds: float) -> Answer:
        """Send a request and return its answer.

        Raises:
            WorkerDied: the process ended; what was asked may have been done.
            CallTimedOut: no answer within so many seconds; the same.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            async with asyncio.timeout(seconds):
                await self._write(request.model_copy(update={"call": number}))
                return await answer
        except TimeoutError:
            raise CallTimedOut from None
        finally:
            del self._answers[number]
            if answer.done() and not answer.cancelled():
                answer.exception()

    def acknowledge(self, line: int, sequence: int) -> None:
        """Tell that a line's signals are committed; a dead worker needs no word."""
        if self._writer and not self.gone:
            request = Acknowledge(line=line, sequence=sequence)
            self._writer.write(pack(request.model_dump_json().encode()))

    def attach(self, line: int, receive: Receive) -> None:
        """Give a line's signals to `receive`, and `EngineStopped` when the process ends."""
        self._lines[line] = receive

    def detach(self, line: int) -> None:
        """Forget a line; what it still raises is dropped."""
        self._lines.pop(line, None)

    def stop_lines(self, signal: signals.EngineStopped) -> None:
        """End every line with this signal."""
        lines, self._lines = self._lines, {}
        for receive in lines.values():
            receive(signal)

    async def measure(self, seconds: float) -> None:
        """Renew `load`; kill a worker that does not answer."""
        try:
            await self.call(Measure(), seconds)
        except CallTimedOut:
            _log.error("neonize worker %s hangs and is killed", self.pid)
            self.kill()
        except WorkerDied:
            return

    def kill(self) -> None:
        """End the process at once; `run` notices."""
        # Once only: the second would collect the ended process before asyncio does.
        if self._process and self._process.returncode is None and not self._killed:
            self._killed = True
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def hang_up(self) -> None:
        """Let the process leave WhatsApp in order and end by itself; `run` notices."""
        self.gone = True
        if self._writer:
            self._writer.write_eof()

    async def _spawn(self, descriptor: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *_COMMAND,
            *(self._command.python, "-m", _MODULE),
            *(str(descriptor), str(self._command.acknowledge_seconds)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(descriptor,),
            # Otherwise Ctrl-C would end the workers before the server has drained.
            start_new_session=True,
            env=self._command.environment,
        )

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while (body := await read_frame(reader)) is not None:
            self._take(NOTICE.validate_json(body))

    def _take(self, notice: Notice) -> None:
        match notice:
            case Answer():
                answer = self._answers.get(notice.call)
                self.load = notice.load or self.load
                if answer and not answer.done():
                    answer.set_result(notice)
            case Raised():
                if receive := self._lines.get(notice.line):
                    receive(notice)
            case Ready():
                self._ready.set_result(None)
            case Refused():
                self._ready.set_exception(EngineUnavailable(notice.reason))
                self._ready.exception()
            case _:
                assert_never(notice)

    async def _write(self, request: Request) -> None:
        if self._writer is None or self.gone:
            raise WorkerDied
        try:
            self._writer.write(pack(request.model_dump_json().encode()))
            await self._writer.drain()
        except ConnectionError:
            raise WorkerDied from None

    async def _drain(self, pid: int, output: asyncio.StreamReader | None) -> None:
        """Log what the library prints, a bounded part of each piece; nothing of it is secret."""
        while output and (piece := await output.read(4096)):
            for text in piece.decode(errors="replace").splitlines():
                _log.debug("worker %s: %s", pid, text[:LOGGED_CHARACTERS])

    def _bury(self) -> None:
        self.gone = True
        if not self._ready.done():
            self._ready.set_exception(EngineUnavailable("The engine process ended as it started."))
            self._ready.exception()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(WorkerDied())
        self.stop_lines(signals.EngineStopped(detail="the engine process ended"))

    async def _end(self, seconds: float) -> None:
        """Close our end, give the worker so long to part from WhatsApp, then kill it."""
        if self._writer:
            self._writer.close()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            _log.debug("worker %s is killed", self.pid)
        finally:
            self.kill()
            await self._process.wait()
