"""Hands messages to RabbitMQ, and returns only when it has confirmed to keep them.

It has a connection of its own: a broker short of memory stops reading from connections that
publish, and commands must go on being acknowledged.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aio_pika import DeliveryMode, Message
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
)
from aio_pika.exceptions import DeliveryError, PublishError
from pydantic_core import to_json

from gateway.bridge import TemporaryFailure
from gateway.bridge_rabbitmq_link import BROKEN, Link, settled
from gateway.bridge_rabbitmq_topology import (
    CALL_SECONDS,
    DECLARE_SECONDS,
    Topology,
    declare,
    ensure_bound,
)
from gateway.bridge_rabbitmq_words import SESSION_UPDATE, Publication

APP_ID = "wa-gateway"
HELD_SINCE = "x-held-since"
"""Header: when an order began to wait, in Unix milliseconds."""
_ROUTING_KEY = "x-routing-key"
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class _Open:
    connection: AbstractConnection
    channel: AbstractChannel
    exchange: AbstractExchange
    dead_letters: AbstractExchange


class Publisher:
    """Publishes with confirmation; nothing is kept here, what fails is the caller's again."""

    def __init__(self, url: str, topology: Topology, *, name: str, worker_id: str) -> None:
        self._topology = topology
        self._worker_id = worker_id
        self._link = Link(url, f"{name} (events)", self._attend)
        self._open: _Open | None = None
        self._broken = asyncio.Event()

    @property
    def fault(self) -> str | None:
        """Why nothing can be published now."""
        return self._link.fault

    async def run(self) -> None:
        """Stay connected until cancelled."""
        await self._link.run()

    async def publish(
        self, publication: Publication, *, message_id: str, seq: int | None = None
    ) -> None:
        """Publish; the same `message_id` marks the same message, should it go out twice.

        Raises:
            TemporaryFailure: the broker has not confirmed it: it may or may not be there.
        """
        if publication.key == SESSION_UPDATE and publication.expires_seconds is None:
            await self._ensure_read_by_others()
        position = {} if seq is None else {"x-seq": seq}
        message = Message(
            to_json(publication.body),
            content_type="application/json",
            content_encoding="utf-8",
            delivery_mode=DeliveryMode.PERSISTENT,
            message_id=message_id,
            app_id=APP_ID,
            expiration=publication.expires_seconds,
            headers={"x-worker-id": self._worker_id, **position},
        )
        await self._hand_over(self._current.exchange, message, publication.key)

    async def set_aside(self, message: AbstractIncomingMessage, *, queue: str, reason: str) -> None:
        """Put what could not be understood where a person finds it, with the reason.

        Raises:
            TemporaryFailure: the broker has not confirmed it.
        """
        key = message.headers.get(_ROUTING_KEY) or message.routing_key or ""
        headers = {"x-reason": reason, "x-queue": queue, _ROUTING_KEY: key}
        dead = self._current.dead_letters
        await self._hand_over(dead, _copy(message, headers), dead.name)

    async def pass_on(self, message: AbstractIncomingMessage, *, queue: str, hops: int) -> None:
        """Put a message back into its queue for another worker.

        Raises:
            TemporaryFailure: the broker has not confirmed it.
        """
        exchange = self._current.channel.default_exchange
        await self._hand_over(exchange, _copy(message, {"x-hops": hops}), queue)

    async def hold(self, message: AbstractIncomingMessage, *, queue: str) -> None:
        """Put a message into a queue of ours where it waits.

        Raises:
            TemporaryFailure: the broker has not confirmed it.
        """
        headers = {HELD_SINCE: time.time_ns() // 1_000_000, _ROUTING_KEY: message.routing_key or ""}
        await self._hand_over(
            self._current.channel.default_exchange, _copy(message, headers), queue
        )

    @property
    def _current(self) -> _Open:
        if self._open is None:
            raise TemporaryFailure(f"RabbitMQ can't be reached: {self.fault}", of_all=True)
        return self._open

    async def _ensure_read_by_others(self) -> None:
        """See to it that the back end's queue is there.

        Our own queues on this key make every message routable, so that the broker would not say
        that the one which matters is missing.
        """
        work = ensure_bound(
            self._current.connection,
            self._topology.exchange,
            self._topology.session_update,
            SESSION_UPDATE,
        )
        try:
            await settled(work, seconds=CALL_SECONDS)
        except BROKEN as error:
            self._give_up(error)

    async def _hand_over(self, exchange: AbstractExchange, message: Message, key: str) -> None:
        try:
            await settled(exchange.publish(message, key, mandatory=True), seconds=CALL_SECONDS)
        except PublishError:
            name = exchange.name or "the default exchange"
            raise TemporaryFailure(f"no queue is bound to {key} of {name}") from None
        except DeliveryError as error:
            raise TemporaryFailure(f"RabbitMQ refused: {error}"[:300], of_all=True) from None
        except BROKEN as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        # What was sent without an answer may still be confirmed, out of place, on this channel.
        self._open = None
        self._broken.set()
        sentence = f"RabbitMQ did not confirm: {type(error).__name__}: {error}"
        raise TemporaryFailure(sentence[:300], of_all=True) from None

    async def _attend(self, connection: AbstractConnection) -> None:
        await settled(declare(connection, self._topology), seconds=DECLARE_SECONDS)
        channel = await settled(_confirming(connection), seconds=CALL_SECONDS)
        exchange = await channel.get_exchange(self._topology.exchange, ensure=False)
        dead = await channel.get_exchange(self._topology.dead_letters, ensure=False)
        self._broken.clear()
        self._open = _Open(connection, channel, exchange, dead)
        self._link.up()
        try:
            while not (channel.is_closed or self._broken.is_set()):
                # Looked at from time to time: a channel may go without a word.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._broken.wait()
        finally:
            self._open = None


async def _confirming(connection: AbstractConnection) -> AbstractChannel:
    channel = connection.channel(on_return_raises=True)
    await channel.initialize()
    return channel


def _copy(message: AbstractIncomingMessage, headers: Mapping[str, Any]) -> Message:
    return Message(
        message.body,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
        headers={**message.headers, **headers},
    )
