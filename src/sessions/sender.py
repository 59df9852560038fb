"""Sends a session's queued messages in order, one at a time, while its connection is up."""

import asyncio
import contextlib
import logging

from sessions import outbox
from sessions.engine import Connection, Presence
from sessions.errors import (
    NotConnected,
    SendFailed,
    SendUncertain,
    SessionsError,
    StorageUnavailable,
)
from sessions.messages import MessageStatus, OutgoingText, Problem
from sessions.models import MessageRow
from sessions.pace import Pace
from sessions.recorder import Recorder
from sessions.services import Services
from sessions.store import Work

logger = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 30
"""A wake-up is only a hint; what was queued without one is found by looking."""
_PAUSE_SECONDS = 1
_SHOW_SECONDS = 5
_REFUSED_MAX_SECONDS = 300


class Sender:
    """The outbox's only consumer for one connection."""

    def __init__(
        self, services: Services, recorder: Recorder, connection: Connection, pace: Pace
    ) -> None:
        self._services = services
        self._pace = pace
        self._recorder = recorder
        self._connection = connection
        self._online = asyncio.Event()
        self._work = asyncio.Event()
        self._stopping = False
        self._in_flight = asyncio.Lock()
        self._not_before = 0.0
        """Monotonic seconds: nothing is sent before, as the last refusal was only for now."""

    def online(self, up: bool) -> None:  # noqa: FBT001 - reads as the state it sets
        """Send from now on, or hold back until the connection is up again."""
        if up:
            self._online.set()
        else:
            self._online.clear()

    @property
    def is_online(self) -> bool:
        """Whether messages flow now."""
        return self._online.is_set()

    def wake(self) -> None:
        """Look for queued messages now."""
        self._work.set()

    async def finish(self, timeout_seconds: float) -> None:
        """Start nothing more, and give the send in flight its time to end."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._in_flight:
                pass

    async def run(self) -> None:
        """Send until cancelled."""
        while not self._stopping:
            await self._online.wait()
            # Before the next is chosen: what becomes urgent meanwhile goes first.
            rest_seconds = self._not_before - self._services.clock.monotonic()
            await asyncio.sleep(max(self._pace.wait_seconds(), rest_seconds))
            self._work.clear()
            try:
                async with self._in_flight:
                    sent = await self._send_next()
            except StorageUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if not sent:
                # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes with news.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                        await self._work.wait()

    async def _send_next(self) -> bool:
        """Send the oldest queued message; return False when there is none to send now."""
        recorder = self._recorder
        if self._stopping:
            return False
        row = await self._services.store.write(
            lambda unit: outbox.take(unit, recorder.session, epoch=recorder.epoch)
        )
        if row is None:
            return False
        await self._send(row)
        return True

    async def _send(self, row: MessageRow) -> None:
        text = OutgoingText(
            to=row.chat_id, text=row.text or "", quoted_message_id=row.quoted_message_id
        )
        metrics = self._services.metrics
        if row.typing:
            await self._show_typing(row)
        self._pace.sent()
        try:
            async with asyncio.timeout(self._services.policy.send_timeout_seconds):
                with metrics.send_seconds.time():
                    sent = await self._connection.send(text)
        except NotConnected:
            await self._put_back(row, _PAUSE_SECONDS, tried=False)
        except SendFailed as error:
            await self._refused(row, error)
        except (SendUncertain, TimeoutError):
            await self._end(row, MessageStatus.UNKNOWN, SendUncertain())
        except Exception:
            # The message itself must not be in the log; whether it went out, nobody knows.
            logger.exception("send ended unexpectedly", extra={"message_id": row.id})
            await self._end(row, MessageStatus.UNKNOWN, SendUncertain())
        else:
            metrics.sends.labels("sent").inc()
            await self._settle(lambda unit: self._recorder.sent(unit, row.id, sent))

    async def _show_typing(self, row: MessageRow) -> None:
        """Show that somebody types; a text is not lost for what is only for show."""
        if not isinstance(self._connection, Presence):
            return
        policy = self._services.policy
        seconds = len(row.text or "") * policy.typing_seconds_per_character
        try:
            async with asyncio.timeout(_SHOW_SECONDS):
                await self._connection.show_typing(row.chat_id, "composing")
        except (SessionsError, TimeoutError):
            return
        await asyncio.sleep(min(seconds, policy.typing_max_seconds))

    async def _refused(self, row: MessageRow, error: SendFailed) -> None:
        """Try again what WhatsApp refused only for now; the rest has failed."""
        if not error.temporary or row.attempts >= self._services.policy.send_attempts:
            await self._end(row, MessageStatus.FAILED, error)
            return
        await self._put_back(row, min(_REFUSED_MAX_SECONDS, 2.0**row.attempts), tried=True)

    async def _put_back(self, row: MessageRow, pause_seconds: float, *, tried: bool) -> None:
        """Queue a message again that was certainly not sent; those behind it wait with it."""
        self._services.metrics.sends.labels("put_back").inc()
        await self._settle(lambda unit: outbox.put_back(unit, row.id, tried=tried))
        self._not_before = self._services.clock.monotonic() + pause_seconds

    async def _end(self, row: MessageRow, status: MessageStatus, error: SessionsError) -> None:
        self._services.metrics.sends.labels(status).inc()
        problem = Problem(code=error.code, message=error.message)
        epoch = self._recorder.epoch
        await self._settle(
            lambda unit: outbox.record_end(unit, row.id, status, problem, epoch=epoch)
        )

    async def _settle(self, work: Work[None]) -> None:
        """Record an outcome, however long the database takes: what happened can't be undone."""
        while True:
            try:
                await self._services.store.write(work)
            except StorageUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return
