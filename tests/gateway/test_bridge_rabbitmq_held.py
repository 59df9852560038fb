"""A session that has too much to send delays what is ordered of it, in order, and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.bridge_rabbitmq_topology import Topology
from sessions.status import Status
from tests.bridges.rabbitmq_site import (
    FRIEND,
    NAME,
    PHONE,
    Paces,
    Site,
    is_up,
    running_site,
    working,
)
from tests.bridges.spring_backend import SpringBackEnd
from tests.rabbitmq import connected
from tests.sessions.house import QUICK, TENANT, running_house, until

OTHER = f"session_7_{PHONE}"
FULL = replace(QUICK, queue_limit=2)
SOON = Paces(check_seconds=0.3)
TEXTS = [f"text {number}" for number in range(30)]


@pytest.fixture
async def site(tmp_path: Path, rabbitmq_url: str, topology: Topology) -> AsyncIterator[Site]:
    """A gateway with two numbers' sessions, neither of them connected, which hold two messages."""
    async with running_site(tmp_path, rabbitmq_url, topology, paces=SOON, policy=FULL) as running:
        for number in (6, 7):
            await running.backend.command("create", number, phoneNumber=PHONE)
        await running.backend.hears("qr_generated", 2)
        yield running


async def is_held(site: Site, count: int) -> None:
    """Wait until so many orders are held, and none is in anybody's hand."""

    async def waiting() -> int:
        async with connected(site.url) as connection, connection.channel() as channel:
            queue = await channel.declare_queue(site.topology.held, passive=True)
            return queue.declaration_result.message_count or 0

    await until(waiting, lambda found: found == count)


async def test_a_full_session_keeps_no_other_number_waiting(site: Site) -> None:
    for text in TEXTS:
        await site.backend.send(6, FRIEND, text)
    await site.backend.send(7, FRIEND, "of another number")

    await until(lambda: site.outbox(OTHER), lambda found: found == ["of another number"])
    assert await site.outbox() == TEXTS[:2]
    assert any("have to wait" in fault for fault in site.worker.degraded())
    await is_held(site, len(TEXTS) - 2)


async def test_held_orders_are_sent_in_their_order_with_those_that_came_later(site: Site) -> None:
    for text in TEXTS:
        await site.backend.send(6, FRIEND, text)
    await is_held(site, len(TEXTS) - 2)
    session = await site.session()
    site.house.engine.scan(session.id, phone=PHONE.lstrip("+"))
    await site.house.reaches(NAME, Status.CONNECTED)
    more = [f"later {number}" for number in range(10)]
    for text in more:
        await site.backend.send(6, FRIEND, text)

    async def sent() -> list[str]:
        return [text.text for text in site.house.engine.sent(session.id)]

    found = await until(sent, lambda texts: len(texts) >= len(TEXTS) + len(more))
    assert found == TEXTS + more
    await is_up(site.worker)


async def test_what_was_held_before_a_restart_is_not_overtaken_after_it(
    tmp_path: Path, rabbitmq_url: str, topology: Topology
) -> None:
    prefix = topology.exchange.removesuffix("whatsapp.exchange")
    async with (
        running_house(tmp_path, policy=FULL) as house,
        SpringBackEnd.running(rabbitmq_url, prefix=prefix) as backend,
    ):
        await house.session(NAME)
        async with working(house, rabbitmq_url, topology, SOON) as (worker, pump):
            site = Site(house, worker, pump, backend, rabbitmq_url, topology)
            await is_up(worker)
            for text in TEXTS[:6]:
                await backend.send(6, FRIEND, text)
            await is_held(site, 4)
        for message in (await house.manager.messages(TENANT, NAME, limit=10)).items:
            await house.manager.cancel(TENANT, NAME, message.id)
        await backend.send(6, FRIEND, "when nobody was there")

        async with working(house, rabbitmq_url, topology, SOON):
            await until(site.outbox, lambda found: found == TEXTS[:4])
            await is_held(site, 3)


async def test_what_has_waited_for_too_long_is_set_aside(
    tmp_path: Path, rabbitmq_url: str, topology: Topology
) -> None:
    paces = Paces(check_seconds=0.3, held_seconds=1)
    async with running_site(tmp_path, rabbitmq_url, topology, paces=paces, policy=FULL) as site:
        await site.backend.command("create", 6, phoneNumber=PHONE)
        await site.backend.hears("qr_generated")
        for text in TEXTS[:4]:
            await site.backend.send(6, FRIEND, text)

        found = await site.dead_letters(2)

        assert [TEXTS[2], TEXTS[3]] == [
            text for text in TEXTS for body, _ in found if text.encode() in body
        ]
        for _, headers in found:
            assert "Too many messages wait" in headers["x-reason"]
            assert headers["x-routing-key"] == "message.send"
        await is_held(site, 0)
        await is_up(site.worker)
