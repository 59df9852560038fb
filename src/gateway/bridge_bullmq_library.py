"""BullMQ's own library, and the Redis behind it: every call has its time, and one kind of failure.

Jobs are fetched and finished by hand, as the library documents, not by its worker's loop: that one
calls a job failed when only the word that it is done met a lost connection, waits for minutes on a
Redis that is away, prints to stderr, and can end without anybody hearing of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bullmq import Job, Queue, Worker
from bullmq.custom_errors import UnrecoverableError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sessions.redis_calls import FAILURES, within

_HOUR_SECONDS = 3600
_FED = {
    # As long as a job is kept, adding it again does nothing.
    "removeOnComplete": {"age": _HOUR_SECONDS, "count": 1000},
    "removeOnFail": {"age": 7 * 24 * _HOUR_SECONDS, "count": 10_000},
    # A back end that is just restarting must not lose what it was given.
    "attempts": 5,
    "backoff": {"type": "exponential", "delay": 1000},
}
_DONE = {"age": 24 * _HOUR_SECONDS, "count": 10_000}
"""How long jobs of back ends are kept that say nothing about it; failed ones are kept for ever."""
_STALLS = 1000
"""Running a job again is harmless: it never fails for having been interrupted often."""
_POLL_SECONDS = 2
"""Most that a job waits whose announcement was lost."""
_CLOSE_SECONDS = 1.0


class RedisAway(Exception):
    """Redis does not answer, or refuses; what was asked may or may not have been done."""


class JobLost(Exception):
    """The job is not ours any more: it was removed, or its lock ran out."""


@dataclass(frozen=True)
class QueueNames:
    """Where the queues are; `url` is secret: it may hold a password."""

    url: str = field(repr=False)
    prefix: str = "bull"
    send: str = "whatsapp-qr-send"
    incoming: str = "incoming-messages"


@dataclass(frozen=True)
class Paces:
    """How patient the bridge is.

    `lock_seconds`: so long is a job ours without being renewed. `call_seconds`, `take_seconds`: for
    one call of Redis, and for one that waits for a job. `silence_seconds`: so long may jobs wait
    without any being taken; looked at every `check_seconds`. `full_seconds`: when a job comes again
    whose session has too much to send.
    """

    lock_seconds: float = 30
    call_seconds: float = 5
    take_seconds: float = 20
    check_seconds: float = 10
    silence_seconds: float = 60
    full_seconds: float = 15


@dataclass(frozen=True)
class TakenJob:
    """A job that is ours to finish.

    `data` is None when it was no JSON. `failure`: what others have decided it is to fail with.
    """

    id: str
    data: Any = field(repr=False)
    made_at_ms: int
    failure: str | None
    handle: Job = field(repr=False)


class FeedQueue:
    """A queue that others take from."""

    def __init__(self, names: QueueNames, paces: Paces) -> None:
        self._seconds = paces.call_seconds
        self._redis = _client(names.url, paces)
        options = {"connection": self._redis, "prefix": names.prefix}
        self._queue = Queue(names.incoming, options)

    async def add(self, name: str, data: dict[str, Any], *, job_id: str) -> None:
        """Add a job, unless one of this id is there.

        Raises:
            RedisAway: it may or may not have been added.
        """
        async with _answering(self._seconds):
            await self._queue.add(name, data, {**_FED, "jobId": job_id})

    async def close(self) -> None:
        """Close what is open."""
        await _close(self._redis)


class SendQueue:
    """A queue that others feed. Its methods raise RedisAway; those that finish a job, JobLost."""

    def __init__(self, names: QueueNames, paces: Paces) -> None:
        self.name = names.send
        self._prefix = names.prefix
        self._paces = paces
        self._redis = _client(names.url, paces)
        self._worker = self._new_worker()
        self._numbers = count(1)

    async def take(self) -> TakenJob | None:
        """Return the next job, locked; None when there was none for a few seconds."""
        token = f"{self._worker.id}:{next(self._numbers)}"
        async with _answering(self._paces.take_seconds):
            job = await self._worker.getNextJob(token)
        if job is None:
            return None
        return TakenJob(job.id, job.data, job.timestamp, job.deferredFailure, job)

    async def complete(self, job: TakenJob, result: dict[str, Any]) -> None:
        """Call a job done; the back end reads the result."""
        job.handle.opts.setdefault("removeOnComplete", _DONE)
        async with self._finishing():
            await job.handle.moveToCompleted(result, job.handle.token)

    async def fail(self, job: TakenJob, reason: str) -> None:
        """Call a job failed, whatever attempts it has left; the back end reads the reason."""
        # No attempt and no stack trace: the library compares the one and shows the other.
        job.handle.opts |= {"attempts": 0, "stackTraceLimit": 0}
        async with self._finishing():
            await job.handle.moveToFailed(UnrecoverableError(reason), job.handle.token)

    async def postpone(self, job: TakenJob, seconds: float) -> None:
        """Let a job come again later, behind those that wait then."""
        due_ms = round((time.time() + seconds) * 1000)
        async with self._finishing():
            await job.handle.moveToDelayed(due_ms, job.handle.token)

    async def hand_back(self, job: TakenJob) -> None:
        """Let a job come again at once, before all others."""
        in_front = True
        async with self._finishing():
            await self._worker.backend.retryJob(job.id, in_front, job.handle.token)

    async def renew(self, job: TakenJob) -> None:
        """Stay the owner of a job."""
        milliseconds = _ms(self._paces.lock_seconds)
        async with _answering(self._paces.call_seconds):
            await self._worker.backend.extendLocks([job.id], [job.handle.token], milliseconds)

    async def recover_stalled(self) -> None:
        """Let jobs of dead owners come again; done once in a lock's time, by whoever is first."""
        milliseconds = _ms(self._paces.lock_seconds)
        async with _answering(self._paces.call_seconds):
            await self._worker.backend.moveStalledJobsToWait(_STALLS, milliseconds)

    async def waiting(self) -> int:
        """Return how many jobs could be taken; none while the queue is paused."""
        keys = self._worker.keys
        async with _answering(self._paces.call_seconds):
            if await self._worker.backend.isPaused():
                return 0
            waiting = await self._redis.llen(keys["wait"])
            return int(waiting + await self._redis.zcard(keys["prioritized"]))

    async def eviction(self) -> str | None:
        """Return Redis' maxmemory-policy; None when it does not say."""
        async with _answering(self._paces.call_seconds):
            policy = (await self._redis.info("memory")).get("maxmemory_policy")
        return None if policy is None else str(policy)

    async def reset(self) -> None:
        """Begin anew, on new connections."""
        await _close(self._redis)
        # In a thread: the library reads its scripts from files.
        self._worker = await asyncio.to_thread(self._new_worker)

    async def close(self) -> None:
        """Close what is open."""
        await _close(self._redis)

    def _new_worker(self) -> Worker:
        options = {
            "connection": self._redis,
            "prefix": self._prefix,
            "lockDuration": _ms(self._paces.lock_seconds),
            "drainDelay": _POLL_SECONDS,
        }
        # Without a processor it runs nothing by itself.
        return _Worker(self.name, None, options)

    @asynccontextmanager
    async def _finishing(self) -> AsyncIterator[None]:
        try:
            async with _answering(self._paces.call_seconds):
                yield
        except TypeError as error:
            # So the library tells that a job or its lock is missing.
            raise JobLost(str(error)) from None


