"""Each port's implementations, by the name of the fixture that a suite runs on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sessions.bus import Bus
from sessions.bus_memory import MemoryBus
from sessions.bus_redis import RedisBus
from sessions.clock import SystemClock
from sessions.ids import SessionId, new_uuid
from sessions.qr_codes import QrCodes
from sessions.qr_codes_memory import MemoryQrCodes
from sessions.qr_codes_redis import RedisQrCodes
from tests.contracts.microservice_world import MicroserviceWorld
from tests.contracts.worlds import ALICE, BOB, NeonizeWorld, SimulatorWorld, World
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.sessions.engine_neonize.watching import eventually

BUFFER_SIZE = 10


@pytest.fixture
def session() -> SessionId:
    """A session that nobody used yet."""
    return SessionId(new_uuid())


@pytest.fixture(params=["simulator", "neonize", "microservice"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """An engine that runs, and the phones at its other end."""
    async with AsyncExitStack() as stack:
        world = await _world(request.param, tmp_path, stack)
        await world.start()
        yield world
        await world.end()


async def _world(
    name: str, directory: Path, stack: AsyncExitStack
) -> SimulatorWorld | NeonizeWorld | MicroserviceWorld:
    if name == "simulator":
        return SimulatorWorld(directory / "engine")
    if name == "microservice":
        return await stack.enter_async_context(MicroserviceWorld.set_up(directory / "engine"))
    whatsapp = await stack.enter_async_context(LoopbackWhatsApp.start(directory / "whatsapp"))
    await whatsapp.open_account(ALICE, "Alice", push_name="Alice")
    await whatsapp.open_account(BOB, "Bob")
    return NeonizeWorld(directory / "engine", whatsapp)


@dataclass
class Buses:
    """Where to publish and where to subscribe: one bus, or two that share what they carry."""

    publisher: Bus
    subscriber: Bus


@asynccontextmanager
async def running(*buses: RedisBus) -> AsyncIterator[None]:
    """Run Redis buses until the block is left; returns when they hear each other."""
    tasks = [asyncio.create_task(bus.run()) for bus in buses]
    try:
        await eventually(lambda: all(bus.connected for bus in buses), "the buses are connected")
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture(params=["memory", "redis", "two replicas on redis"])
async def buses(request: pytest.FixtureRequest) -> AsyncIterator[Buses]:
    """A bus that runs."""
    if request.param == "memory":
        bus = MemoryBus(buffer_size=BUFFER_SIZE)
        yield Buses(bus, bus)
        return
    prefix: str = request.getfixturevalue("redis_prefix")
    async with Redis.from_url(request.getfixturevalue("redis_url")) as redis:
        first = RedisBus(redis, prefix=prefix, buffer_size=BUFFER_SIZE)
        second = RedisBus(redis, prefix=prefix, buffer_size=BUFFER_SIZE)
        if request.param == "redis":
            second = first
        async with running(*{first, second}):
            yield Buses(first, second)


@dataclass
class Codes:
    """Where to put and where to look: one keeper of codes, or two that share what they keep."""

    owner: QrCodes
    other: QrCodes


@pytest.fixture(params=["memory", "redis", "two replicas on redis"])
async def codes(request: pytest.FixtureRequest) -> AsyncIterator[Codes]:
    """A keeper of QR codes."""
    clock = SystemClock()
    if request.param == "memory":
        kept = MemoryQrCodes(clock)
        yield Codes(kept, kept)
        return
    prefix: str = request.getfixturevalue("redis_prefix")
    async with Redis.from_url(request.getfixturevalue("redis_url")) as redis:
        owner = RedisQrCodes(redis, clock, prefix=prefix)
        other = owner if request.param == "redis" else RedisQrCodes(redis, clock, prefix=prefix)
        yield Codes(owner, other)
