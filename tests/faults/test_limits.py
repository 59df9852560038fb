"""Too few descriptors, too little memory: load is shed, nothing aborts."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import GatewayProcess
from tests.acceptance.phones import World, link
from tests.faults.traffic import SENT, ended, eventually, send_many, send_surely, session_is

pytestmark = pytest.mark.timeout(240)

DESCRIPTORS = 256
CROWD = 400
SPARE_BYTES = 512 * 1024 * 1024


async def test_a_crowd_beyond_the_descriptors_is_shed_and_the_sessions_live(
    simulated_world: World,
) -> None:
    """Row 45, descriptors: 256 of them and 400 connections; who is in is served, later all (I9)."""
    gateway = simulated_world.gateway
    async with simulated_world.frontend() as frontend:
        await link(frontend, "support", simulated_world.phone(frontend, "support"))
        with _limited(gateway, resource.RLIMIT_NOFILE, DESCRIPTORS):
            with contextlib.ExitStack() as stack:
                for _ in range(CROWD):
                    stack.enter_context(_idle(gateway))
                await asyncio.sleep(1)  # the fault itself: so long nobody else gets in
                await _is_served(frontend, "in the crowd")
            await eventually(
                lambda: asyncio.to_thread(_answers, gateway), bool, "newcomers are served again"
            )
        await _is_served(frontend, "after it")
        frontend.assert_whole("support")


async def test_little_memory_is_enough_for_the_main_job(real_world: World) -> None:
    """Row 45, memory: half a gibibyte of address space above what it has; the main job goes on."""
    gateway = real_world.gateway
    async with real_world.frontend() as frontend:
        await link(frontend, "support", real_world.phone(frontend, "support"))
        used = psutil.Process(gateway.process.pid).memory_info().vms
        with _limited(gateway, resource.RLIMIT_AS, used + SPARE_BYTES):
            ids = await send_many(frontend, "support", [f"text {n}" for n in range(50)])
            assert set((await ended(frontend, "support", ids)).values()) <= SENT
        await session_is(frontend, "support", "CONNECTED")
        frontend.assert_whole("support")


@contextmanager
def _limited(gateway: GatewayProcess, limit: int, most: int) -> Iterator[None]:
    process = psutil.Process(gateway.process.pid)
    soft, hard = process.rlimit(limit)
    process.rlimit(limit, (most, hard))
    try:
        yield
    finally:
        process.rlimit(limit, (soft, hard))


def _idle(gateway: GatewayProcess) -> socket.socket:
    """Open a connection that says nothing; the kernel takes it even if the server can't."""
    return socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), 5)


def _answers(gateway: GatewayProcess) -> bool:
    """Tell whether a new connection gets an answer."""
    with contextlib.suppress(OSError), _idle(gateway) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b" 200 " in connection.recv(100)
    return False


async def _is_served(frontend: Frontend, text: str) -> None:
    """See that a client that was there before is served: by REST, and by events."""
    message = await send_surely(frontend, "support", text)
    await frontend.hears_status(message, "delivered")
