"""One session's connection as the server sees it, over a line in a worker process.

A pairing runs in a process of its own, since a client that shows QR codes can't be stopped; once
connected and quiet (the first synchronisation is over) `settle` moves it to a shared worker. The
move is not seen from outside: the old line hands over everything first, commands wait.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from sessions import engine_neonize_answers as answers
from sessions.clock import from_ms
from sessions.engine import ChatState, PairingCode
from sessions.engine_neonize_frames import (
    Answer,
    CloseLine,
    LogOut,
    MarkRead,
    OpenLine,
    PairPhone,
    Raised,
    Request,
    SendText,
    ShowPresence,
    ShowTyping,
)
from sessions.engine_neonize_kept import Kept
from sessions.engine_neonize_pool import Place, WorkerPool
from sessions.engine_neonize_process import CallTimedOut, WorkerDied
from sessions.errors import EngineUnavailable, NotConnected, PairingRefused
from sessions.messages import OutgoingText, Sent
from sessions.signals import (
    FINAL,
    Connected,
    Disconnected,
    EngineStopped,
    HistoryReceived,
    Signal,
)

ENTER_SECONDS = 60.0
CLOSE_SECONDS = 12.0
SEND_SECONDS = 90.0
ASK_SECONDS = 30.0
MOVE_SECONDS = 30.0
BATCH_SIGNALS = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Taken:
    """A signal with the place and number to acknowledge; None for what the server itself tells."""

    signal: Signal
    place: Place | None = None
    sequence: int = 0
    ends_kept: bool = False

    def acknowledge(self) -> None:
        if self.place:
            self.place.worker.acknowledge(self.place.line, self.sequence)


class NeonizeConnection:
    """A `Connection` whose line may move from one worker to another."""

    def __init__(self, pool: WorkerPool, store: str, kept: Kept) -> None:
        self._pool = pool
        self._store = store
        self._kept = kept
        self._taken: asyncio.Queue[_Taken] = asyncio.Queue()
        self._commands = asyncio.Lock()
        self._still = asyncio.Event()
        self._still.set()
        self._place: Place | None = None
        self._moved = False
        self._online = asyncio.Event()
        self._ended = asyncio.Event()

    async def open(self, *, pairing: bool) -> None:
        """Start a line: for a pairing in a process of its own.

        Raises:
            EngineUnavailable: no process could be had, or it did not start the line.
        """
        try:
            async with asyncio.timeout(ENTER_SECONDS):
                await self._open(pairing=pairing)
        except (TimeoutError, WorkerDied, CallTimedOut):
            raise EngineUnavailable from None

    async def _open(self, *, pairing: bool) -> None:
        await self._take_kept()
        take = self._pool.place_pairing if pairing else self._pool.place_shared
        self._place = place = await take(self._receive)
        request = OpenLine(line=place.line, store=self._store, pairing=pairing)
        async with place.worker.opening:
            answer = await place.worker.call(request, ENTER_SECONDS)
        if answer.failure == "refused":
            raise EngineUnavailable("Another process still uses this session's store.")
        if answer.failure:
            raise EngineUnavailable

    def fail(self, signal: Signal) -> None:
        """End the connection with this signal, without or after a line."""
        self._put(_Taken(signal))

    async def signals(self) -> AsyncIterator[Sequence[Signal]]:
        """Yield batches; see `Connection`."""
        ended = False
        while not ended:
            batch = [await self._taken.get()]
            while not _is_whole(batch) and not self._taken.empty():
                batch.append(self._taken.get_nowait())
            ended = isinstance(batch[-1].signal, FINAL)
            yield [taken.signal for taken in batch]
            for taken in batch:
                taken.acknowledge()
                if taken.ends_kept:
                    await self._kept.committed()

    async def send(self, message: OutgoingText) -> Sent:
        """Send one text; see `Connection`."""
        async with self._commands:
            return answers.sent(
                await self._ask(lambda line: SendText(line=line, message=message), SEND_SECONDS)
            )

    async def mark_read(self, chat: str, sender: str | None, whatsapp_ids: Sequence[str]) -> None:
        """Tell that messages were read; see `Receipts`."""
        ids = tuple(whatsapp_ids)
        await self._show(
            lambda line: MarkRead(line=line, chat=chat, sender=sender, whatsapp_ids=ids)
        )

    async def show_presence(self, *, available: bool) -> None:
        """Show the account as online or not; see `Presence`."""
        await self._show(lambda line: ShowPresence(line=line, available=available))

    async def show_typing(self, chat: str, state: ChatState) -> None:
        """Show that somebody is typing; see `Presence`."""
        await self._show(lambda line: ShowTyping(line=line, chat=chat, state=state))

    async def _show(self, request: Callable[[int], Request]) -> None:
        # Not behind a send, which may wait for its answer for a minute.
        answers.shown(await self._ask(request, ASK_SECONDS))

    async def pair_phone(self, phone: str) -> PairingCode:
        """Ask for a pairing code; see `Connection`."""
        try:
            async with self._commands:
                answer = await self._ask(
                    lambda line: PairPhone(line=line, phone=phone), ASK_SECONDS
                )
        except NotConnected:
            raise PairingRefused from None
        if answer is None or answer.code is None:
            raise PairingRefused
        return PairingCode(code=answer.code, expires_at=from_ms(answer.code_ends_at_ms))

    async def logout(self) -> None:
        """Unlink the device; see `Connection`."""
        async with self._commands:
            answer = await self._ask(lambda line: LogOut(line=line), ASK_SECONDS)
        if answer is None or answer.failure:
            raise NotConnected

    async def close(self) -> None:
        """Close the line in order; what nobody took is kept beside the store. Idempotent."""
        place, self._place = self._place, None
        if place is None:
            return
        try:
            if self._online.is_set() or not place.pairing:
                await place.worker.call(CloseLine(line=place.line, keep=True), CLOSE_SECONDS)
        except (WorkerDied, CallTimedOut):
            _log.warning("neonize worker %s did not close a line in order", place.worker.pid)
        finally:
            await self._pool.vacate(place)

    async def settle(self, quiet_seconds: float, at_most_seconds: float) -> None:
        """Move the line of a pairing to a shared worker, once it is connected and quiet."""
        await self._online.wait()
        try:
            async with asyncio.timeout(at_most_seconds):
                await self._quiet(quiet_seconds)
        except TimeoutError:
            _log.info("a session is busy since its pairing; it is moved all the same")
        async with self._commands:
            self._still.clear()
            try:
                await self._move()
            except (EngineUnavailable, WorkerDied, CallTimedOut, TimeoutError):
                self.fail(EngineStopped(planned=True, detail="could not be moved"))
            finally:
                self._still.set()

    async def _quiet(self, seconds: float) -> None:
        while (place := self._place) and not self._ended.is_set():
            await place.worker.measure(ASK_SECONDS)
            quiet = place.worker.load.quiet_seconds.get(place.line, 0.0)
            if quiet >= seconds:
                return
            await asyncio.sleep(max(seconds - quiet, 0.1))

    async def _move(self) -> None:
        old = self._place
        if old is None or self._ended.is_set():
            return
        # What it can't hand over any more is kept, and comes first on the new line.
        closed = await old.worker.call(CloseLine(line=old.line, keep=False), CLOSE_SECONDS)
        self._place = None
        await self._pool.vacate(old, reuse=closed.failure is None)
        if self._ended.is_set():
            return
        self._online.clear()
        self._moved = True
        await self.open(pairing=False)
        async with asyncio.timeout(MOVE_SECONDS):
            await self._online.wait()

    async def _ask(self, request: Callable[[int], Request], seconds: float) -> Answer | None:
        """Return the worker's answer, None when it is not known what became of the request.

        Raises:
            NotConnected: there is no line; certainly nothing was done.
        """
        await self._still.wait()
        place = self._place
        if place is None or place.worker.gone:
            raise NotConnected
        try:
            return await place.worker.call(request(place.line), seconds)
        except (WorkerDied, CallTimedOut):
            return None

    async def _take_kept(self) -> None:
        if kept := await self._kept.take():
            for signal in kept[:-1]:
                self._taken.put_nowait(_Taken(signal))
            self._taken.put_nowait(_Taken(kept[-1], ends_kept=True))

    def _receive(self, notice: Raised | EngineStopped) -> None:
        if isinstance(notice, EngineStopped):
            return self._put(_Taken(notice))
        return self._put(_Taken(notice.signal, self._place, notice.sequence))

    def _put(self, taken: _Taken) -> None:
        match taken.signal:
            case _ if self._ended.is_set():
                return
            case Connected() if self._moved:
                # From outside, the line never was down.
                self._moved = False
                self._online.set()
                taken.acknowledge()
                return
            case Connected():
                self._online.set()
            case Disconnected():
                self._moved = False
        if isinstance(taken.signal, FINAL):
            self._ended.set()
            self._online.set()
        self._taken.put_nowait(taken)


def _is_whole(batch: Sequence[_Taken]) -> bool:
    """Tell whether a batch may not grow: one of history is a long transaction by itself."""
    return isinstance(batch[-1].signal, (*FINAL, HistoryReceived)) or len(batch) >= BATCH_SIGNALS
