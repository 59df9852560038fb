"""What a broker can do to us, on brokers of the tests' own: nothing is lost, all is said."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.bridge_rabbitmq_topology import Topology, depth
from sessions.events import EventType
from sessions.ids import SessionId
from sessions.status import Status
from tests.bridges.deaf_proxy import DeafProxy
from tests.bridges.rabbitmq_site import (
    FRIEND,
    NAME,
    Paces,
    Site,
    is_up,
    running_site,
    working,
)
from tests.bridges.spring_backend import SpringBackEnd, Word
from tests.rabbitmq import RabbitServer, connected
from tests.sessions.house import House, running_house, until

NAMES = Topology()
QUICK = Paces(check_seconds=0.5, silence_seconds=2, status_seconds=1)
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def site(tmp_path: Path, rabbit_server: RabbitServer) -> AsyncIterator[Site]:
    """A gateway, a back end, and a broker of their own."""
    async with running_site(tmp_path, rabbit_server.url, NAMES, paces=QUICK) as running:
        yield running


async def connected_by_hand(house: House) -> SessionId:
    """Connect a number's session without any broker."""
    return (await house.connected(NAME, phone="221771234567")).id


async def test_a_killed_broker_loses_no_event(tmp_path: Path, rabbit_server: RabbitServer) -> None:
    async with (
        running_house(tmp_path) as house,
        working(house, rabbit_server.url, NAMES, QUICK) as (worker, pump),
    ):
        await is_up(worker)
        session = await connected_by_hand(house)
        async with hearing(rabbit_server.url) as before:
            house.engine.burst(session, 300, sender=FRIEND)
            await before.until(lambda: len(before.received()) >= 60, "some messages")
            await asyncio.to_thread(rabbit_server.kill)

        async def faults() -> list[str]:
            return worker.degraded()

        await until(faults, lambda found: len(found) == 2)
        await house.logged(NAME, EventType.SESSION_MESSAGE, 300)
        await asyncio.to_thread(rabbit_server.start)
        async with hearing(rabbit_server.url) as after:
            everything = [*before.received()]
            await after.until(lambda: len(texts(everything + after.received())) == 300, "all", 40)
            await is_up(worker)
            await until(pump.status, lambda statuses: statuses[0].backlog == 0)
            everything += after.received()

    assert texts(everything) == {f"message {number}" for number in range(1, 301)}
    ids = Counter((word.message_id, word.body["message"]["message"]) for word in everything)
    assert len(ids) == 300, "a duplicate carries the id of its original"
    in_order = [word.headers["x-seq"] for word in after.received()]
    assert list(dict.fromkeys(in_order)) == sorted(set(in_order))


def texts(words: list[Word]) -> set[str]:
    """Return the different texts that came."""
    return {word.body["message"]["message"] for word in words}


@contextlib.asynccontextmanager
async def hearing(url: str) -> AsyncIterator[SpringBackEnd]:
    """Run a back end whose broker may be killed under it."""
    with contextlib.suppress(ConnectionError):
        async with SpringBackEnd.running(url) as backend:
            yield backend


async def test_a_broker_that_is_down_at_start_is_used_when_it_is_there(tmp_path: Path) -> None:
    directory = tmp_path / "rabbitmq"
    directory.mkdir()
    server = RabbitServer(directory)
    async with (
        running_house(tmp_path) as house,
        working(house, server.url, NAMES, QUICK) as (worker, pump),
    ):
        session = await connected_by_hand(house)
        house.engine.write(session, "before it was there", sender=FRIEND)
        await house.logged(NAME, EventType.SESSION_MESSAGE)
        status = await until(pump.status, lambda found: found[0].last_error is not None)
        assert "can't be reached" in (status[0].last_error or "")
        assert any("published" in fault for fault in worker.degraded())
        assert "guest" not in " ".join(worker.degraded())
        try:
            await asyncio.to_thread(server.start)
            await is_up(worker)
            async with SpringBackEnd.running(server.url) as backend:
                await backend.until(lambda: bool(backend.received()), "the message", 30)
        finally:
            await asyncio.to_thread(server.kill)


