"""Hands a bridge what its back end has not taken yet: sessions side by side, each in order.

Model: a few sessions have a turn at a time, and a turn ends with a page or after some seconds, so
that neither a long backlog nor a slow receiver keeps the others waiting. What is taken moves the
cursor at the end of the turn; after a crash in between, a page at most comes again.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID, uuid5

from gateway.bridge import Bridge, PermanentFailure, TemporaryFailure
from gateway.bridge_metrics import BridgeMetrics
from sessions import consumers
from sessions.clock import Clock, to_ms
from sessions.consumers import Behind
from sessions.errors import StorageUnavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId
from sessions.store import Store

logger = logging.getLogger(__name__)

_PAGE = 100
_TURN_SECONDS = 5.0
_AT_ONCE = 8
_POLL_SECONDS = 1.0
_POLL_MOST_SECONDS = 15.0
_LOOK_SHARE = 10
"""A busy line may look for news for a tenth of its time, and is deaf for at most a second."""
_LOOK_PAUSE_SECONDS = 1.0
_UNEXPECTED_MOST = 20
_STORAGE_SECONDS = 2.0
_LAST_ADVANCE_SECONDS = 2.0
_FORGOTTEN_SECONDS = 60.0


@dataclass
class _Trouble:
    """What a session's next event has met."""

    failures: int
    not_before: float
    """Monotonic seconds."""


