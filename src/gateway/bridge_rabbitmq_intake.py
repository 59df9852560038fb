"""Takes what back ends put into this worker's queues, and acknowledges what is done.

Model: each delivery becomes a task of ours, which a lost connection does not cancel: half a
command must not be done. Those about one number take turns in the order in which they came; the
broker sends no more than so many ahead, so none may wait for what others need not wait for. What
was not acknowledged comes again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from weakref import WeakValueDictionary

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError

from gateway.bridge import TemporaryFailure
from gateway.bridge_rabbitmq_commands import Commands, NotHere
from gateway.bridge_rabbitmq_held import Held, StillFull
from gateway.bridge_rabbitmq_link import BROKEN, Link, LinkLost, settled
from gateway.bridge_rabbitmq_orders import (
    Command,
    SendOrder,
    Unreadable,
    read_command,
    read_send,
)
from gateway.bridge_rabbitmq_publisher import APP_ID, Publisher
from gateway.bridge_rabbitmq_topology import (
    CALL_SECONDS,
    DECLARE_SECONDS,
    Topology,
    declare,
    depth,
)
from sessions.errors import SessionsError

logger = logging.getLogger(__name__)

_PREFETCH = 20
_MOST_HOPS = 10
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


class Intake:
    """Consumes commands and messages to send.

    Args:
        check_seconds: how often it is looked at whether consumers still consume.
        silence_seconds: so long may messages wait in a queue without any being delivered.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        name: str,
        worker_id: str,
        commands: Commands,
        publisher: Publisher,
        held: Held,
        check_seconds: float = 10.0,
        silence_seconds: float = 60.0,
    ) -> None:
        self._topology = topology
        self._of_orders = frozenset({topology.message_send, topology.held})
        self._worker_id = worker_id
        self._commands = commands
        self._publisher = publisher
        self._held = held
        self._check_seconds = check_seconds
        self._silence_seconds = silence_seconds
        self._link = Link(url, f"{name} (commands)", self._attend)
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._in_hand = 0
        self._heard_at: dict[str, float] = {}
        self._others: dict[str, int] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def fault(self) -> str | None:
        """Why nothing can be taken now."""
        return self._link.fault

    async def run(self) -> None:
        """Consume until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            await self._link.run()

    async def _attend(self, connection: AbstractConnection) -> None:
        await settled(declare(connection, self._topology), seconds=DECLARE_SECONDS)
        # First, so that it is known of which numbers there are any when the next order comes.
        await self._held.look(connection, self._settle_held)
        channel = await settled(connection.channel().__aenter__(), seconds=CALL_SECONDS)
        await settled(channel.set_qos(prefetch_count=_PREFETCH), seconds=CALL_SECONDS)
        for name in self._topology.consumed:
            queue = await channel.get_queue(name, ensure=False)
            self._heard_at[name] = self._now()
            await settled(queue.consume(partial(self._take, name)), seconds=CALL_SECONDS)
        self._link.up()
        while not channel.is_closed:
            await settled(self._check(connection), seconds=DECLARE_SECONDS)
            await self._held.look(connection, self._settle_held)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._check_seconds):
                    await channel.closed()

    async def _check(self, connection: AbstractConnection) -> None:
        """Look whether the queues are there and consumed.

        Raises:
            LinkLost: something is not as it should be; everything is to be set up anew.
        """
        await declare(connection, self._topology)
        for name in self._topology.consumed:
            counts = await depth(connection, name)
            waiting, consumers = counts or (0, 0)
            if not consumers:
                raise LinkLost(f"nobody consumes {name}")
            self._others[name] = consumers - 1
            silent_seconds = self._now() - self._heard_at[name]
            if waiting == 0 or self._in_hand:
                self._heard_at[name] = self._now()
            elif silent_seconds > self._silence_seconds:
                raise LinkLost(f"{waiting} messages wait in {name} and none comes")

    async def _take(self, queue: str, message: AbstractIncomingMessage) -> None:
        self._heard_at[queue] = self._now()
        assert self._group is not None  # noqa: S101 - it holds whoever consumes
        self._group.create_task(self._handle(queue, message))

    async def _handle(self, queue: str, message: AbstractIncomingMessage) -> None:
        self._in_hand += 1
        try:
            await self._settle(queue, message)
        except _Gone:
            return
        except Exception:
            # Not acknowledged, so it comes again; and one message must not end the server.
            logger.exception("message not settled", extra={"service": queue})
            return
        finally:
            self._in_hand -= 1
        with contextlib.suppress(*BROKEN):
            await settled(message.ack(), seconds=CALL_SECONDS)

    async def _settle_held(self, message: AbstractIncomingMessage) -> None:
        try:
            await self._settle(self._topology.held, message)
        except _Gone:
            raise LinkLost("the connection was lost") from None

    async def _settle(self, queue: str, message: AbstractIncomingMessage) -> None:
        """Do what a message says, or put it where it belongs; when this returns, it is done with.

        Raises:
            _Gone: the message will come again.
            StillFull: it was held, and is to be held on.
        """
        if message.app_id == APP_ID and queue not in self._of_orders:
            return
        order: Command | SendOrder | None = None
        try:
            order = self._read(queue, message)
            if order is not None:
                async with self._turn(order.number_id):
                    await self._patiently(message, partial(self._do, queue, message, order))
        except Unreadable as refusal:
            if order is not None or self._concerns_us(queue, refusal.command):
                await self._refuse(queue, message, order or refusal.command, str(refusal))
        except SessionsError as refusal:
            await self._refuse(queue, message, order, refusal.message)
        except (_Gone, StillFull):
            raise
        except Exception as error:
            # Poison must not come again and again: it is kept, and the consumer lives.
            logger.exception("command failed unexpectedly", extra={"service": queue})
            reason = f"unexpected {type(error).__name__}; see the gateway's log"
            await self._refuse(queue, message, order, reason)

    def _read(self, queue: str, message: AbstractIncomingMessage) -> Command | SendOrder | None:
        if queue in self._of_orders:
            return read_send(message.body)
        command = read_command(message.body)
        if command is None or not self._is_for_us(queue, command.worker_id):
            return None
        return command

    def _is_for_us(self, queue: str, worker_id: str | None) -> bool:
        """Tell whether a command is to be obeyed that came by this queue.

        One that names a worker comes to that worker's own queue as well as to the shared one.
        """
        if queue == self._topology.own_commands:
            return worker_id == self._worker_id
        if self._topology.own_commands is not None:
            return worker_id is None
        return worker_id in {None, self._worker_id}

    def _concerns_us(self, queue: str, command: Command | None) -> bool:
        """Tell whether what can't be understood is set aside from here, of two queues from one."""
        if queue in self._of_orders:
            return True
        if command is None:
            return queue != self._topology.own_commands
        return self._is_for_us(queue, command.worker_id)

    async def _do(
        self, queue: str, message: AbstractIncomingMessage, order: Command | SendOrder
    ) -> None:
        try:
            if not isinstance(order, SendOrder):
                await self._commands.obey(order)
            elif queue == self._topology.held:
                await self._held.send_again(message, order)
            else:
                await self._held.send(message, order)
        except NotHere:
            await self._not_here(queue, message, order)

    async def _not_here(
        self, queue: str, message: AbstractIncomingMessage, order: Command | SendOrder
    ) -> None:
        hops = message.headers.get("x-hops", 0)
        hops = hops if isinstance(hops, int) else 0
        shared = queue != self._topology.own_commands
        if shared and self._others.get(queue, 0) > 0 and hops < _MOST_HOPS:
            await self._publisher.pass_on(message, queue=queue, hops=hops + 1)
            return
        reason = f"There is no session of the number {order.number_id}."
        if isinstance(order, SendOrder):
            raise Unreadable(reason)
        # Closing what is not there is done already.
        if order.action not in {"close", "disconnect"}:
            await self._commands.refuse(order, reason)

    async def _refuse(
        self,
        queue: str,
        message: AbstractIncomingMessage,
        order: Command | SendOrder | None,
        reason: str,
    ) -> None:
        """Set aside what can't be done; a command is answered too, as the back end waits for it."""
        if isinstance(order, Command) and self._is_for_us(queue, order.worker_id):
            await self._patiently(message, partial(self._commands.refuse, order, reason))
        await self._set_aside(queue, message, reason)

    async def _set_aside(self, queue: str, message: AbstractIncomingMessage, reason: str) -> None:
        logger.warning("message set aside", extra={"service": queue, "error": reason})
        work = partial(self._publisher.set_aside, message, queue=queue, reason=reason)
        await self._patiently(message, work)

    async def _patiently(
        self, message: AbstractIncomingMessage, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Try again what can't be done only for now, as long as the message is ours."""
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await work()
            except TemporaryFailure:
                pass
            except SessionsError as error:
                if not error.temporary:
                    raise
            if not _is_ours(message):
                raise _Gone
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _turn(self, number: int) -> asyncio.Lock:
        return self._turns.setdefault(number, asyncio.Lock())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class _Gone(Exception):
    """The connection by which a message came is lost: the broker delivers it again."""


def _is_ours(message: AbstractIncomingMessage) -> bool:
    """Tell whether a message can still be acknowledged."""
    try:
        return not message.channel.is_closed
    except ChannelInvalidStateError:
        return False