async def test_a_broker_short_of_memory_delays_and_loses_nothing(
    site: Site, rabbit_server: RabbitServer
) -> None:
    session = await site.connected()
    await site.backend.hears("connected")
    await asyncio.to_thread(rabbit_server.control, "set_vm_memory_high_watermark", "0")
    site.house.engine.burst(session.id, 20, sender=FRIEND)
    await site.house.logged(NAME, EventType.SESSION_MESSAGE, 20)
    status = await until(site.status, lambda found: found.last_error is not None)
    assert status.backlog >= 20

    await asyncio.to_thread(rabbit_server.control, "set_vm_memory_high_watermark", "0.4")

    await site.backend.until(lambda: len(texts(site.backend.received())) == 20, "all of them", 40)
    await until(site.status, lambda found: found.backlog == 0)
    ids = {(word.message_id, *texts([word])) for word in site.backend.received()}
    assert len(ids) == 20


async def test_closed_connections_and_deleted_queues_come_back(
    site: Site, rabbit_server: RabbitServer
) -> None:
    session = await site.connected()
    await asyncio.to_thread(rabbit_server.control, "close_all_connections", "a test")
    async with SpringBackEnd.running(rabbit_server.url) as backend:
        await is_up(site.worker)
        for queue in (NAMES.commands, NAMES.message_send):
            await backend.channel.queue_delete(queue)
        await until(lambda: consumers(rabbit_server.url, NAMES.commands), bool)
        await is_up(site.worker)

        await backend.command("disconnect", 6)
        await site.house.reaches(NAME, Status.DISCONNECTED)
        await backend.command("reconnect", 6)
        await backend.hears("connected")
        await backend.send(6, FRIEND, "after all that")

        async def sent() -> list[str]:
            return [text.text for text in site.house.engine.sent(session.id)]

        assert await until(sent, bool) == ["after all that"]


async def consumers(url: str, queue: str) -> int:
    """Return how many consumers a queue has; 0 when it does not exist."""
    async with connected(url) as connection:
        return (await depth(connection, queue) or (0, 0))[1]


async def test_a_back_ends_missing_queue_eats_nothing(
    tmp_path: Path, rabbit_server: RabbitServer
) -> None:
    slow = Paces(check_seconds=3)
    async with running_site(tmp_path, rabbit_server.url, NAMES, paces=slow) as site:
        session = await site.connected()
        await site.backend.health("HEALTHY")
        await site.backend.channel.queue_delete(NAMES.message_receive)
        await site.backend.channel.queue_delete(NAMES.session_update)
        site.house.engine.write(session.id, "into nothing", sender=FRIEND)

        status = await until(site.status, lambda found: found.last_error is not None)

        assert "no queue is bound to message.receive" in (status.last_error or "")
        site.house.engine.fault(session.id, "ban", seconds=60)
        async with SpringBackEnd.running(rabbit_server.url) as backend:
            await backend.until(lambda: bool(backend.received()), "the message")
            assert "banned" in (await backend.hears("error"))["error"]


async def test_a_consumer_that_silently_stopped_is_set_up_anew(
    tmp_path: Path, rabbitmq_url: str, topology: Topology
) -> None:
    async with (
        DeafProxy.running(rabbitmq_url) as proxy,
        running_site(tmp_path, proxy.url, topology, paces=QUICK) as site,
        SpringBackEnd.running(rabbitmq_url, prefix=site.backend.prefix) as backend,
    ):
        session = await site.connected()
        proxy.swallow_deliveries()
        for number in range(30):
            await backend.send(6, FRIEND, f"text {number}", messageId=str(number))

        async def sent() -> list[str]:
            return [text.text for text in site.house.engine.sent(session.id)]

        found = await until(sent, lambda texts: len(texts) >= 30)
        assert sorted(found) == sorted(f"text {number}" for number in range(30))
        assert proxy.swallowed > 0
