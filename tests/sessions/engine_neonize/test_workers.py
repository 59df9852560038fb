"""Worker processes that die, hang, wear out, or outlive their server."""

import asyncio
import os
import signal
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from sessions.errors import EngineUnavailable, SendUncertain
from sessions.messages import OutgoingText
from sessions.signals import Connected, EngineStopped, MessageReceived, QrCode
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.sessions.engine_neonize.watching import (
    ALICE,
    BOB,
    CAROL,
    Bench,
    eventually,
    is_alive,
    new_session,
    running,
)
from tests.sessions.house import until


async def test_a_killed_worker_stops_its_sessions_and_no_others(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    async with running(tmp_path / "engine", whatsapp, sessions_per_worker=2) as bench:
        await whatsapp.open_account(CAROL)
        sessions = [await bench.linked(phone) for phone in (ALICE, BOB, CAROL)]
        async with bench.open(sessions[2]) as other:
            await other.wait_for(Connected)
            others = await _hosts(bench)
            async with bench.open(sessions[0]) as first:
                await first.wait_for(Connected)
                filled = await _hosts(bench)
                assert filled == others
                async with bench.open(sessions[1]) as second:
                    await second.wait_for(Connected)
                    (pid,) = await _hosts(bench) - filled

                    os.kill(pid, signal.SIGKILL)

                    stopped = await second.wait_for(EngineStopped)
                    assert not stopped.planned
                assert first.kinds == ["connected"]
            assert other.kinds == ["connected"]

        async with bench.open(sessions[1]) as second:
            await second.wait_for(Connected)


async def test_every_session_of_a_killed_worker_is_told_and_comes_back(bench: Bench) -> None:
    sessions = [await bench.linked(phone) for phone in (ALICE, BOB)]
    async with bench.open(sessions[0]) as first, bench.open(sessions[1]) as second:
        await first.wait_for(Connected)
        await second.wait_for(Connected)
        (pid,) = await _hosts(bench)

        os.kill(pid, signal.SIGKILL)

        await first.wait_for(EngineStopped)
        await second.wait_for(EngineStopped)

    async with bench.open(sessions[0]) as first, bench.open(sessions[1]) as second:
        await first.wait_for(Connected)
        await second.wait_for(Connected)
        await bench.whatsapp.send_text(sender=BOB, to=ALICE, text="still there?")
        await first.wait_for(MessageReceived)


async def test_a_send_that_a_dying_worker_took_with_it_is_uncertain(bench: Bench) -> None:
    await bench.whatsapp.fault("slow_acks", seconds=30)
    session = await bench.linked(ALICE)
    async with bench.open(session) as watched:
        await watched.wait_for(Connected)
        (pid,) = await _hosts(bench)
        message = OutgoingText(to=f"{BOB}@s.whatsapp.net", text="did it go?")
        sending = asyncio.create_task(watched.connection.send(message))
        await bench.whatsapp.wait_until_received(BOB, "did it go?")

        os.kill(pid, signal.SIGKILL)

        with pytest.raises(SendUncertain):
            await sending


async def test_a_worn_worker_is_recycled_and_its_sessions_told(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    async with running(tmp_path / "engine", whatsapp, max_starts=1, measure_seconds=0.2) as bench:
        session = await bench.linked(ALICE)
        async with bench.open(session) as watched:
            await watched.wait_for(Connected)

            assert (await watched.wait_for(EngineStopped)).planned

        await eventually(lambda: len(bench.engine.processes()) == 1, "one spare is left")
        async with bench.open(session) as watched:
            await watched.wait_for(Connected)


async def test_a_worker_that_hangs_is_killed_and_its_sessions_told(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    async with running(
        tmp_path / "engine", whatsapp, measure_seconds=0.5, hang_seconds=3.0
    ) as bench:
        session = await bench.linked(ALICE)
        async with bench.open(session) as watched:
            await watched.wait_for(Connected)
            (pid,) = await _hosts(bench)

            os.kill(pid, signal.SIGSTOP)

            await watched.wait_for(EngineStopped)

            async def alive() -> bool:
                return is_alive(pid)

            await until(alive, lambda found: not found)


async def test_a_worker_that_can_not_start_is_told_in_a_sentence(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    empty = tmp_path / "packages" / "neonize"
    empty.mkdir(parents=True)
    (empty / "__init__.py").write_text("raise SystemExit('imported without its Go library')")
    whatsapp.environment["PYTHONPATH"] = str(tmp_path / "packages")

    async with running(tmp_path / "engine", whatsapp, turn_seconds=5.0) as bench:
        with pytest.raises(EngineUnavailable, match="no Go library for this machine"):
            async with bench.open(new_session()):
                pass


async def test_ending_the_engine_leaves_no_process(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    async with running(tmp_path / "engine", whatsapp, spare_workers=2) as bench:
        session = await bench.linked(ALICE)
        async with bench.open(session) as watched:
            await watched.wait_for(Connected)
            async with bench.open(new_session()) as pairing:
                await pairing.wait_for(QrCode)
                processes = bench.engine.processes()
                assert len(processes) >= 3

    assert not any(is_alive(pid) for pid in processes)


async def test_the_workers_of_a_killed_server_end_and_lose_nothing(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    store = tmp_path / "engine"
    async with running(store, whatsapp) as bench:
        session = await bench.linked(ALICE)
    server = await _start_server(store, session, whatsapp)
    await whatsapp.wait_until_online(ALICE)
    workers = [child.pid for child in psutil.Process(server.pid).children()]
    for text in ("one", "two", "three"):
        await whatsapp.send_text(sender=BOB, to=ALICE, text=text)
    await whatsapp.wait_until(ALICE, lambda account: not account.companions[0].queued)

    server.kill()
    await server.wait()

    await eventually(lambda: not any(map(is_alive, workers)), "the workers end")
    async with running(store, whatsapp) as bench, bench.open(session) as watched:
        await watched.wait_for(MessageReceived, count=3)
        assert watched.texts == ["one", "two", "three"]


_SERVER = """
import asyncio, sys
from pathlib import Path
from sessions.engine_neonize import NeonizeEngine

async def main():
    engine = NeonizeEngine(directory=Path(sys.argv[1]))
    serving = asyncio.create_task(engine.run())
    async with engine.open(sys.argv[2]) as connection:
        signals = connection.signals()
        await anext(signals)
        await anext(signals)
        await asyncio.Event().wait()  # commits no message

asyncio.run(main())
"""


async def _start_server(
    store: Path, session: str, whatsapp: LoopbackWhatsApp
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(_SERVER), str(store), session),
        env={**os.environ, **whatsapp.environment},
    )


async def _hosts(bench: Bench) -> set[int]:
    """Return the workers that talk to WhatsApp now."""
    return {pid for pid in bench.engine.processes() if _has_connection(pid)}


def _has_connection(pid: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return False
    return any(one.status == psutil.CONN_ESTABLISHED for one in connections)
