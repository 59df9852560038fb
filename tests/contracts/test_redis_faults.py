"""What the Redis adapters do while Redis is away, deaf or half there."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from sessions.bus_redis import RedisBus
from sessions.clock import SystemClock
from sessions.ids import SessionId
from sessions.qr_codes import CurrentQr
from sessions.qr_codes_redis import RedisQrCodes
from tests.contracts.conftest import running
from tests.contracts.tcp_proxy import TcpProxy
from tests.services import RedisServer
from tests.sessions.engine_neonize.watching import eventually
from tests.sessions.house import until

SECRET = "2@a-code-that-nobody-may-read-in-a-log"


def quick(redis: Redis) -> RedisBus:
    """Return a bus that notices soon."""
    return RedisBus(redis, heartbeat_seconds=0.1, silence_seconds=0.5)


@pytest.fixture
async def own_redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of the server that the test may harm."""
    async with Redis.from_url(redis_server.url) as client:
        yield client


async def ask(publisher: RedisBus) -> None:
    """Publish again and again."""
    while True:
        await publisher.publish("session.1", b"are you there?")
        await asyncio.sleep(0.05)


async def hears(listener: RedisBus, publisher: RedisBus, *, seconds: float) -> float:
    """Publish until the other bus hears it; return after how many seconds it did."""
    started = time.monotonic()
    async with listener.subscribe("session.1") as payloads, asyncio.timeout(seconds):
        asking = asyncio.create_task(ask(publisher))
        try:
            await anext(payloads)
        finally:
            asking.cancel()
    return time.monotonic() - started


async def test_a_bus_is_heard_again_after_redis_was_killed(
    redis_server: RedisServer, own_redis: Redis
) -> None:
    one, two = quick(own_redis), quick(own_redis)
    async with running(one, two):
        assert await hears(two, one, seconds=2) < 2
        redis_server.kill()
        await eventually(lambda: not one.connected, "the loss is noticed")

        await asyncio.to_thread(redis_server.start)

        await hears(two, one, seconds=15)
        await hears(one, two, seconds=15)


async def test_a_process_hears_itself_and_waits_for_nothing_without_redis(
    redis_server: RedisServer, own_redis: Redis
) -> None:
    bus = quick(own_redis)
    async with running(bus):
        redis_server.kill()
        await eventually(lambda: not bus.connected, "the loss is noticed")
        started = time.monotonic()
        async with bus.subscribe("session.1") as payloads:
            for number in range(100):
                await bus.publish("session.1", b"%d" % number)
            assert [await anext(payloads) for _ in range(100)][-1] == b"99"
        assert time.monotonic() - started < 1


async def test_a_half_open_connection_is_found_by_its_silence(
    redis_server: RedisServer, own_redis: Redis
) -> None:
    async with (
        TcpProxy.to(redis_server.port) as proxy,
        Redis.from_url(f"redis://127.0.0.1:{proxy.port}/0") as behind_proxy,
    ):
        listener, publisher = quick(behind_proxy), quick(own_redis)
        async with running(listener, publisher):
            await hears(listener, publisher, seconds=2)
            proxy.freeze()
            with pytest.raises(TimeoutError):
                await hears(listener, publisher, seconds=0.2)

            assert await hears(listener, publisher, seconds=5) < 5


async def test_a_frozen_redis_holds_no_publisher_up(
    redis_server: RedisServer, own_redis: Redis
) -> None:
    one, two = quick(own_redis), quick(own_redis)
    async with running(one, two):
        await hears(two, one, seconds=2)
        redis_server.freeze()
        try:
            started = time.monotonic()
            for _ in range(1000):
                await one.publish("session.1", b"x" * 1000)
            assert time.monotonic() - started < 1
        finally:
            redis_server.thaw()
        await hears(two, one, seconds=15)


@pytest.mark.parametrize("harm", ["freeze", "kill", "thaw"])
async def test_a_bus_ends_when_it_is_cancelled_whatever_redis_does(
    redis_server: RedisServer, own_redis: Redis, harm: str
) -> None:
    bus = quick(own_redis)
    serving = asyncio.create_task(bus.run())
    await eventually(lambda: bus.connected, "the bus is connected")
    getattr(redis_server, harm)()
    await bus.publish("session.1", b"on its way")
    await asyncio.sleep(0)
    serving.cancel()

    done, _ = await asyncio.wait([serving], timeout=3)

    assert done == {serving}


def showing(code: str = SECRET, *, seconds: float = 60) -> CurrentQr:
    """Return a code that can be scanned for so long."""
    expires_at = SystemClock().now() + timedelta(seconds=seconds)
    return CurrentQr(code=code, attempt=1, max_attempts=3, expires_at=expires_at)


async def test_pairing_goes_on_without_redis(
    redis_server: RedisServer,
    own_redis: Redis,
    session: SessionId,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    codes = RedisQrCodes(own_redis, SystemClock())
    await codes.put(session, showing("2@before"))
    redis_server.kill()
    qr = showing()

    await codes.put(session, qr)
    assert await codes.get(session) == qr
    await codes.remove(session)
    assert await codes.get(session) is None

    assert "Redis takes no QR codes" in caplog.text
    assert SECRET not in caplog.text
    assert "2@before" not in caplog.text


async def test_what_redis_missed_counts_until_it_expires(
    redis_server: RedisServer, own_redis: Redis, session: SessionId
) -> None:
    clock = SystemClock()
    codes, other = RedisQrCodes(own_redis, clock), RedisQrCodes(own_redis, clock)
    redis_server.kill()
    missed = showing("2@missed", seconds=1)
    await codes.put(session, missed)
    await asyncio.to_thread(redis_server.start)
    assert await codes.get(session) == missed

    # Another replica took the session over and put its own.
    newer = showing("2@newer")
    await other.put(session, newer)
    await until(lambda: codes.get(session), lambda shown: shown == newer)


async def test_a_frozen_redis_delays_a_code_by_two_seconds_at_most(
    redis_server: RedisServer, own_redis: Redis, session: SessionId
) -> None:
    codes = RedisQrCodes(own_redis, SystemClock())
    await codes.put(session, showing())
    redis_server.freeze()
    try:
        started = time.monotonic()
        qr = showing("2@next")
        await codes.put(session, qr)
        assert await codes.get(session) == qr
        assert time.monotonic() - started < 3
    finally:
        redis_server.thaw()


async def test_a_code_expires_in_redis_too(
    redis: Redis, redis_prefix: str, session: SessionId
) -> None:
    codes = RedisQrCodes(redis, SystemClock(), prefix=redis_prefix)
    await codes.put(session, showing(seconds=30))

    assert 29_000 < await redis.pttl(f"{redis_prefix}{session}") <= 30_000
    await codes.remove(session)
    assert await redis.exists(f"{redis_prefix}{session}") == 0


async def test_something_else_under_a_codes_key_is_no_code(
    redis: Redis, redis_prefix: str, session: SessionId
) -> None:
    codes = RedisQrCodes(redis, SystemClock(), prefix=redis_prefix)
    for value in (b"\xff", b"[]", b'{"code": 1}'):
        await redis.set(f"{redis_prefix}{session}", value)
        assert await codes.get(session) is None
    await redis.delete(f"{redis_prefix}{session}")
    await redis.rpush(f"{redis_prefix}{session}", "a list")
    assert await codes.get(session) is None