class _Worker(Worker):  # type: ignore[misc]  # the library is not typed
    """Hands out jobs; also those that can't be read, which it would lock and forget."""

    async def nextJobFromJobData(  # noqa: N802 - the library's name
        self,
        job_data: dict[str, str] | None = None,
        job_id: str | None = None,
        limit_until: int = 0,
        delay_until: int = 0,
        token: str | None = None,
    ) -> Job | None:
        position = limit_until, delay_until, token
        try:
            return await super().nextJobFromJobData(job_data, job_id, *position)
        except (ValueError, TypeError, AttributeError):
            unreadable = Job(self, "", None, {}, job_id)
            unreadable.token = token
            return unreadable


def _client(url: str, paces: Paces) -> Redis:
    return Redis.from_url(
        url,
        decode_responses=True,
        # What is no UTF-8 becomes no JSON, which is refused; an error would come again for ever.
        encoding_errors="backslashreplace",
        socket_connect_timeout=paces.call_seconds,
        # Callers try again, and know when to.
        retry=Retry(NoBackoff(), 0),
    )


@asynccontextmanager
async def _answering(seconds: float) -> AsyncIterator[None]:
    try:
        async with within(seconds):
            yield
    except TimeoutError:
        raise RedisAway(f"no answer within {seconds:g} s") from None
    except FAILURES as error:
        raise RedisAway(f"{type(error).__name__}: {error}"[:300]) from None


async def _close(redis: Redis) -> None:
    try:
        async with within(_CLOSE_SECONDS):
            await redis.aclose()
    except FAILURES:
        return


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
