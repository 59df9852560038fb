"""Processes that die while messages go both ways."""

import asyncio
import re
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import send_signal
from tests.acceptance.phones import FRIEND, World, link, running_world
from tests.acceptance.test_faults import gone
from tests.faults.traffic import (
    ended,
    eventually,
    hears_all,
    send_many,
    send_surely,
    session_is,
    status,
    told_texts,
    write_many,
)
from tests.loopback_whatsapp.client import LoopbackWhatsApp

pytestmark = pytest.mark.timeout(300)

LIBRARY_QUEUE_MESSAGES = 100 + 2
"""The library's channel between its decryption and its callbacks, and one message in hand at each
of its ends: decrypted and waiting for room, taken out and not yet with us."""
BACK_SECONDS = 40.0


def texts(what: str, count: int) -> list[str]:
    """Return so many different texts."""
    return [f"{what} {number}" for number in range(count)]


async def friend_has_once(whatsapp: LoopbackWhatsApp, wanted: dict[str, str]) -> None:
    """See that the friend got each text at most once, and those that are said to be sent."""
    received = [message.text for message in await whatsapp.received(FRIEND)]
    assert len(received) == len(set(received)), "the friend got a message twice"
    for text, state in wanted.items():
        assert state == "unknown" or text in received, f"{text!r} is {state}"


async def test_a_gateway_killed_under_load_loses_and_repeats_nothing(real_world: World) -> None:
    """Row 1: `kill -9` of the gateway; clients resume by cursor (I1, I2, I3, I6)."""
    assert real_world.whatsapp is not None
    gateway = real_world.gateway
    async with real_world.frontend() as frontend, real_world.frontend() as witness:
        phone = real_world.phone(frontend, "support")
        await link(frontend, "support", phone)
        await witness.follow("support")
        written, sent = texts("question", 60), texts("answer", 30)
        writing = asyncio.create_task(write_many(phone, written, gap_seconds=0.02))
        sending = asyncio.create_task(send_many(frontend, "support", sent))
        for _ in range(2):
            heard = len(told_texts(frontend, "support"))
            await _hears_more(frontend, heard + 10)
            await gateway.kill()
            await gateway.start()
        await writing
        ids = await sending
        await session_is(frontend, "support", "CONNECTED")
        await hears_all(frontend, "support", written)
        states = await ended(frontend, "support", ids)
        await friend_has_once(real_world.whatsapp, states)
        assert told_texts(frontend, "support") == written
        # At most the one send that each kill met.
        assert list(states.values()).count("unknown") <= 2
        await hears_all(witness, "support", written[-10:])
        frontend.assert_whole("support")


async def _hears_more(frontend: Frontend, count: int) -> None:
    async def heard() -> int:
        return len(told_texts(frontend, "support"))

    await eventually(heard, lambda found: found >= count, f"{count} messages are heard")


async def test_a_worker_killed_at_rest_costs_a_reconnect_only(real_world: World) -> None:
    """Row 2: `kill -9` of an engine worker; a new one within 40 s, the outbox goes on (I1, I6)."""
    assert real_world.whatsapp is not None
    async with real_world.frontend() as frontend:
        phone = real_world.phone(frontend, "support")
        await link(frontend, "support", phone)
        await write_many(phone, texts("before", 10))
        await hears_all(frontend, "support", texts("before", 10))
        (worker,) = real_world.gateway.connected_workers()
        mark = frontend.mark()
        send_signal(worker, signal.SIGKILL)
        ids = await send_many(frontend, "support", texts("answer", 5))
        await write_many(phone, texts("meanwhile", 10))
        await frontend.hears("support", "session:connected", since=mark, seconds=BACK_SECONDS)
        written = [*texts("before", 10), *texts("meanwhile", 10)]
        await hears_all(frontend, "support", written)
        assert told_texts(frontend, "support") == written
        states = await ended(frontend, "support", ids)
        assert list(states.values()).count("unknown") <= 1
        await friend_has_once(real_world.whatsapp, states)
        frontend.assert_whole("support")


async def test_a_worker_killed_in_a_burst_loses_no_more_than_its_library_held(
    real_world: World, record_property: Callable[[str, object], None]
) -> None:
    """Row 3: `kill -9` of a worker mid-burst; the loss is bounded, measured, and documented."""
    assert real_world.whatsapp is not None
    async with real_world.frontend() as frontend:
        phone = real_world.phone(frontend, "support", "15550001111")
        await link(frontend, "support", phone)
        written = texts("burst", 150)
        writing = asyncio.create_task(write_many(phone, written))
        await _hears_more(frontend, 20)
        for worker in real_world.gateway.connected_workers():
            send_signal(worker, signal.SIGKILL)
        await writing
        # Acknowledged at WhatsApp, so that nothing of it can come any more.
        await real_world.whatsapp.wait_until(
            "15550001111", lambda account: not account.companions[0].queued, BACK_SECONDS
        )
        await phone.is_written_to("the last")
        await hears_all(frontend, "support", ["the last"])
        heard = told_texts(frontend, "support")
        lost = [text for text in written if text not in heard]
        record_property("lost_in_the_library", len(lost))
        assert len(lost) <= LIBRARY_QUEUE_MESSAGES
        assert heard[:-1] == [text for text in written if text in heard], "out of order"
        frontend.assert_whole("support")
    guarantees = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text()
    promised_not = guarantees.partition("## Not promised")[2]
    assert re.search(r"inside the engine library at a kill of its worker", promised_not)


