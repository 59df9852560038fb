"""What is left of a session on a running gateway: of a login nobody completed, of credentials."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import GatewayProcess
from tests.acceptance.phones import FRIEND, World, link, running_world
from tests.faults import traffic
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.sessions.engine_neonize.watching import WAIT_SECONDS, eventually

NUMBER = "15550001111"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A gateway and a loopback WhatsApp."""
    async with running_world("neonize", tmp_path) as world:
        yield world


def whatsapp_of(world: World) -> LoopbackWhatsApp:
    """Return the loopback WhatsApp, which a world with this engine has."""
    assert world.whatsapp is not None
    return world.whatsapp


@dataclass(frozen=True)
class Footprint:
    """What a gateway holds of its machine."""

    processes: int
    threads: int
    descriptors: int

    def __le__(self, other: "Footprint") -> bool:
        return (
            self.processes <= other.processes
            and self.threads <= other.threads
            and self.descriptors <= other.descriptors
        )


def footprint(gateway: GatewayProcess) -> Footprint:
    """Look at the server's process and its children."""
    server = psutil.Process(gateway.process.pid)
    return Footprint(len(server.children(recursive=True)), server.num_threads(), server.num_fds())


async def shrinks_to(gateway: GatewayProcess, before: Footprint) -> None:
    """Wait until a gateway holds no more than before."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (now := footprint(gateway)) <= before:
        assert time.monotonic() < deadline, f"{now} is left, before it was {before}"
        await asyncio.sleep(0.1)


def files_of(world: World, session: str) -> list[str]:
    """Return the names of all files of a session, wherever under the data directory."""
    return sorted(file.name for file in world.gateway.directory.rglob(f"*{session}*"))


async def show_code(frontend: Frontend, since: int) -> None:
    """Activate and wait for a code."""
    await frontend.call("POST", "/whatsapp/support/activate", expect=202)
    await frontend.hears("support", "qr", since=since)


@pytest.mark.parametrize("attempts", [0, pytest.param(1, marks=pytest.mark.slow)])
async def test_after_the_last_code_nothing_is_left_running(tmp_path: Path, attempts: int) -> None:
    settings = {"WAGATE_QR_MAX_ATTEMPTS": str(attempts)}
    async with (
        running_world("neonize", tmp_path, settings=settings) as world,
        world.frontend() as frontend,
    ):
        id_ = (await frontend.create("support"))["id"]
        # So that whatever is made on first use, and kept, is there already: for one, a pool of
        # connections to the database, each of which has a thread.
        reads = (frontend.call("GET", "/whatsapp", expect=200) for _ in range(50))
        await asyncio.gather(*reads)
        for _ in range(3):
            await show_code(frontend, frontend.mark())
            await frontend.call("POST", "/whatsapp/support/deactivate", expect=200)
        await world.gateway.at_rest()
        before = footprint(world.gateway)
        await whatsapp_of(world).fault("qr_refs", count=1)
        mark = frontend.mark()

        await show_code(frontend, mark)
        assert footprint(world.gateway).processes > before.processes
        failed = await frontend.hears(
            "support",
            "session:status",
            lambda event: event["status"] == "FAILED",
            since=mark,
            seconds=40 * (attempts + 1),
        )

        assert (failed["reason"], failed["userAction"]) == ("qr_exhausted", "relogin")
        expired = frontend.events("support", "qr:expired")
        assert [event["attempt"] for event in expired] == list(range(attempts + 1))
        assert [event["willRegenerate"] for event in expired] == [True] * attempts + [False]
        await shrinks_to(world.gateway, before)
        assert [one for worker in world.gateway.workers() for one in worker.children()] == []
        assert await whatsapp_of(world).connections() == 0
        assert files_of(world, id_) == []


async def reset(world: World, frontend: Frontend) -> None:
    await frontend.call("POST", "/whatsapp/support/reset-auth", expect=200)


async def delete(world: World, frontend: Frontend) -> None:
    await frontend.call("DELETE", "/whatsapp/support", expect=204)


async def removed_on_the_phone(world: World, frontend: Frontend) -> None:
    await whatsapp_of(world).kick(NUMBER)
    await frontend.hears("support", "session:auth:corrupted")


PARTINGS: dict[str, Callable[[World, Frontend], Awaitable[None]]] = {
    "reset": reset,
    "delete": delete,
    "removed on the phone": removed_on_the_phone,
}


@pytest.mark.parametrize("parting", list(PARTINGS))
async def test_credentials_that_are_given_up_leave_no_file(world: World, parting: str) -> None:
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support", NUMBER)
        await link(frontend, "support", phone)
        id_ = (await frontend.call("GET", "/whatsapp/support", expect=200))["id"]
        await phone.is_written_to("hello")
        await frontend.hears("support", "session:message")
        assert f"{id_}.db" in files_of(world, id_)

        await PARTINGS[parting](world, frontend)

        await eventually(lambda: not files_of(world, id_), "every file of the session is gone")
        assert (await whatsapp_of(world).account(NUMBER)).companions == []
        # Nor does anything come back that was still on its way to the disk.
        await world.gateway.at_rest()
        assert files_of(world, id_) == []


async def test_credentials_of_a_session_that_is_not_connected_are_removed_too(
    world: World,
) -> None:
    async with world.frontend() as frontend:
        await link(frontend, "support", world.phone(frontend, "support", NUMBER))
        id_ = (await frontend.call("GET", "/whatsapp/support", expect=200))["id"]
        await frontend.call("POST", "/whatsapp/support/deactivate", expect=200)
        assert f"{id_}.db" in files_of(world, id_)

        await reset(world, frontend)

        assert files_of(world, id_) == []


@pytest.mark.parametrize("way", ["reset", "activate"])
async def test_corrupted_credentials_are_set_aside_told_and_can_be_replaced(
    world: World, way: str
) -> None:
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support", NUMBER)
        await link(frontend, "support", phone)
        id_ = (await frontend.call("GET", "/whatsapp/support", expect=200))["id"]
        assert await world.gateway.stop() == 0
        await asyncio.to_thread(_damage, world, id_)
        mark = frontend.mark()
        await world.gateway.start()

        told = await frontend.hears("support", "session:auth:corrupted", since=mark, seconds=40)
        assert told["error"]["code"] == "credentials_corrupted"
        session = await frontend.call("GET", "/whatsapp/support", expect=200)
        assert [session[name] for name in ("status", "reason", "userAction")] == [
            "FAILED",
            "credentials_corrupted",
            "relogin",
        ]
        assert [name for name in files_of(world, id_) if f"{id_}.db.unusable-20" in name]

        if way == "reset":
            await reset(world, frontend)
            assert files_of(world, id_) == []
        mark = frontend.mark()
        await show_code(frontend, mark)
        await phone.scan((await frontend.hears("support", "qr", since=mark))["code"])
        await frontend.hears("support", "session:connected", since=mark)


def _damage(world: World, session: str) -> None:
    (store,) = world.gateway.directory.rglob(f"{session}.db")
    with closing(sqlite3.connect(store)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.write_bytes(store.read_bytes()[:40_000])


async def test_what_the_phone_hands_over_is_stored_and_told_to_nobody(world: World) -> None:
    texts = [f"in earlier days {number}" for number in range(1000)]
    old = [{"text": text, "from_me": number % 2 == 0} for number, text in enumerate(texts)]
    await whatsapp_of(world).send_history(
        NUMBER, [{"chat": FRIEND, "name": "Bob", "messages": old}], to="new"
    )
    async with world.frontend() as frontend:
        phone = world.phone(frontend, "support", NUMBER)
        await link(frontend, "support", phone)
        await phone.is_written_to("today")
        # News do not wait until all of it is stored.
        await frontend.hears("support", "session:message")

        await traffic.eventually(
            lambda: stored(frontend), lambda found: found == [*texts, "today"], "all is stored"
        )

        told = frontend.events("support", "session:message")
        assert [event["message"]["message"] for event in told] == ["today"]
        frontend.assert_whole("support")
        chats = await frontend.call("GET", "/whatsapp/support/conversations", expect=200)
        (chat,) = chats["items"]
        assert (chat["chatId"], chat["name"]) == (f"{FRIEND}@s.whatsapp.net", "Bob")
        assert (chat["unreadCount"], chat["lastMessage"]["message"]) == (1, "today")


async def stored(frontend: Frontend) -> list[str]:
    """Return the texts of all stored messages, oldest first."""
    texts: list[str] = []
    before = ""
    while True:
        page = await frontend.call(
            "GET", f"/whatsapp/support/messages?limit=100{before}", expect=200
        )
        texts += [item["message"] for item in page["items"]]
        if page["before"] is None:
            return texts[::-1]
        before = f"&before={page['before']}"
