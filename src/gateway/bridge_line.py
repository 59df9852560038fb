"""One bridge's line to the event log: where it is in each session, and what stands in its way."""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from api.bridge_status import BridgeStatus, Redelivery
from gateway.bridge import Bridge, PermanentFailure, TemporaryFailure
from gateway.bridge_metrics import BridgeMetrics
from sessions import consumers
from sessions.clock import Clock, to_ms
from sessions.consumers import Behind
from sessions.errors import StorageUnavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, new_uuid
from sessions.store import Store

logger = logging.getLogger(__name__)

_PAGE = 100
_AT_ONCE = 8
_POLL_SECONDS = 1.0
_POLL_MOST_SECONDS = 15.0
_UNEXPECTED_MOST = 20
_SHOWN_LIMIT = 100
_SHOW_SECONDS = 10
_REDELIVERED_LIMIT = 1_000


@dataclass
class _Trouble:
    """What a session's next event has met."""

    failures: int
    not_before: float
    """Monotonic seconds."""


class Line:
    """Drains the log into one bridge."""

    def __init__(self, bridge: Bridge, store: Store, clock: Clock, metrics: BridgeMetrics) -> None:
        self.name = bridge.name
        self._bridge = bridge
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._news = asyncio.Event()
        self._idle_rounds = 0
        self._trouble: dict[SessionId, _Trouble] = {}
        self._closed_until = 0.0
        self._shown: deque[SessionEvent] = deque(maxlen=_SHOWN_LIMIT)
        self._something_to_show = asyncio.Event()
        self._last_error: tuple[str, datetime] | None = None
        self._last_taken_at: datetime | None = None

    def hear(self, event: SessionEvent) -> None:
        """Take note of an event that has just happened; never waits."""
        if not self._bridge.wants(event.type):
            # The cursor moves past it in its own time: most endpoints want few types.
            return
        if event.seq is not None:
            if self._bridge.session in {None, event.session}:
                self._news.set()
        else:
            self._shown.append(event)
            self._something_to_show.set()

    def nudge(self) -> None:
        """Try again at once."""
        self._closed_until = 0.0
        for trouble in self._trouble.values():
            trouble.not_before = 0.0
        self._news.set()

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
            group.create_task(self._drain_all())

    async def status(self) -> BridgeStatus:
        """Return how the bridge is doing."""
        async with self._store.read() as db:
            lag = await consumers.lag(db, self.name)
        error, error_at = self._last_error or (None, None)
        return BridgeStatus(
            name=self.name,
            tenant=self._bridge.tenant,
            backlog=lag.events,
            oldest=lag.oldest,
            parked=lag.parked,
            failing_sessions=len(self._trouble),
            last_error=error,
            last_error_at=error_at,
            last_taken_at=self._last_taken_at,
        )

    async def redeliver(self) -> Redelivery:
        """Hand parked events over again, oldest first, until one is refused for now."""
        delivered = 0
        async with self._store.read() as db:
            parked = await consumers.parked(db, self.name, limit=_REDELIVERED_LIMIT)
        for position, event in parked:
            try:
                if event is not None:
                    await self._bridge.deliver(event)
            except TemporaryFailure as failure:
                self._note(failure)
                break
            except PermanentFailure as failure:
                self._note(failure)
                continue
            await self._store.write(partial(consumers.unpark, position=position))
            delivered += 1
        return Redelivery(delivered=delivered, still_parked=(await self.status()).parked)

    async def _drain_all(self) -> None:
        while True:
            self._news.clear()
            try:
                worked = await self._round()
            except StorageUnavailable:
                worked = False
            self._idle_rounds = 0 if worked else self._idle_rounds + 1
            if not worked:
                # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes with news.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._wait_seconds()):
                        await self._news.wait()
                    self._idle_rounds = 0

    async def _round(self) -> bool:
        """Hand over a page of each of a few sessions; return whether anything was taken."""
        now = self._clock.monotonic()
        if now < self._closed_until:
            return False
        held = [session for session, trouble in self._trouble.items() if trouble.not_before > now]
        async with self._store.read() as db:
            waiting = await consumers.behind(db, self.name, limit=_AT_ONCE, without=held)
        taken = await asyncio.gather(*(self._drain(session) for session in waiting))
        return any(taken)

    async def _drain(self, behind: Behind) -> bool:
        if behind.trimmed_seq > behind.seq:
            events = [self._gap(behind)]
        else:
            async with self._store.read() as db:
                events = await consumers.read(db, behind.session, behind.seq, limit=_PAGE)
        seq = behind.seq
        for event in events:
            if not await self._hand_over(event):
                break
            seq = event.seq or seq
        if seq > behind.seq:
            await self._store.write(
                partial(consumers.advance, name=self.name, session=behind.session, seq=seq)
            )
        return seq > behind.seq

    async def _hand_over(self, event: SessionEvent) -> bool:
        """Return whether the cursor may move past an event."""
        if not self._bridge.wants(event.type):
            return True
        try:
            await self._bridge.deliver(event)
        except TemporaryFailure as failure:
            self._fail(event, failure)
            return False
        except PermanentFailure as failure:
            await self._park(event, failure)
        except Exception as error:
            logger.exception("bridge failed unexpectedly", extra={"service": self.name})
            trouble, unknown = self._trouble.get(event.session), type(error).__name__
            if trouble is None or trouble.failures < _UNEXPECTED_MOST:
                self._fail(event, TemporaryFailure(unknown))
                return False
            # A fault of ours with this event: it must not hold up its session for ever.
            await self._park(event, PermanentFailure(unknown))
        else:
            self._metrics.count(self.name, "taken")
        self._trouble.pop(event.session, None)
        self._last_taken_at = self._clock.now()
        return True

    async def _park(self, event: SessionEvent, failure: PermanentFailure) -> None:
        self._note(failure)
        self._metrics.count(self.name, "parked")
        await self._store.write(
            partial(consumers.park, name=self.name, event=event, error=str(failure))
        )

    def _fail(self, event: SessionEvent, failure: TemporaryFailure) -> None:
        self._note(failure)
        self._metrics.count(self.name, "refused")
        earlier = self._trouble.get(event.session)
        failures = 1 if earlier is None else earlier.failures + 1
        pause_seconds = failure.retry_seconds
        if pause_seconds is None:
            pause_seconds = self._bridge.pause_seconds(failures)
        not_before = self._clock.monotonic() + pause_seconds
        self._trouble[event.session] = _Trouble(failures, not_before)
        if failure.of_all:
            self._closed_until = not_before

    def _note(self, failure: Exception) -> None:
        self._last_error = (str(failure)[:1000], self._clock.now())
        logger.warning("bridge refuses", extra={"service": self.name, "error": str(failure)})

    def _wait_seconds(self) -> float:
        """Return how long nothing needs doing, unless there is news."""
        now = self._clock.monotonic()
        # News wakes it: it looks by itself in case a word was lost, and hundreds of idle ones do.
        poll_seconds = min(_POLL_SECONDS * 2.0 ** min(self._idle_rounds, 8), _POLL_MOST_SECONDS)
        dates = [trouble.not_before for trouble in self._trouble.values()]
        soonest = max(min(dates, default=now + poll_seconds), self._closed_until)
        return min(poll_seconds, max(0.01, soonest - now))

    def _gap(self, behind: Behind) -> SessionEvent:
        """Return the word about what was forgotten before the bridge could read it."""
        return SessionEvent(
            id=new_uuid(),
            type=EventType.EVENTS_GAP,
            session=behind.session,
            session_id=behind.name,
            seq=behind.trimmed_seq,
            timestamp=to_ms(self._clock.now()),
            data={"from": behind.seq + 1, "to": behind.trimmed_seq},
        )

    async def _show_all(self) -> None:
        while True:
            await self._something_to_show.wait()
            self._something_to_show.clear()
            while self._shown:
                await self._show(self._shown.popleft())

    async def _is_for_us(self, event: SessionEvent) -> bool:
        """Tell whose a code is: with another tenant's, anyone could take the session over."""
        if event.type is EventType.SESSION_DELETED:
            # Nothing is left to look it up by, and nothing in it to take; a bridge knows its own.
            return True
        async with self._store.read() as db:
            return await consumers.covers(db, self.name, event.session)

    async def _show(self, event: SessionEvent) -> None:
        try:
            if not await self._is_for_us(event):
                return
            async with asyncio.timeout(_SHOW_SECONDS):
                await self._bridge.show(event)
        except (TemporaryFailure, PermanentFailure, StorageUnavailable, TimeoutError) as failure:
            self._note(failure)
        except Exception:
            logger.exception("bridge failed unexpectedly", extra={"service": self.name})
