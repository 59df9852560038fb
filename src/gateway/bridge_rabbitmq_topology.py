"""What is on the broker: the exchange and queues of existing back ends, and a few of our own."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from gateway.bridge_rabbitmq_words import (
    MESSAGE_RECEIVE,
    MESSAGE_SEND,
    NUMBER_HEALTH,
    SESSION_UPDATE,
    WORKER_EVENTS,
)

# What goes back into such a queue goes to its old place, and as often as is needed: others count.
_IN_PLACE: dict[str, Any] = {"x-queue-type": "classic"}
CALL_SECONDS = 5.0
DECLARE_SECONDS = 30.0


@dataclass(frozen=True)
class Topology:
    """Names on the broker.

    Back ends and workers share one queue in both directions, and two consumers of a queue steal
    each other's messages. So nobody here consumes `session_update`: a direct exchange gives every
    queue that is bound to a key its own copy, and `commands` is ours.

    `commands` is shared by every gateway on the broker: one of them takes a command that names no
    worker. A command that names one comes by that worker's own queue.
    """

    exchange: str = "whatsapp.exchange"
    session_update: str = "whatsapp.session.update"
    message_send: str = "whatsapp.message.send"
    message_receive: str = "whatsapp.message.receive"
    number_health: str = "whatsapp.number.health"
    worker_events: str = "whatsapp.worker.events"
    commands: str = "whatsapp.gateway.session.update"
    dead_letters: str = "whatsapp.gateway.dead.letter"
    worker_id: str | None = None

    @property
    def own_commands(self) -> str | None:
        """The queue of commands that name this worker; None without a name."""
        return None if self.worker_id is None else f"{self.commands}.{self.worker_id}"

    @property
    def held(self) -> str:
        """The queue of orders that wait for room; each worker's own, as its sessions are."""
        own = "" if self.worker_id is None else f".{self.worker_id}"
        return f"{self.message_send}.held{own}"

    @property
    def consumed(self) -> tuple[str, ...]:
        """The queues that this worker takes messages from."""
        own = self.own_commands
        return (self.commands, self.message_send, *(() if own is None else (own,)))

    @property
    def bindings(self) -> tuple[tuple[str, str], ...]:
        """Every queue of the exchange with its key."""
        return (
            (self.session_update, SESSION_UPDATE),
            (self.message_send, MESSAGE_SEND),
            (self.message_receive, MESSAGE_RECEIVE),
            (self.number_health, NUMBER_HEALTH),
            (self.worker_events, WORKER_EVENTS),
            *((queue, SESSION_UPDATE) for queue in self.consumed if queue != self.message_send),
        )


async def declare(connection: AbstractConnection, topology: Topology) -> None:
    """Make what is not there yet; what is there stays as it is, whatever its arguments.

    Raises:
        AMQPError, OSError, TimeoutError: the broker did not let us, or went away.
    """
    await _exchange(connection, topology.exchange)
    await _exchange(connection, topology.dead_letters)
    for queue, key in topology.bindings:
        await ensure_bound(connection, topology.exchange, queue, key)
    dead = topology.dead_letters
    await ensure_bound(connection, dead, dead, dead)
    if await depth(connection, topology.held) is None:
        async with asyncio.timeout(CALL_SECONDS), connection.channel() as channel:
            await channel.declare_queue(topology.held, durable=True, arguments=_IN_PLACE)


async def ensure_bound(connection: AbstractConnection, exchange: str, queue: str, key: str) -> None:
    """Make a durable queue unless it is there, and bind it. Raises as `declare`."""
    async with asyncio.timeout(CALL_SECONDS):
        try:
            await _bind(connection, exchange, queue, key)
        except ChannelNotFoundEntity:
            async with connection.channel() as channel:
                await channel.declare_queue(queue, durable=True)
            await _bind(connection, exchange, queue, key)


async def _bind(connection: AbstractConnection, exchange: str, queue: str, key: str) -> None:
    async with connection.channel() as channel:
        found = await channel.get_queue(queue, ensure=False)
        await found.bind(exchange, key)


async def depth(connection: AbstractConnection, queue: str) -> tuple[int, int] | None:
    """Return how many messages wait in a queue, and its consumers; None if there is no such queue.

    Raises as `declare`.
    """
    async with asyncio.timeout(CALL_SECONDS):
        try:
            async with connection.channel() as channel:
                # Not declared as we would: with other arguments, the broker would refuse.
                found = await channel.declare_queue(queue, passive=True)
                counts = found.declaration_result
                return counts.message_count or 0, counts.consumer_count or 0
        except ChannelNotFoundEntity:
            return None


async def _exchange(connection: AbstractConnection, name: str) -> None:
    async with asyncio.timeout(CALL_SECONDS):
        try:
            async with connection.channel() as channel:
                await channel.declare_exchange(name, passive=True)
        except ChannelNotFoundEntity:
            async with connection.channel() as channel:
                await _declare_exchange(channel, name)


async def _declare_exchange(channel: AbstractChannel, name: str) -> None:
    await channel.declare_exchange(name, ExchangeType.DIRECT, durable=True)
