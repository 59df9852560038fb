"""Death of processes in the middle of the main job: nothing is lost, nothing comes twice."""

import asyncio
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from tests.acceptance.frontend import Event, Frontend
from tests.acceptance.gateway_process import send_signal
from tests.acceptance.phones import Phone, World, link
from tests.acceptance.test_flow import send

pytestmark = pytest.mark.timeout(180)


async def test_a_killed_engine_worker_is_replaced_and_nothing_is_lost(real_world: World) -> None:
    world = real_world
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support")
        await link(frontend, "support", phone)
        await write_and_hear(frontend, phone, "before")
        mark = frontend.mark()
        (worker,) = world.gateway.connected_workers()
        send_signal(worker, signal.SIGKILL)
        await phone.is_written_to("while it is dead")
        lost = await frontend.hears("support", "session:disconnected", since=mark)
        assert (lost["reason"], lost["willReconnect"]) == ("engine_stopped", True)
        await frontend.hears("support", "session:connected", since=mark, seconds=40)
        await frontend.hears("support", "session:message", said("while it is dead"))
        message = await send(frontend, "support", "we are back")
        await phone.friend_has("we are back")
        await frontend.hears_status(message, "delivered")
        assert "qr" not in [name for name, _ in frontend.heard[mark:]]
        assert texts(frontend) == ["before", "while it is dead"]
        frontend.assert_whole("support")


async def test_a_killed_gateway_starts_again_and_takes_up_its_sessions(world: World) -> None:
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support")
        await link(frontend, "support", phone)
        await write_and_hear(frontend, phone, "before")
        workers = world.gateway.workers()
        await world.gateway.kill()
        await gone(workers)
        if world.whatsapp is not None:
            await phone.is_written_to("while it was dead")
        mark = frontend.mark()
        await world.gateway.start()
        await frontend.hears("support", "session:connected", since=mark, seconds=40)
        await write_and_hear(frontend, phone, "after")
        message = await send(frontend, "support", "we are back")
        await phone.friend_has("we are back")
        await frontend.hears_status(message, "delivered")
        meanwhile = ["while it was dead"] if world.whatsapp is not None else []
        assert texts(frontend) == ["before", *meanwhile, "after"]
        assert "qr" not in [name for name, _ in frontend.heard[mark:]]
        frontend.assert_whole("support")


async def test_an_orderly_end_leaves_no_process_and_the_next_start_resumes(world: World) -> None:
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support")
        await link(frontend, "support", phone)
        workers = world.gateway.workers()
        started_at = time.monotonic()
        assert await world.gateway.stop() == 0
        assert time.monotonic() - started_at < 10
        assert [worker for worker in workers if worker.is_running()] == []
        mark = frontend.mark()
        await world.gateway.start()
        await frontend.hears("support", "session:connected", since=mark, seconds=40)
        await write_and_hear(frontend, phone, "after")
        frontend.assert_whole("support")


async def write_and_hear(frontend: Frontend, phone: Phone, text: str) -> None:
    """Have the friend write, and wait for the event."""
    await phone.is_written_to(text)
    await frontend.hears("support", "session:message", said(text))


def said(text: str) -> Callable[[Event], bool]:
    """Return the test whether an event carries this text."""
    return lambda event: event["message"]["message"] == text


def texts(frontend: Frontend) -> list[str]:
    """Return what was written to the session, as it was heard."""
    return [event["message"]["message"] for event in frontend.events("support", "session:message")]


async def gone(processes: list[psutil.Process]) -> None:
    """Wait until processes have ended: they must not outlive their server."""
    deadline = time.monotonic() + 15
    while any(process.is_running() for process in processes):
        assert time.monotonic() < deadline, "an engine worker outlives its server"
        await asyncio.sleep(0.05)
