"""A back end commands this gateway over a real RabbitMQ, and hears what happens."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
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
    names,
    running_site,
    sessions,
    working,
)
from tests.rabbitmq import connected
from tests.sessions.house import running_house, until


@pytest.fixture
async def site(tmp_path: Path, rabbitmq_url: str, topology: Topology) -> AsyncIterator[Site]:
    """A gateway and a back end."""
    async with running_site(tmp_path, rabbitmq_url, topology) as running:
        yield running


async def test_create_makes_the_numbers_session_and_shows_its_code(site: Site) -> None:
    await site.backend.command("create", 6, phoneNumber=PHONE)

    word = await site.backend.hears("qr_generated")
    session = await site.session()
    assert word["qrCode"].startswith("data:image/png;base64,")
    assert (word["numberId"], word["sessionId"]) == (6, NAME)
    assert isinstance(word["timestamp"], int)
    assert (session.phone_number, session.metadata) == (PHONE, {"numberId": 6})


async def test_the_older_shape_of_commands_is_understood(site: Site) -> None:
    await site.backend.command_flat("create", 7, phoneNumber=PHONE)

    assert (await site.backend.hears("qr_generated"))["sessionId"] == f"session_7_{PHONE}"


async def test_the_back_end_hears_connected_and_healthy_then_unhealthy(site: Site) -> None:
    await site.connected()
    connected_word = await site.backend.hears("connected")
    assert set(connected_word) == {"action", "numberId", "sessionId", "timestamp"}
    assert (await site.backend.health("HEALTHY"))["numberId"] == 6

    await site.backend.command("disconnect", 6)

    unhealthy = await site.backend.health("UNHEALTHY")
    assert unhealthy["reason"] == "deactivated"
    assert (await site.session()).is_active is False


async def test_a_ban_is_told_as_banned(site: Site) -> None:
    session = await site.connected()
    site.house.engine.fault(session.id, "ban", seconds=3600)

    assert (await site.backend.health("BANNED"))["reason"] == "temporary_ban"
    assert "banned" in (await site.backend.hears("error"))["error"]


async def test_reconnect_brings_a_closed_session_back(site: Site) -> None:
    await site.connected()
    await site.backend.command("close", 6)
    await site.house.reaches(NAME, Status.DISCONNECTED)

    await site.backend.command("reconnect", 6)

    await site.house.reaches(NAME, Status.CONNECTED)
    await site.backend.hears("connected", 2)


async def test_regenerate_shows_another_code_or_says_that_none_is_needed(site: Site) -> None:
    await site.backend.command("create", 6, phoneNumber=PHONE)
    first = await site.backend.hears("qr_generated")
    await site.backend.command("regenerate_qr", 6)
    second = await site.backend.hears("qr_generated", 2)
    assert first["qrCode"] != second["qrCode"]
    site.house.engine.scan((await site.session()).id)
    await site.backend.hears("connected")

    await site.backend.command("regenerate_qr", 6)

    answer = await site.backend.hears("connected", 2)
    assert answer["message"] == "Session already connected. No QR needed."
    assert len(site.backend.words("qr_generated")) == 2


async def test_nobody_scans_and_then_somebody_does(
    tmp_path: Path, rabbitmq_url: str, topology: Topology
) -> None:
    async with running_site(tmp_path, rabbitmq_url, topology, qr_seconds=1.5) as site:
        backend = site.backend
        await backend.command("create", 6, phoneNumber=PHONE)
        failed = await backend.hears("error", seconds=30)
        said = [word["message"] for word in backend.words("qr_regenerating")]
        assert said == [
            f"QR code expired. Generating new QR code (attempt {attempt}/3)"
            for attempt in (1, 2, 3)
        ]
        assert failed["error"] == (
            "QR code generation failed after 3 attempts. Please request a new validation."
        )
        assert (await backend.health("UNHEALTHY"))["reason"] == "qr_exhausted"
        shown = len(backend.words("qr_generated"))
        assert shown == 4

        await backend.command("create", 6, phoneNumber=PHONE)
        await backend.hears("qr_generated", shown + 1)
        site.house.engine.scan((await site.session()).id)
        await backend.hears("connected")
        actions = [word.body["action"] for word in backend.heard if word.key == "session.update"]
        told = [action for action in actions if action != "worker_status"]
        assert told == [
            "qr_generated",
            *["qr_regenerating", "qr_generated"] * 3,
            "error",
            "qr_generated",
            "connected",
        ]


async def test_messages_flow_both_ways(site: Site) -> None:
    session = await site.connected()
    site.house.engine.write(session.id, "hello?", sender=FRIEND)
    await site.backend.until(lambda: bool(site.backend.received()), "a message")
    received = site.backend.received()[0]
    assert received.body["message"]["message"] == "hello?"
    assert (received.body["numberId"], received.body["sessionId"]) == (6, NAME)
    assert received.persistent
    assert received.app_id == "wa-gateway"
    assert received.headers["x-worker-id"] == "wagate"
    assert received.headers["x-seq"] > 0

    await site.backend.send(6, f"+{FRIEND}", "welcome", messageId="m-1")

    async def sent() -> list[str]:
        return [text.text for text in site.house.engine.sent(session.id)]

    assert await until(sent, bool) == ["welcome"]


async def test_the_same_order_three_times_is_one_message(site: Site) -> None:
    session = await site.connected()
    for _ in range(3):
        await site.backend.send(6, FRIEND, "once", messageId="m-1")
    await site.backend.send(6, FRIEND, "last", messageId="m-2")

    async def sent() -> list[str]:
        return [text.text for text in site.house.engine.sent(session.id)]

    assert await until(sent, lambda texts: "last" in texts) == ["once", "last"]


async def test_what_can_not_be_understood_is_set_aside_and_the_rest_goes_on(site: Site) -> None:
    poison = [
        ("session.update", b"{no json", "no valid JSON"),
        ("session.update", b'["create"]', "no JSON object"),
        ("session.update", b'{"action":"dance","numberId":6}', "unknown action"),
        ("session.update", b'{"action":"create"}', "numberId"),
        ("session.update", b'{"action":"create","numberId":6}', "phoneNumber"),
        ("message.send", b'{"numberId":6,"recipientNumber":"nobody","content":"x"}', "recipient"),
        ("message.send", b'{"numberId":99,"recipientNumber":"447700900123","content":"x"}', "99"),
    ]
    for key, body, _ in poison:
        await site.backend.publish(key, body)

    found = dict(await site.dead_letters(len(poison)))

    for key, body, reason in poison:
        assert reason in found[body]["x-reason"]
        assert found[body]["x-routing-key"] == key
    await site.connected()


async def test_a_command_that_is_refused_is_answered_as_well(site: Site) -> None:
    await site.backend.command("create", 8)
    word = await site.backend.hears("error")
    assert (word["numberId"], word["error"]) == (8, "phoneNumber: is missing")

    await site.backend.command("create", 9, phoneNumber="by heart", workerId="somebody-else")
    await site.backend.command("create", 10, phoneNumber="by heart")
    word = await site.backend.hears("error", 2)
    assert word["numberId"] == 10
    assert "a phone number with country code is expected" in word["error"]
    # What is somebody else's, they set aside.
    assert len(await site.dead_letters(2)) == 2
    assert await waiting(site, site.topology.dead_letters) == 0


async def test_an_image_is_set_aside_with_the_reason(site: Site) -> None:
    await site.connected()
    await site.backend.send(6, FRIEND, "a caption", type="IMAGE")

    (body, headers), *_ = await site.dead_letters()
    assert orjson.loads(body)["content"] == "a caption"
    assert "type" in headers["x-reason"]


async def test_commands_to_a_number_without_session_are_answered(site: Site) -> None:
    await site.backend.command("regenerate_qr", 99)
    assert "no session" in (await site.backend.hears("error"))["error"]
    await site.backend.command("disconnect", 99)
    await site.connected()
    assert len(site.backend.words("error")) == 1


async def test_another_workers_words_and_commands_are_left_alone(site: Site) -> None:
    await site.backend.publish("session.update", b'{"action":"connected","numberId":6}')
    await site.backend.command("create", 5, phoneNumber=PHONE, workerId="somebody-else")
    await site.connected()

    assert await names(site.house) == [NAME]


async def test_each_of_two_workers_gets_what_is_for_it(
    tmp_path: Path, rabbitmq_url: str, topology: Topology
) -> None:
    one, two = (replace(topology, worker_id=name) for name in ("w1", "w2"))
    (tmp_path / "two").mkdir()
    async with (
        running_site(tmp_path, rabbitmq_url, one, paces=Paces(check_seconds=0.2)) as site,
        running_house(tmp_path / "two") as other,
        working(other, rabbitmq_url, two, Paces(check_seconds=0.2)) as (worker, _),
    ):
        await is_up(worker)
        for number in range(20):
            await site.backend.command("create", number, phoneNumber=PHONE, workerId="w1")
            await site.backend.command("create", 100 + number, phoneNumber=PHONE, workerId="w2")
        await site.backend.hears("qr_generated", 40)
        first = {one.session_id for one in await sessions(site.house)}
        second = {one.session_id for one in await sessions(other)}
        assert first == {f"session_{number}_{PHONE}" for number in range(20)}
        assert second == {f"session_{100 + number}_{PHONE}" for number in range(20)}

        for number in range(300, 310):
            await site.backend.command("create", number, phoneNumber=PHONE)
        await site.backend.hears("qr_generated", 50)
        for number in range(300, 310):
            await site.backend.command("disconnect", number)

        async def active() -> int:
            both = [*await sessions(site.house), *await sessions(other)]
            return sum(one.is_active for one in both)

        await until(active, lambda count: count == 40)

        # Each of the three queues had it; one of them is the one that sets aside.
        await site.backend.publish("session.update", b"{no json")
        await site.dead_letters(1)
        await site.backend.command("create", 1, phoneNumber="by heart", workerId="w2")
        await site.backend.hears("error")
        await site.dead_letters(1)
        assert await waiting(site, site.topology.dead_letters) == 0
    async with connected(rabbitmq_url) as connection, connection.channel() as channel:
        for queue in (one.own_commands, one.held, two.own_commands, two.held):
            await channel.queue_delete(queue or "")


@pytest.mark.timeout(240)
async def test_a_thousand_events_and_a_hundred_commands_lose_nothing(site: Site) -> None:
    session = await site.connected()
    site.house.engine.burst(session.id, 1000, sender=FRIEND)
    for number in range(100, 200):
        await site.backend.command("create", number, phoneNumber=PHONE)

    await site.backend.until(lambda: len(site.backend.received()) >= 1000, "1000 messages", 100)
    await site.backend.hears("qr_generated", 101, seconds=100)

    texts = [word.body["message"]["message"] for word in site.backend.received()]
    assert texts == [f"message {number}" for number in range(1, 1001)]
    ids = [word.message_id for word in site.backend.received()]
    assert len(set(ids)) == 1000
    assert len(await sessions(site.house)) == 101
    assert len(site.backend.overheard) == 101
    assert await waiting(site, site.topology.dead_letters) == 0


async def waiting(site: Site, queue: str) -> int:
    """Return how many messages wait in a queue."""
    async with connected(site.url) as connection, connection.channel() as channel:
        found = await channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0


async def test_the_worker_reports_its_status(
    tmp_path: Path, rabbitmq_url: str, topology: Topology
) -> None:
    async with running_site(
        tmp_path, rabbitmq_url, topology, paces=Paces(status_seconds=0.2)
    ) as site:
        await site.connected()
        count = len(site.backend.words("worker_status"))
        report = await site.backend.hears("worker_status", count + 2)

    data = report["data"]
    assert (data["totalSessions"], data["connectedSessions"]) == (1, 1)
    assert (data["workerId"], data["disconnectedSessions"]) == ("wagate", 0)
    assert data["memory"] > 1_000_000
    assert data["uptime"] >= 0


async def test_sessions_without_a_number_are_not_the_back_ends(site: Site) -> None:
    await site.house.connected("mine", phone="15550001111")
    await site.connected()
    await site.backend.health("HEALTHY")

    assert {word.body["sessionId"] for word in site.backend.heard if "sessionId" in word.body} == {
        NAME
    }
