"""Takes jobs of a back end: each becomes a message in the outbox, and is done when it is there.

Model: one job after another, so that messages keep their order; nothing is sent meanwhile. A
database that is away is waited for with the job in hand: jobs from Node often have one attempt
only, and a failure would lose the message. A second task renews the job's lock and lets the jobs of
dead owners come again; a third sees to it that taking, should it hang, begins anew.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from api.chatbots import find
from gateway.bridge_bullmq_library import JobLost, Paces, RedisAway, SendQueue, TakenJob
from gateway.bridge_bullmq_orders import SendOrder, Unreadable, idempotency_key, read_order
from gateway.bridge_bullmq_waiting import Waiting
from sessions.errors import IdempotencyConflict, QueueFull, SessionNotFound, SessionsError
from sessions.ids import TenantId
from sessions.manager import SessionManager
from sessions.messages import OutgoingText

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 2.0
_END_SECONDS = 2.0


@dataclass(frozen=True)
class _Queued:
    message_id: str


@dataclass(frozen=True)
class _Refused:
    reason: str


@dataclass(frozen=True)
class _Later:
    """The session has too much to send; the jobs of others must not wait for it."""

    seconds: float


class Intake:
    """Consumes one queue, for the sessions of one tenant."""

    def __init__(
        self, queue: SendQueue, manager: SessionManager, tenant: TenantId, paces: Paces
    ) -> None:
        self._queue = queue
        self._manager = manager
        self._tenant = tenant
        self._paces = paces
        self._waiting = Waiting(pause_seconds=paces.full_seconds, now=self._now)
        self._in_hand: TakenJob | None = None
        self._heard_at = 0.0
        self.fault: str | None = "not connected yet"
        """Why no job can be taken now; None when they can."""

    async def run(self) -> None:
        """Consume until cancelled; a job that is in hand then is handed back."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_locks())
                while True:
                    self._heard_at = self._now()
                    taking = group.create_task(self._take_all())
                    await self._until_stuck()
                    taking.cancel()
                    await asyncio.wait({taking}, timeout=_END_SECONDS)
                    await self._queue.reset()
        finally:
            await self._queue.close()

    async def _take_all(self) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                job = await self._queue.take()
            except RedisAway as error:
                self._away(str(error))
            except Exception as error:
                logger.exception("job not taken", extra={"service": self._queue.name})
                self._away(type(error).__name__)
            else:
                pause_seconds = _FIRST_PAUSE_SECONDS
                self._is_back()
                if job is not None:
                    await self._settle(job)
                continue
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _settle(self, job: TakenJob) -> None:
        self._in_hand = job
        try:
            outcome = await self._outcome(job)
            if not isinstance(outcome, _Later):
                self._waiting.remove(job.id)
            await self._finish(job, outcome)
        except asyncio.CancelledError:
            # It may be done already: then it is found under its key when it is run again.
            with contextlib.suppress(RedisAway, JobLost, TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await self._queue.hand_back(job)
            raise
        finally:
            self._in_hand = None
            self._heard_at = self._now()

    async def _outcome(self, job: TakenJob) -> _Queued | _Refused | _Later:
        if job.failure is not None:
            return _Refused(job.failure)
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._enqueue(job, read_order(job.data))
            except Unreadable as error:
                return _Refused(str(error))
            except SessionsError as error:
                if not error.temporary:
                    return _Refused(error.message)
            except Exception as error:
                logger.exception("job failed unexpectedly", extra={"service": self._queue.name})
                return _Refused(f"Unexpected {type(error).__name__}; see the gateway's log.")
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _enqueue(self, job: TakenJob, order: SendOrder) -> _Queued | _Later:
        name = order.session_id or await self._session_of(order.chatbot_id or "")
        if not self._waiting.is_first(name, job.id):
            return _Later(self._waiting.add(name, job.id))
        key = idempotency_key(self._queue.name, job.id, made_at_ms=job.made_at_ms)
        text = OutgoingText(to=order.to, text=order.text)
        try:
            message = await self._manager.send(self._tenant, name, text, idempotency_key=key)
        except QueueFull:
            return _Later(self._waiting.add(name, job.id))
        except IdempotencyConflict:
            raise Unreadable(
                f"jobId: {job.id!r} was another message before. Give each message its own."
            ) from None
        except SessionNotFound:
            raise Unreadable(
                f"sessionId: there is no session {name!r}. Create it and add the job again."
            ) from None
        return _Queued(message.id)

    async def _session_of(self, chatbot_id: str) -> str:
        session = await find(self._manager, self._tenant, chatbot_id, only=None)
        if session is None:
            raise Unreadable(
                f"chatbotId: no session is for {chatbot_id!r}. Create one and add the job again."
            )
        return session.id

    async def _finish(self, job: TakenJob, outcome: _Queued | _Refused | _Later) -> None:
        """Say how a job ended, trying for as long as it is ours."""
        until = self._now() + self._paces.lock_seconds
        while True:
            try:
                await self._say(job, outcome)
            except JobLost as error:
                logger.warning("job lost", extra={"service": self._queue.name, "error": str(error)})
                return
            except RedisAway as error:
                self._away(str(error))
            else:
                return
            if self._now() > until:
                # Its lock has run out: it is run again, and found to be done.
                return
            await asyncio.sleep(_FIRST_PAUSE_SECONDS)

    async def _say(self, job: TakenJob, outcome: _Queued | _Refused | _Later) -> None:
        match outcome:
            case _Queued(message_id):
                await self._queue.complete(job, {"messageId": message_id})
            case _Refused(reason):
                logger.warning("job refused", extra={"service": self._queue.name, "error": reason})
                await self._queue.fail(job, reason)
            case _Later(seconds):
                await self._queue.postpone(job, seconds)

    async def _keep_locks(self) -> None:
        while True:
            await asyncio.sleep(self._paces.lock_seconds / 4)
            try:
                if self._in_hand is not None:
                    await self._queue.renew(self._in_hand)
                await self._queue.recover_stalled()
            except RedisAway as error:
                self._away(str(error))
            except Exception:
                logger.exception("locks not kept", extra={"service": self._queue.name})

    async def _until_stuck(self) -> None:
        """Return when jobs have waited for long and none was taken."""
        while True:
            await asyncio.sleep(self._paces.check_seconds)
            try:
                waiting = await self._queue.waiting()
            except RedisAway as error:
                self._away(str(error))
                continue
            except Exception:
                logger.exception("queue not looked at", extra={"service": self._queue.name})
                continue
            if waiting == 0 or self._in_hand is not None:
                self._heard_at = self._now()
            elif self._now() - self._heard_at > self._paces.silence_seconds:
                self._away(f"{waiting} jobs wait and none comes")
                return

    def _is_back(self) -> None:
        if self.fault is not None:
            logger.info("jobs are taken", extra={"service": self._queue.name})
        self.fault = None

    def _away(self, fault: str) -> None:
        if fault != self.fault:
            extra = {"service": self._queue.name, "error": fault}
            logger.warning("jobs can't be taken", extra=extra)
        self.fault = fault

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
