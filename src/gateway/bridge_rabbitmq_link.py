"""One connection to RabbitMQ that is made again whenever it is lost, without end.

Not the library's own reconnecting connection: that one restores what it knows, but neither a
deleted queue nor a consumer that silently stopped, and says little of how it is.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

logger = logging.getLogger(__name__)

T = TypeVar("T")

BROKEN = CONNECTION_EXCEPTIONS
"""What the library raises when the broker refuses, or goes away."""

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 3.0
_HEARTBEAT_SECONDS = 15
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


class LinkLost(ConnectionError):
    """The connection can't be used any more."""


class Link:
    """Keeps one connection open.

    Args:
        url: where the broker is. Secret: it holds a password.
        name: of the connection, as the broker shows it.
        attend: works with a connection until it is of no use, then returns or raises; it calls
            `up` when all is as it should be.
    """

    def __init__(
        self, url: str, name: str, attend: Callable[[AbstractConnection], Awaitable[None]]
    ) -> None:
        self._url = url
        self._name = name
        self._attend = attend
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self.fault: str | None = "not connected yet"
        """Why the link is not up; None when it is."""

    def up(self) -> None:
        """Take note that the connection works."""
        self.fault = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        logger.info("connected to RabbitMQ", extra={"service": self._name})

    async def run(self) -> None:
        """Connect, attend, and begin again, until cancelled."""
        while True:
            try:
                await self._hold()
                self._down("the connection was lost")
            except BROKEN as error:
                self._down(said(error))
            except Exception as error:
                logger.exception("RabbitMQ's client failed unexpectedly")
                self._down(type(error).__name__)
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)

    def _down(self, fault: str) -> None:
        if fault != self.fault:
            logger.warning("RabbitMQ is away", extra={"service": self._name, "error": fault})
        self.fault = fault

    async def _hold(self) -> None:
        connection = await settled(
            aio_pika.connect(
                self._url,
                timeout=_CONNECT_SECONDS,
                heartbeat=_HEARTBEAT_SECONDS,
                client_properties={"connection_name": self._name},
            ),
            seconds=_CONNECT_SECONDS + 1,
        )
        try:
            await self._attend(connection)
        finally:
            with contextlib.suppress(*BROKEN):
                await settled(connection.close(), seconds=_CLOSE_SECONDS)


async def probe(url: str) -> str | None:
    """Connect and leave again; return why that is not possible, None when it is."""
    try:
        connection = await settled(
            aio_pika.connect(url, timeout=_CONNECT_SECONDS), seconds=_CONNECT_SECONDS + 1
        )
    except BROKEN as error:
        return said(error)
    with contextlib.suppress(*BROKEN):
        await settled(connection.close(), seconds=_CLOSE_SECONDS)
    return None


def said(error: BaseException) -> str:
    """Return what the library raised in words for an operator."""
    text = f"{type(error).__name__}: {error}"
    if "Connection.OpenOk" in text and "Connection.Close" in text:
        # The broker closes instead of opening: the library shows the frames, not the reason.
        return "the broker does not open the virtual host: it is not there, or not for this user"
    return text[:300]


async def settled(work: Awaitable[T], *, seconds: float) -> T:
    """Wait for a call of the library, with an end.

    When the connection goes, it cancels what waits for an answer; that must not look as if
    somebody had cancelled the caller. Nor may it swallow that somebody has, as it does when it is
    closing meanwhile: so the call is a task of its own.

    Raises:
        LinkLost: no answer came in time, or will come at all; or whatever the call raises.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_looked_at)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        raise LinkLost(f"the broker gave no answer within {seconds:g} s")
    if task.cancelled():
        raise LinkLost("the connection was lost")
    return task.result()


def _looked_at(task: asyncio.Future[Any]) -> None:
    """Take a late failure for what it is, the end of something that nobody waits for."""
    if not task.cancelled():
        task.exception()
