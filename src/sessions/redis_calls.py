"""Calls of redis-py, bounded in time and cancellable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

FAILURES = (RedisError, OSError, TimeoutError)
"""What a call raises when Redis is away, slow or refuses."""


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Give the calls in the block so long.

    redis-py writes by `asyncio.wait_for`, which in Python 3.11 swallows a cancellation that meets
    the end of the write: a task could never be stopped. So it is looked for, and raised again.

    Raises:
        TimeoutError: they took longer.
    """
    before = _cancellations()
    try:
        async with asyncio.timeout(seconds):
            yield
    finally:
        if _cancellations() > before:
            raise asyncio.CancelledError


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
