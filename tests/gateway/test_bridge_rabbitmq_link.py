"""What an operator reads when RabbitMQ refuses."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

from aio_pika.abc import AbstractConnection

from gateway.bridge_rabbitmq_link import Link
from tests.sessions.house import until


async def test_a_virtual_host_that_is_not_there_is_said_in_words(rabbitmq_url: str) -> None:
    url = urlunsplit(urlsplit(rabbitmq_url)._replace(path="/nobody-made-this"))

    async def attend(_: AbstractConnection) -> None:
        raise AssertionError("it was let in")

    link = Link(url, "a test", attend)
    running = asyncio.create_task(link.run())

    async def fault() -> str:
        return str(link.fault)

    try:
        said = await until(fault, lambda text: text != "not connected yet")
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=10)
    assert "virtual host" in said
    assert "guest" not in said
