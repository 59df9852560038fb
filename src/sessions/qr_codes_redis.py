"""The QR codes that every replica can show: a Redis key per session, with the code's own expiry."""

import logging
from collections.abc import Awaitable
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from redis.asyncio import Redis

from sessions.clock import Clock, to_ms
from sessions.ids import SessionId
from sessions.qr_codes import CurrentQr
from sessions.qr_codes_memory import MemoryQrCodes
from sessions.redis_calls import FAILURES, within

CALL_SECONDS = 2.0

_log = logging.getLogger(__name__)


class RedisQrCodes:
    """`QrCodes` in Redis; while it fails, this process shows the codes that it put itself.

    No call raises for Redis: a pairing must not fail for want of a copy of its code.

    Args:
        redis: a client of the caller's, who closes it.
        clock: says which codes are still valid.
        prefix: what every key begins with; replicas of one deployment share it.
    """

    def __init__(self, redis: Redis, clock: Clock, *, prefix: str = "wagate:qr:") -> None:
        self._redis = redis
        self._clock = clock
        self._prefix = prefix
        self._local = MemoryQrCodes(clock)
        self._ahead: dict[SessionId, datetime] = {}
        """Until then what is here is newer than what Redis holds: it did not take it."""

    async def put(self, session: SessionId, qr: CurrentQr) -> None:
        """Replace the session's code; it expires by itself at `qr.expires_at`."""
        await self._local.put(session, qr)
        value = qr.model_dump_json(by_alias=True)
        call = self._redis.set(self._key(session), value, pxat=to_ms(qr.expires_at))
        await self._write(session, call, until=qr.expires_at)

    async def get(self, session: SessionId) -> CurrentQr | None:
        """Return the code that can be scanned now, None if there is none."""
        if session in self._ahead and self._clock.now() < self._ahead[session]:
            return await self._local.get(session)
        self._ahead.pop(session, None)
        try:
            async with within(CALL_SECONDS):
                value = await self._redis.get(self._key(session))
        except FAILURES as error:
            _log.warning("Redis gives no QR codes: %s", type(error).__name__)
            return await self._local.get(session)
        return self._read(value)

    async def remove(self, session: SessionId) -> None:
        """Forget the session's code. Idempotent."""
        qr = await self._local.get(session)
        await self._local.remove(session)
        until = self._clock.now() if qr is None else qr.expires_at
        await self._write(session, self._redis.delete(self._key(session)), until=until)

    async def _write(self, session: SessionId, call: Awaitable[Any], *, until: datetime) -> None:
        try:
            async with within(CALL_SECONDS):
                await call
        except FAILURES as error:
            self._ahead[session] = until
            # Only its kind: a command's text holds the code.
            _log.warning("Redis takes no QR codes: %s", type(error).__name__)
        else:
            self._ahead.pop(session, None)

    def _read(self, value: Any) -> CurrentQr | None:
        if value is None:
            return None
        try:
            qr = CurrentQr.model_validate_json(value)
        except ValidationError:
            _log.warning("Redis holds something else under a QR code's key")
            return None
        return qr if qr.valid_at(self._clock.now()) else None

    def _key(self, session: SessionId) -> str:
        return f"{self._prefix}{session}"
