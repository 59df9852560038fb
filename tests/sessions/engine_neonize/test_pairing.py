"""How a session is linked: by QR code, by pairing code, or not."""

import asyncio
import time

import psutil

from sessions.engine import Connection
from sessions.ids import SessionId
from sessions.messages import OutgoingText
from sessions.signals import Connected, Paired, QrCode, QrExhausted
from tests.sessions.engine_neonize.watching import (
    ALICE,
    BOB,
    CAROL,
    Bench,
    eventually,
    is_alive,
    new_session,
)


async def test_scanning_the_code_connects_the_account(bench: Bench) -> None:
    session = new_session()
    assert not await bench.is_linked(session)

    async with bench.pair(ALICE, session) as watched:
        assert watched.kinds == ["qr_code", "paired", "connected"]
        assert watched.all(Paired)[0].jid == f"{ALICE}@s.whatsapp.net"
        connected = watched.all(Connected)[0]
        assert (connected.jid, connected.phone) == (f"{ALICE}@s.whatsapp.net", ALICE)
        assert connected.lid == (await bench.whatsapp.account(ALICE)).lid

    assert await bench.is_linked(session)


async def test_the_first_code_shows_for_a_minute(bench: Bench) -> None:
    async with bench.open(new_session()) as watched:
        code = await watched.wait_for(QrCode)

    seconds = code.expires_at_ms / 1000 - time.time()
    assert 40 < seconds <= 60


async def test_a_session_opened_again_connects_without_a_code(bench: Bench) -> None:
    session = await bench.linked(ALICE)

    async with bench.open(session) as watched:
        await watched.wait_for(Connected)
        assert watched.kinds == ["connected"]
        await bench.whatsapp.wait_until_online(ALICE)

    await bench.whatsapp.wait_until_offline(ALICE)


async def test_a_pairing_code_connects_the_account(bench: Bench) -> None:
    async with bench.open(new_session()) as watched:
        await watched.wait_for(QrCode)
        code = await watched.connection.pair_phone(ALICE)
        assert time.time() + 100 < code.expires_at.timestamp() < time.time() + 161

        await bench.whatsapp.enter_code(code.code, ALICE)

        assert (await watched.wait_for(Connected)).phone == ALICE


async def test_sessions_pair_at_once_while_another_one_sends(bench: Bench) -> None:
    first, second = new_session(), new_session()
    await bench.whatsapp.open_account(CAROL)

    async with bench.pair(CAROL, new_session()) as sender:
        async with asyncio.TaskGroup() as tasks:
            pairing = [
                tasks.create_task(_pair_and_leave(bench, phone, session))
                for phone, session in ((ALICE, first), (BOB, second))
            ]
            sent = 0
            while not all(task.done() for task in pairing):
                await _say(sender.connection, f"{sent}")
                sent += 1

        received = [message.text for message in await bench.whatsapp.received(BOB)]
        assert received == [f"{number}" for number in range(sent)]
    assert await bench.is_linked(first)
    assert await bench.is_linked(second)


async def test_codes_nobody_scans_end_the_connection(bench: Bench) -> None:
    await bench.whatsapp.fault("qr_refs", count=1)

    async with bench.open(new_session()) as watched:
        await watched.wait_for(QrCode)
        await eventually(lambda: bool(watched.all(QrExhausted)), "the codes are used up")

        assert watched.kinds == ["qr_code", "qr_exhausted"]


async def test_leaving_while_the_code_shows_leaves_nothing_behind(bench: Bench) -> None:
    async with bench.open(new_session()) as watched:
        await watched.wait_for(QrCode)
    await eventually(lambda: len(bench.engine.processes()) == 1, "one spare is left")
    before, files = set(bench.engine.processes()), _descriptors()

    for _ in range(3):
        async with bench.open(new_session()) as watched:
            await watched.wait_for(QrCode)
            ours = set(bench.engine.processes())
        await eventually(lambda: len(bench.engine.processes()) == 1, "one spare is left")
        before |= ours

    gone = before - set(bench.engine.processes())
    assert len(gone) >= 3
    assert not any(is_alive(pid) for pid in gone)
    assert _descriptors() == files


async def _pair_and_leave(bench: Bench, phone: str, session: SessionId) -> None:
    async with bench.pair(phone, session):
        pass


async def _say(connection: Connection, text: str) -> None:
    await connection.send(OutgoingText(to=f"{BOB}@s.whatsapp.net", text=text))


def _descriptors() -> int:
    return psutil.Process().num_fds()
