"""A back end that knows nothing of Wagate gets a number linked and talks, over RabbitMQ alone."""

import base64
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from gateway.bridge_rabbitmq_topology import Topology
from tests.acceptance.phones import FRIEND, Phone, World, running_world
from tests.bridges.spring_backend import SpringBackEnd
from tests.rabbitmq import connected

PHONE = "+15550001111"
NAME = f"session_6_{PHONE}"
WORKER = "spring-1"

pytestmark = pytest.mark.timeout(180)


@asynccontextmanager
async def working(
    engine: str, directory: Path, url: str, topology: Topology
) -> AsyncIterator[World]:
    """Run a gateway that is set up with the variables of an existing worker."""
    names = {
        "RABBITMQ_URL": url,
        "WORKER_ID": WORKER,
        "WORKER_NAME": "the only worker",
        "HEALTH_CHECK_INTERVAL": "1000",
        "QUEUE_SESSION_UPDATE": topology.session_update,
        "QUEUE_MESSAGE_SEND": topology.message_send,
        "QUEUE_MESSAGE_RECEIVE": topology.message_receive,
        "QUEUE_NUMBER_HEALTH": topology.number_health,
        "WAGATE_QUEUE_WORKER_EVENTS": topology.worker_events,
        "WAGATE_QUEUE_COMMANDS": topology.commands,
        "WAGATE_QUEUE_DEAD_LETTERS": topology.dead_letters,
        "WAGATE_RABBITMQ_EXCHANGE": topology.exchange,
        "WAGATE_BRIDGE_TENANT": "tests",
    }
    try:
        async with running_world(engine, directory, settings=names) as world:
            yield world
    finally:
        async with connected(url) as connection, connection.channel() as channel:
            await channel.queue_delete(replace(topology, worker_id=WORKER).own_commands or "")


@pytest.mark.parametrize("engine", ["simulator", "neonize"])
async def test_a_number_is_linked_and_talks(
    engine: str, tmp_path: Path, rabbitmq_url: str, topology: Topology
) -> None:
    prefix = topology.exchange.removesuffix("whatsapp.exchange")
    async with (
        SpringBackEnd.running(rabbitmq_url, prefix=prefix) as backend,
        working(engine, tmp_path, rabbitmq_url, topology) as world,
        world.frontend() as frontend,
    ):
        status = await backend.hears("worker_status")
        assert status["data"]["workerId"] == WORKER
        phone = world.phone(frontend, NAME)
        await is_linked(backend, phone)
        await talks(backend, phone)
        await is_disconnected(backend)


async def is_linked(backend: SpringBackEnd, phone: Phone) -> None:
    """Ask for a code, for another one, and scan that from the image."""
    await backend.command("create", 6, phoneNumber=PHONE, workerId=WORKER)
    first = await backend.hears("qr_generated", seconds=40)
    await backend.command("regenerate_qr", 6, phoneNumber=PHONE, workerId=WORKER)
    second = await backend.hears("qr_generated", 2, seconds=40)
    assert first["qrCode"] != second["qrCode"]
    await phone.scan(text_of(second["qrCode"]))
    connected_word = await backend.hears("connected", seconds=40)
    assert (connected_word["numberId"], connected_word["sessionId"]) == (6, NAME)
    await backend.health("HEALTHY")


def text_of(data_url: str) -> str:
    """Read a QR code from its image, as a phone does."""
    image = Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2])))
    found = zxingcpp.read_barcode(image)
    assert found is not None
    return found.text


async def talks(backend: SpringBackEnd, phone: Phone) -> None:
    """Receive and send."""
    await phone.is_written_to("is anybody there?")
    await backend.until(lambda: bool(backend.received()), "the message", 40)
    message = backend.received()[0].body["message"]
    assert (message["message"], message["phone"]) == ("is anybody there?", FRIEND)
    await backend.send(6, f"+{FRIEND}", "yes, from RabbitMQ", messageId="m-1")
    await phone.friend_has("yes, from RabbitMQ")


async def is_disconnected(backend: SpringBackEnd) -> None:
    """Close, and hear of it."""
    await backend.command_flat("disconnect", 6, workerId=WORKER)
    assert (await backend.health("UNHEALTHY", seconds=40))["reason"] == "deactivated"


async def test_a_server_starts_without_its_broker_and_says_so(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"amqp://guest:secret-word@127.0.0.1:{unused.getsockname()[1]}/"
        async with (
            running_world("simulator", tmp_path, settings={"RABBITMQ_URL": url}) as world,
            world.frontend("--tenant", "admin", "--scope", "admin") as frontend,
        ):
            ready = await frontend.call("GET", "/health/ready", expect=200)
            assert ready["status"] == "ready"
            assert len(ready["degraded"]) == 2
            assert all("RabbitMQ" in fault for fault in ready["degraded"])
            bridges = await frontend.call("GET", "/bridges", expect=200)
            assert [one["name"] for one in bridges["items"]] == ["rabbitmq"]
            assert "secret-word" not in world.gateway.log.read_text()
            assert "secret-word" not in str(ready)