async def test_an_aborted_worker_disturbs_no_other_session(tmp_path: Path) -> None:
    """Row 4: a worker aborts as Go does (SIGABRT); only its own sessions are disconnected."""
    settings = {"WAGATE_ENGINE_SESSIONS_PER_WORKER": "1"}
    async with (
        running_world("neonize", tmp_path, settings=settings) as world,
        world.frontend() as frontend,
    ):
        for name, number in (("one", "15550001111"), ("two", "15550002222")):
            await link(frontend, name, world.phone(frontend, name, number))
        workers = await eventually(
            lambda: asyncio.to_thread(world.gateway.connected_workers),
            lambda found: len(found) == 2,
            "each session has a worker of its own",
        )
        mark = frontend.mark()
        send_signal(workers[0], signal.SIGABRT)
        hit, spared = await _first_to_fall(frontend, mark)
        await frontend.hears(hit, "session:connected", since=mark, seconds=BACK_SECONDS)
        for name in (hit, spared):
            await frontend.hears_status(await send_surely(frontend, name, f"of {name}"), "sent")
        assert frontend.events(spared, "session:disconnected", "session:error") == []
        assert len(frontend.events(hit, "session:disconnected")) == 1
        frontend.assert_whole(hit)
        frontend.assert_whole(spared)


async def _first_to_fall(frontend: Frontend, mark: int) -> tuple[str, str]:
    async def fallen() -> list[str]:
        return [
            event["sessionId"]
            for name, event in frontend.heard[mark:]
            if name == "session:disconnected"
        ]

    (hit, *_) = await eventually(fallen, bool, "a session is told to be disconnected")
    return hit, "one" if hit == "two" else "two"


async def test_workers_end_with_their_server_and_leave_no_stream(real_world: World) -> None:
    """Row 8: the process that supervises dies; its workers exit, WhatsApp sees nobody (I4)."""
    assert real_world.whatsapp is not None
    async with real_world.frontend() as frontend:
        await link(frontend, "support", real_world.phone(frontend, "support"))
    gateway = real_world.gateway
    workers = gateway.workers()
    assert workers
    await gateway.kill()
    await gone(workers)
    await eventually(real_world.whatsapp.connections, lambda open_: open_ == 0, "no stream is left")


async def test_a_send_that_a_kill_met_is_unknown_and_not_repeated(real_world: World) -> None:
    """Row 34: killed between WhatsApp's acceptance and our record; `unknown`, not re-sent (I6)."""
    assert real_world.whatsapp is not None
    async with real_world.frontend() as frontend:
        await link(frontend, "support", real_world.phone(frontend, "support"))
        await real_world.whatsapp.fault("slow_acks", seconds=60)
        message = await send_surely(frontend, "support", "did it go?")
        await real_world.whatsapp.wait_until_received(FRIEND, "did it go?", 30)
        await real_world.gateway.kill()
        await real_world.whatsapp.fault("clear")
        await real_world.gateway.start()
        await session_is(frontend, "support", "CONNECTED")
        following = await send_surely(frontend, "support", "and this one?")
        await frontend.hears_status(following, "delivered")
        assert await status(frontend, "support", message) == "unknown"
        received = [message.text for message in await real_world.whatsapp.received(FRIEND)]
        assert received == ["did it go?", "and this one?"]
        path = f"/whatsapp/support/messages/{message}/resolve"
        resolved = await frontend.call("POST", path, expect=200, action="failed")
        assert resolved["status"] == "failed"


async def test_a_stopped_gateway_that_goes_on_has_missed_nothing(real_world: World) -> None:
    """Row 6: SIGSTOP of the gateway for a while, then SIGCONT; it catches up, with no conflict."""
    async with real_world.frontend() as frontend:
        phone = real_world.phone(frontend, "support")
        await link(frontend, "support", phone)
        process = psutil.Process(real_world.gateway.process.pid)
        send_signal(process, signal.SIGSTOP)
        try:
            await write_many(phone, texts("while it stands", 20))
            await asyncio.sleep(3)  # the fault itself: so long it stands
        finally:
            send_signal(process, signal.SIGCONT)
        await hears_all(frontend, "support", texts("while it stands", 20))
        assert told_texts(frontend, "support") == texts("while it stands", 20)
        await session_is(frontend, "support", "CONNECTED")
        frontend.assert_whole("support")
