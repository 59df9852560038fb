"""A back end that commands workers over RabbitMQ, written from the contract alone (section 5).

It consumes `whatsapp.session.update` itself, the queue into which it also puts its commands: as
the existing ones do, it overhears itself there, and takes no notice.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

WAIT_SECONDS = 15.0
KEYS = {
    "session.update": "whatsapp.session.update",
    "message.send": "whatsapp.message.send",
    "message.receive": "whatsapp.message.receive",
    "number.health": "whatsapp.number.health",
}
_WORKERS_ACTIONS = {"qr_generated", "qr_regenerating", "connected", "error", "worker_status"}


@dataclass(frozen=True)
class Word:
    """One message as it came."""

    key: str
    body: dict[str, Any]
    message_id: str | None
    app_id: str | None
    headers: dict[str, Any]
    persistent: bool


@dataclass
class SpringBackEnd:
    """Commands, and what was heard in answer; `prefix` is of every name on the broker."""

    channel: AbstractChannel
    prefix: str
    heard: list[Word] = field(default_factory=list)
    overheard: list[dict[str, Any]] = field(default_factory=list)
    """Its own commands, which it got back: nobody else took them."""

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, url: str, *, prefix: str = "", consuming: bool = True
    ) -> AsyncIterator["SpringBackEnd"]:
        """Connect, declare as existing back ends do, and consume."""
        connection = await aio_pika.connect(url, timeout=10)
        async with connection:
            channel = await connection.channel()
            backend = cls(channel, prefix)
            await backend._declare(consuming)
            yield backend

    async def _declare(self, consuming: bool) -> None:
        exchange = await self.channel.declare_exchange(
            f"{self.prefix}whatsapp.exchange", "direct", durable=True
        )
        for key, name in KEYS.items():
            queue = await self.channel.declare_queue(f"{self.prefix}{name}", durable=True)
            await queue.bind(exchange, key)
            if consuming and key != "message.send":
                await queue.consume(self._hear)

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        body = orjson.loads(message.body)
        key = message.routing_key or ""
        if key == "session.update" and body["action"] not in _WORKERS_ACTIONS:
            self.overheard.append(body)
        else:
            persistent = message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
            headers = dict(message.headers)
            word = Word(key, body, message.message_id, message.app_id, headers, persistent)
            self.heard.append(word)
        await message.ack()

    async def command(self, action: str, number: int = 6, **more: Any) -> None:
        """Command in the shape that is documented: `data` inside."""
        data = {"numberId": number, **more}
        stamp = int(time.time() * 1000)
        body = {"sessionId": "", "action": action, "data": data, "timestamp": stamp}
        await self.publish("session.update", orjson.dumps(body))

    async def command_flat(self, action: str, number: int = 6, **more: Any) -> None:
        """Command in the shape of older back ends: everything at the top."""
        body = {"action": action, "numberId": number, **more}
        await self.publish("session.update", orjson.dumps(body))

    async def send(self, number: int, recipient: str, content: str, **more: Any) -> None:
        """Ask for a text to be sent."""
        body = {"recipientNumber": recipient, "content": content, "type": "TEXT", **more}
        await self.publish("message.send", orjson.dumps({"whatsappNumberId": number, **body}))

    async def publish(self, key: str, body: bytes, *, message_id: str | None = None) -> None:
        """Publish anything."""
        exchange = await self.channel.get_exchange(f"{self.prefix}whatsapp.exchange", ensure=False)
        message = aio_pika.Message(body, delivery_mode=2, message_id=message_id)
        await exchange.publish(message, key)

    def words(self, action: str) -> list[dict[str, Any]]:
        """Return what was heard on `session.update` of one action."""
        return [
            word.body
            for word in self.heard
            if word.key == "session.update" and word.body["action"] == action
        ]

    async def hears(
        self, action: str, count: int = 1, *, seconds: float = WAIT_SECONDS
    ) -> dict[str, Any]:
        """Wait until an action was heard so often; return the last one of them."""
        await self.until(lambda: len(self.words(action)) >= count, f"{count}x {action}", seconds)
        return self.words(action)[count - 1]

    async def health(self, status: str, *, seconds: float = WAIT_SECONDS) -> dict[str, Any]:
        """Wait until a number's health was told so."""

        def told() -> list[dict[str, Any]]:
            bodies = [word.body for word in self.heard if word.key == "number.health"]
            return [body for body in bodies if body["status"] == status]

        await self.until(lambda: bool(told()), f"a number is {status}", seconds)
        return told()[-1]

    def received(self) -> list[Word]:
        """Return what came in from WhatsApp, in order."""
        return [word for word in self.heard if word.key == "message.receive"]

    async def until(
        self, holds: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS
    ) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                heard = [(word.key, word.body.get("action")) for word in self.heard[-20:]]
                raise AssertionError(f"not within {seconds} s: {what}; last heard: {heard}")
            await asyncio.sleep(0.02)