class Drain:
    """Drains the log into one bridge."""

    def __init__(self, bridge: Bridge, store: Store, clock: Clock, metrics: BridgeMetrics) -> None:
        self._name = bridge.name
        self._bridge = bridge
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._news = asyncio.Event()
        self._busy: set[SessionId] = set()
        self._deleted: set[SessionId] = set()
        """Of those that have a turn; what it meets concerns nobody any more."""
        self._trouble: dict[SessionId, _Trouble] = {}
        self._idle_looks = 0
        self._looked_at = 0.0
        self._no_look_before = 0.0
        self._closed_until = 0.0
        self.last_error: tuple[str, datetime] | None = None
        self.last_taken_at: datetime | None = None

    @property
    def failing_sessions(self) -> int:
        """How many sessions wait for another try."""
        return len(self._trouble)

    def wake(self) -> None:
        """Look for what there is now."""
        self._news.set()

    def nudge(self) -> None:
        """Try again at once."""
        self._closed_until = 0.0
        for trouble in self._trouble.values():
            trouble.not_before = 0.0
        self._news.set()

    def forget(self, session: SessionId) -> None:
        """Let go of a session that was deleted."""
        self._trouble.pop(session, None)
        if session in self._busy:
            self._deleted.add(session)

    def note(self, failure: Exception) -> None:
        """Keep what went wrong last, for people to see."""
        self.last_error = (str(failure)[:1000], self._clock.now())
        logger.warning("bridge refuses", extra={"service": self._name, "error": str(failure)})

    async def run(self) -> None:
        """Drain until cancelled."""
        async with asyncio.TaskGroup() as turns:
            while True:
                self._news.clear()
                begun = await self._begin(turns)
                self._idle_looks = 0 if begun else self._idle_looks + 1
                await self._rest()

    async def _begin(self, turns: asyncio.TaskGroup) -> bool:
        """Give a turn to sessions that wait, as many as have room; return whether there were."""
        now = self._clock.monotonic()
        room = _AT_ONCE - len(self._busy)
        if now < self._closed_until or not room:
            return False
        self._looked_at = now
        self._forget_old(now)
        held = [session for session, trouble in self._trouble.items() if trouble.not_before > now]
        try:
            async with self._store.read() as db:
                waiting = await consumers.behind(
                    db, self._name, limit=room, without=[*held, *self._busy]
                )
        except StorageUnavailable:
            return False
        looked_seconds = self._clock.monotonic() - now
        self._no_look_before = now + min(_LOOK_SHARE * looked_seconds, _LOOK_PAUSE_SECONDS)
        for behind in waiting:
            self._busy.add(behind.session)
            turns.create_task(self._turn(behind))
        return bool(waiting)

    def _forget_old(self, now: float) -> None:
        """Let go of what is due for long, as of sessions that were deleted meanwhile."""
        self._trouble = {
            session: trouble
            for session, trouble in self._trouble.items()
            if session in self._busy or trouble.not_before > now - _FORGOTTEN_SECONDS
        }

    async def _rest(self) -> None:
        """Wait for news, for a turn to end, or for the time to try something again."""
        # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes with news.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rest_seconds()):
                await self._news.wait()
            self._idle_looks = 0
        await asyncio.sleep(self._no_look_before - self._clock.monotonic())

    def _rest_seconds(self) -> float:
        """Return how long nothing needs doing, unless there is news."""
        now = self._clock.monotonic()
        # News wakes it: it looks by itself in case a word was lost, and hundreds of idle ones do.
        poll_seconds = min(_POLL_SECONDS * 2.0 ** min(self._idle_looks, 8), _POLL_MOST_SECONDS)
        dates = [
            trouble.not_before
            for trouble in self._trouble.values()
            # The others were looked at; who is not there any more has nothing to be tried.
            if trouble.not_before > self._looked_at
        ]
        soonest = max(min(dates, default=now + poll_seconds), self._closed_until)
        return min(poll_seconds, max(0.01, soonest - now))

    async def _turn(self, behind: Behind) -> None:
        session = behind.session
        try:
            moved = await self._page(behind)
            if not moved and session not in self._trouble:
                # What was to be read went away meanwhile; not again and again without a pause.
                self._hold(session, _STORAGE_SECONDS)
        except StorageUnavailable:
            # The cursor stayed: what was taken comes again, with the same ids.
            self._hold(session, _STORAGE_SECONDS)
        except Exception:
            # A fault of ours; other sessions and other bridges go on.
            logger.exception("a turn failed unexpectedly", extra={"service": self._name})
            self._hold(session, _STORAGE_SECONDS)
        finally:
            self._busy.discard(session)
            if session in self._deleted:
                self._deleted.discard(session)
                self._trouble.pop(session, None)
            self._news.set()

    def _hold(self, session: SessionId, seconds: float) -> None:
        """Give a session a pause; a longer one that its back end asked for stays as it is."""
        known = self._trouble.get(session, _Trouble(0, 0.0))
        not_before = max(known.not_before, self._clock.monotonic() + seconds)
        self._trouble[session] = _Trouble(known.failures, not_before)

    async def _page(self, behind: Behind) -> bool:
        """Hand over a session's next events; return whether any was taken."""
        until = self._clock.monotonic() + _TURN_SECONDS
        seq = behind.seq
        advance = partial(consumers.advance, name=self._name, session=behind.session)
        try:
            for event in await self._events(behind):
                if not await self._hand_over(event):
                    break
                seq = event.seq or seq
                if self._clock.monotonic() > until:
                    break
        except asyncio.CancelledError:
            if seq > behind.seq:
                # Else every orderly stop would repeat what was taken.
                with contextlib.suppress(StorageUnavailable, TimeoutError):
                    async with asyncio.timeout(_LAST_ADVANCE_SECONDS):
                        await self._store.write(partial(advance, seq=seq))
            raise
        if seq > behind.seq:
            await self._store.write(partial(advance, seq=seq))
        return seq > behind.seq

    async def _events(self, behind: Behind) -> list[SessionEvent]:
        if behind.trimmed_seq > behind.seq:
            return [self._gap(behind)]
        async with self._store.read() as db:
            events = await consumers.read(db, behind.session, behind.seq, limit=_PAGE)
        # Forgotten since it was looked at: the next look finds the gap, which must be told.
        return events if events and events[0].seq == behind.seq + 1 else []

    async def _hand_over(self, event: SessionEvent) -> bool:
        """Return whether the cursor may move past an event."""
        if not self._bridge.wants(event.type):
            self._trouble.pop(event.session, None)
            return True
        try:
            await self._bridge.deliver(event)
        except TemporaryFailure as failure:
            self._fail(event, failure)
            return False
        except PermanentFailure as failure:
            await self._park(event, failure)
        except Exception as error:
            logger.exception("bridge failed unexpectedly", extra={"service": self._name})
            trouble, unknown = self._trouble.get(event.session), type(error).__name__
            if trouble is None or trouble.failures < _UNEXPECTED_MOST:
                self._fail(event, TemporaryFailure(unknown))
                return False
            # A fault of ours with this event: it must not hold up its session for ever.
            await self._park(event, PermanentFailure(unknown))
        else:
            self._metrics.count(self._name, "taken")
        self._trouble.pop(event.session, None)
        self.last_taken_at = self._clock.now()
        return True

    async def _park(self, event: SessionEvent, failure: PermanentFailure) -> None:
        self.note(failure)
        self._metrics.count(self._name, "parked")
        await self._store.write(
            partial(consumers.park, name=self._name, event=event, error=str(failure))
        )

    def _fail(self, event: SessionEvent, failure: TemporaryFailure) -> None:
        self.note(failure)
        self._metrics.count(self._name, "refused")
        earlier = self._trouble.get(event.session)
        failures = 1 if earlier is None else earlier.failures + 1
        pause_seconds = failure.retry_seconds
        if pause_seconds is None:
            pause_seconds = self._bridge.pause_seconds(failures)
        not_before = self._clock.monotonic() + pause_seconds
        self._trouble[event.session] = _Trouble(failures, not_before)
        if failure.of_all:
            self._closed_until = not_before

    def _gap(self, behind: Behind) -> SessionEvent:
        """Return the word about what was forgotten before the bridge could read it."""
        return SessionEvent(
            # The same gap, told again, is the same event.
            id=str(uuid5(UUID(behind.session), f"{behind.seq}-{behind.trimmed_seq}")),
            type=EventType.EVENTS_GAP,
            session=behind.session,
            session_id=behind.name,
            seq=behind.trimmed_seq,
            timestamp=to_ms(self._clock.now()),
            data={"from": behind.seq + 1, "to": behind.trimmed_seq},
        )
