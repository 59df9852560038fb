"""A database that is killed, full, or held by somebody else: said so, never corrupted."""

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import GatewayProcess
from tests.acceptance.phones import World, link, running_world
from tests.faults.traffic import (
    SENT,
    ended,
    eventually,
    post_text,
    send_many,
    send_surely,
    session_is,
)

pytestmark = pytest.mark.timeout(240)

FILLING = "x" * 60_000
DISK_BYTES = 32_000_000
ROOM_BYTES = 6_000_000


async def test_a_kill_in_the_middle_of_commits_leaves_a_sound_database(
    simulated_world: World,
) -> None:
    """Row 26, kill: `kill -9` under commits, three times; integrity holds, nothing is lost."""
    gateway = simulated_world.gateway
    async with simulated_world.frontend() as frontend:
        await link(frontend, "support", simulated_world.phone(frontend, "support"))
        ids: dict[str, str] = {}
        for life in range(3):
            texts = [f"text {life} {number}" for number in range(20)]
            sending = asyncio.create_task(send_many(frontend, "support", texts))
            await _accepted(frontend, life * 20 + 7)
            await gateway.kill()
            assert _integrity(gateway) == "ok"
            await gateway.start()
            ids |= await sending
        await session_is(frontend, "support", "CONNECTED")
        states = await ended(frontend, "support", ids)
        assert len(states) == 60
        assert list(states.values()).count("unknown") <= 3
        frontend.assert_whole("support")


async def _accepted(frontend: Frontend, count: int) -> None:
    async def stored() -> int:
        page = await frontend.call("GET", "/whatsapp/support/messages?limit=200", expect=200)
        return len(page["items"])

    await eventually(stored, lambda found: found >= count, f"{count} messages are accepted")


def _integrity(gateway: GatewayProcess) -> str:
    file = gateway.directory / "data" / "wagate.db"
    with sqlite3.connect(file) as database:
        (found,) = database.execute("PRAGMA integrity_check").fetchone()
    database.close()
    return str(found)


async def test_a_file_that_may_not_grow_is_503_and_recovers(simulated_world: World) -> None:
    """Row 26, full: the operating system refuses more bytes; 503 with a reason, then it goes on."""
    gateway = simulated_world.gateway
    async with simulated_world.frontend() as frontend:
        await link(frontend, "support", simulated_world.phone(frontend, "support"))
        accepted = {"before": await send_surely(frontend, "support", "before")}
        with _no_larger_files(gateway):
            await _fills_up(frontend)
        accepted["after"] = await send_surely(frontend, "support", "after")
        await _is_ready(frontend)
        assert set((await ended(frontend, "support", accepted)).values()) <= SENT
        assert _integrity(gateway) == "ok"
        frontend.assert_whole("support")


@contextmanager
def _no_larger_files(gateway: GatewayProcess) -> Iterator[None]:
    process = psutil.Process(gateway.process.pid)
    soft, hard = process.rlimit(resource.RLIMIT_FSIZE)
    grown = max(file.stat().st_size for file in (gateway.directory / "data").glob("wagate.db*"))
    process.rlimit(resource.RLIMIT_FSIZE, (grown + 100_000, hard))
    try:
        yield
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def _fills_up(frontend: Frontend) -> None:
    """Send until it is refused: as unavailable, with a sentence; and not ready says why."""
    for number in range(400):
        answer = await post_text(frontend, "support", f"{number} {FILLING}")
        if answer.status_code != 202:
            break
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "storage_unavailable"
    assert "Retry-After" in answer.headers

    async def readiness() -> httpx.Response:
        # A small write between two large ones may still find room.
        await post_text(frontend, "support", FILLING)
        return await frontend.http.get("/health/ready")

    told = await eventually(readiness, lambda found: found.status_code == 503, "it is not ready")
    assert "database" in told.text
    assert (await frontend.http.get("/health/live")).status_code == 200


async def _is_ready(frontend: Frontend) -> None:
    async def ready() -> int:
        return (await frontend.http.get("/health/ready")).status_code

    await eventually(ready, lambda found: found == 200, "it is ready again")


async def test_a_full_disk_is_503_and_recovers_when_there_is_room(small_disk: Path) -> None:
    """Row 26, full: a real disk without room (a small tmpfs); then room is made."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(DISK_BYTES - ROOM_BYTES))
    async with (
        running_world("simulator", small_disk) as world,
        world.frontend() as frontend,
    ):
        await link(frontend, "support", world.phone(frontend, "support"))
        accepted = {"before": await send_surely(frontend, "support", "before")}
        await _fills_up(frontend)
        ballast.unlink()
        accepted["after"] = await send_surely(frontend, "support", "after")
        await _is_ready(frontend)
        assert set((await ended(frontend, "support", accepted)).values()) <= SENT
        assert _integrity(world.gateway) == "ok"
        frontend.assert_whole("support")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory that is a disk of its own; skipped where it can't be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_database_locked_by_others_is_waited_for(simulated_world: World) -> None:
    """Row 26, locked: a second writer holds the database for 5 s and more; late, never wrong."""
    file = simulated_world.gateway.directory / "data" / "wagate.db"
    async with simulated_world.frontend() as frontend:
        phone = simulated_world.phone(frontend, "support")
        await link(frontend, "support", phone)
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await phone.is_written_to("while it is locked")
        sending = asyncio.create_task(send_surely(frontend, "support", "while it is locked"))
        answer = await post_text(frontend, "support", "this one is not tried again")
        assert answer.status_code == 503
        assert (await frontend.http.get("/whatsapp/support")).status_code == 200
        other.execute("ROLLBACK")
        other.close()
        ids = {"while it is locked": await sending}
        await frontend.hears("support", "session:message", seconds=60)
        assert set((await ended(frontend, "support", ids)).values()) <= SENT
        sent = await frontend.call("GET", "/simulator/support/sent", expect=200)
        assert [item["text"] for item in sent["items"]] == ["while it is locked"]
        frontend.assert_whole("support")


async def test_a_second_process_on_the_same_directory_is_refused(simulated_world: World) -> None:
    """Row 27: a second process on the data directory; refused by the lock, with clear words."""
    gateway = simulated_world.gateway
    data = gateway.directory / "data"
    arguments = ("serve", "--engine", "simulator", "--port", "0", "--data-directory", str(data))
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=gateway.directory,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, told = await second.communicate()
    assert second.returncode == 1
    assert f"is in use by process {gateway.process.pid}" in told.decode()
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http:
        assert (await http.get("/health/ready")).status_code == 200
