"""The parts of python-socketio and python-engineio that the server replaces."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import engineio
import orjson
from engineio import packet as engine_packets
from socketio import packet as packets

BATCH_BYTES = 64 * 1024
OTHER_PACKET_BYTES = 64
"""What a packet without a size counts: pings, refusals, the end."""


class _Json:
    """orjson as the library wants it: it refuses the lone surrogates that json lets in."""

    @staticmethod
    def loads(text: str) -> object:
        return orjson.loads(text)

    @staticmethod
    def dumps(value: object, **_separators: object) -> str:
        return orjson.dumps(value).decode()


class SizedPacket(engine_packets.Packet):  # type: ignore[misc]  # the library is not typed
    """A packet that knows how many bytes it is."""

    def __init__(self, text: bytes) -> None:
        super().__init__(engine_packets.MESSAGE, data=text.decode())
        self.size_bytes = len(text)


class CountedQueue(asyncio.Queue[Any]):
    """The packets that wait for one client, counted in bytes.

    The library takes all that is there at once, into a list that nobody sees, and writes it packet
    by packet. Here it gets a batch, which counts until it comes for the next one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting_bytes = 0
        self._batch_bytes = 0

    @property
    def unsent_bytes(self) -> int:
        """What waits, and what is being written."""
        return self._waiting_bytes + self._batch_bytes

    async def get(self) -> Any:
        """Return the first packet of a batch, when there is one."""
        self._batch_bytes = 0
        return await super().get()

    def get_nowait(self) -> Any:
        """Return one more packet of the batch; raises QueueEmpty at its end."""
        if self._batch_bytes >= BATCH_BYTES:
            raise asyncio.QueueEmpty
        return super().get_nowait()

    def drop(self) -> None:
        """Forget what waits."""
        while not self.empty():
            super().get_nowait()
            self.task_done()
        self._batch_bytes = 0

    def _put(self, item: Any) -> None:
        self._waiting_bytes += _size_of(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._waiting_bytes -= _size_of(item)
        self._batch_bytes += _size_of(item)
        return item


def _size_of(item: Any) -> int:
    return getattr(item, "size_bytes", OTHER_PACKET_BYTES)


class Engine(engineio.AsyncServer):  # type: ignore[misc]  # the library is not typed
    def create_queue(self, *_args: object, **_options: object) -> CountedQueue:
        """Return the queue of a new connection."""
        return CountedQueue()

    async def disconnect(self, sid: str) -> None:
        """End a connection without waiting until its client has read everything.

        The library waits for ever in a request that is too large, for the close packet to be read.
        And to its own client that packet means that it must not come back by itself.
        """
        line = self.sockets.pop(sid, None)
        if line is None:
            return
        await line.close(wait=False, abort=True)
        self.release(line)

    def release(self, line: Any) -> None:
        """End what still writes to a connection that is closed: a poll that waits, or the writer.

        The next poll is refused; the writer closes the WebSocket.
        """
        if not line.upgraded:
            line.queue.put_nowait(engine_packets.Packet(engine_packets.NOOP))
        line.queue.put_nowait(None)


class Packet(packets.Packet):  # type: ignore[misc]  # the library is not typed
    json = _Json


def origin_check(allowed: Collection[str]) -> Callable[[str | None, dict[str, Any]], bool]:
    """Return the decision on an `Origin` header: the listed ones (`*`: any) and our own host."""

    def check(origin: str | None, environ: dict[str, Any]) -> bool:
        if origin is None or "*" in allowed or origin in allowed:
            return True
        return bool(origin) and urlsplit(origin).netloc == environ.get("HTTP_HOST")

    return check


def library_logger() -> logging.Logger:
    """Return a logger for the libraries, which log whole packets, secrets and all, at INFO."""
    logger = logging.getLogger("gateway.socketio")
    logger.setLevel(logging.ERROR)
    if not logger.filters:
        logger.addFilter(_not_the_clients_fault)
    return logger


def _not_the_clients_fault(record: logging.LogRecord) -> bool:
    """Drop the stack traces of undecodable long-polling requests: anyone can cause them."""
    return "post request handler error" not in record.getMessage()
