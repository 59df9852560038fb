"""A back end on Node talks over its queues alone; the gateway is set up by its Redis' URL."""

import socket
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.bridge_bullmq_library import QueueNames
from tests.acceptance.phones import FRIEND, link, running_world
from tests.bridges.node_backend import Producer, worker

pytestmark = [pytest.mark.usefixtures("node"), pytest.mark.timeout(180)]


@pytest.fixture
def names(redis_url: str, redis_prefix: str, redis: Redis) -> QueueNames:
    """Queues of the test's own; what is under its prefix is removed at the end."""
    return QueueNames(redis_url, f"{redis_prefix}bull", "a-send", "an-incoming")


@pytest.mark.parametrize(("engine", "version"), [("simulator", "5"), ("neonize", "6")])
async def test_a_back_end_talks_over_its_queues(
    engine: str, version: str, tmp_path: Path, names: QueueNames
) -> None:
    settings = {
        "WAGATE_BULLMQ_REDIS_URL": names.url,
        "WAGATE_BULLMQ_PREFIX": names.prefix,
        "WAGATE_BULLMQ_SEND_QUEUE": names.send,
        "WAGATE_BULLMQ_INCOMING_QUEUE": names.incoming,
        "WAGATE_BRIDGE_TENANT": "tests",
    }
    async with (
        running_world(engine, tmp_path, settings=settings) as world,
        world.frontend() as frontend,
        Producer.adding(version, names) as producer,
        worker(version, names) as back_end,
    ):
        phone = world.phone(frontend, "support")
        await link(frontend, "support", phone)
        await phone.is_written_to("is anybody there?")
        job = await back_end.hears("job")
        assert job["data"]["message"] == "is anybody there?"
        assert (job["data"]["sessionId"], job["data"]["phone"]) == ("support", FRIEND)
        message_id = await producer.send("1", "support", "yes, from a queue")
        await phone.friend_has("yes, from a queue")
        path = f"/whatsapp/support/messages/{message_id}"
        assert (await frontend.call("GET", path, expect=200))["message"] == "yes, from a queue"
        assert await world.gateway.stop() == 0
        log = world.gateway.log.read_text()
        assert "yes, from a queue" not in log
        assert "Traceback" not in log


async def test_a_server_starts_without_the_queues_redis_and_says_so(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"redis://:secret-word@127.0.0.1:{unused.getsockname()[1]}/0"
        async with (
            running_world(
                "simulator", tmp_path, settings={"WAGATE_BULLMQ_REDIS_URL": url}
            ) as world,
            world.frontend("--tenant", "admin", "--scope", "admin") as frontend,
        ):
            ready = await frontend.call("GET", "/health/ready", expect=200)
            assert ready["status"] == "ready"
            assert [fault for fault in ready["degraded"] if "whatsapp-qr-send" in fault]
            bridges = await frontend.call("GET", "/bridges", expect=200)
            assert [one["name"] for one in bridges["items"]] == ["bullmq"]
            assert await world.gateway.stop() == 0
            log = world.gateway.log.read_text()
            assert "secret-word" not in log + str(ready)
            assert "Traceback" not in log
