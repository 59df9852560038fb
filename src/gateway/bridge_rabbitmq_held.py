"""Orders for sessions that have too much to send: they wait on the broker, in their order.

Model: the intake puts a copy of such an order into a queue of ours, and of every later one of its
number, so that none overtakes and other numbers get on. From time to time the intake looks at that
queue and does what can be done. What a look can't do goes back to its place when the look's channel
closes, before all that was put there meanwhile.
"""

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from gateway.bridge_rabbitmq_commands import Commands
from gateway.bridge_rabbitmq_link import settled
from gateway.bridge_rabbitmq_orders import SendOrder, Unreadable
from gateway.bridge_rabbitmq_publisher import HELD_SINCE, Publisher
from gateway.bridge_rabbitmq_topology import CALL_SECONDS, Topology
from sessions.errors import QueueFull

logger = logging.getLogger(__name__)


class StillFull(Exception):
    """A held order can't be done yet, and keeps its place."""


class Held:
    """What one worker holds back.

    Args:
        longest_seconds: so long may an order wait while its session is full.
    """

    def __init__(
        self,
        topology: Topology,
        commands: Commands,
        publisher: Publisher,
        *,
        longest_seconds: float,
    ) -> None:
        self._queue = topology.held
        self._commands = commands
        self._publisher = publisher
        self._longest_seconds = longest_seconds
        self._numbers: set[int] = set()
        self._put: set[int] = set()
        self._refused: set[int] = set()

    @property
    def fault(self) -> str | None:
        """Which orders have to wait now; None when none has to."""
        count = len(self._numbers)
        return f"too much is queued already in {count} session(s)" if count else None

    async def send(self, message: AbstractIncomingMessage, order: SendOrder) -> None:
        """Queue what is to be sent, or hold it behind what is held of its number.

        Raises:
            NotHere, SessionsError: it can't be queued; never QueueFull.
            TemporaryFailure: the broker has not confirmed to hold it.
        """
        number = order.number_id
        if number not in self._numbers:
            try:
                await self._commands.send(order, message_id=message.message_id)
            except QueueFull:
                extra = {"service": self._queue, "error": f"the session of number {number} is full"}
                logger.warning("orders are held", extra=extra)
            else:
                return
        await self._publisher.hold(message, queue=self._queue)
        self._numbers.add(number)
        self._put.add(number)

    async def send_again(self, message: AbstractIncomingMessage, order: SendOrder) -> None:
        """Queue what was held.

        Raises:
            NotHere, SessionsError: it can't be queued; never QueueFull.
            StillFull: not yet.
            Unreadable: it has waited for too long.
        """
        if order.number_id in self._refused:
            raise StillFull
        try:
            await self._commands.send(order, message_id=message.message_id)
        except QueueFull as full:
            if _age_seconds(message) > self._longest_seconds:
                reason = f"{full.message} It waited for {self._longest_seconds:g} s."
                raise Unreadable(reason) from None
            self._refused.add(order.number_id)
            raise StillFull from None

    async def look(
        self,
        connection: AbstractConnection,
        settle: Callable[[AbstractIncomingMessage], Awaitable[None]],
    ) -> None:
        """Let each held order be done, oldest first, if it can be now.

        Args:
            settle: does one; raises StillFull.

        Raises:
            AMQPError, OSError, TimeoutError: the broker went away.
        """
        known = bool(self._numbers)
        self._put, self._refused = set(), set()
        channel = await settled(connection.channel().__aenter__(), seconds=CALL_SECONDS)
        queue = await channel.get_queue(self._queue, ensure=False)
        # Once each number that is held has been refused, the rest need not be fetched.
        while not (known and self._numbers <= self._refused):
            message = await settled(queue.get(fail=False), seconds=CALL_SECONDS)
            if message is None:
                break
            with contextlib.suppress(StillFull):
                await settle(message)
                await settled(message.ack(), seconds=CALL_SECONDS)
        self._numbers = self._refused | self._put
        # What is left must be there for the next look; if this fails, the link is made anew.
        await settled(channel.close(), seconds=CALL_SECONDS)


def _age_seconds(message: AbstractIncomingMessage) -> float:
    since = message.headers.get(HELD_SINCE)
    return time.time() - since / 1000 if isinstance(since, int) else 0.0
