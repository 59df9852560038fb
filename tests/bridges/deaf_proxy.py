"""A proxy before RabbitMQ that can swallow deliveries while everything else goes on."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

_BASIC_DELIVER = struct.pack(">HH", 60, 60)
_METHOD = 1


@dataclass
class DeafProxy:
    """Passes AMQP frames on; those of deliveries only over connections that are not deaf."""

    url: str
    swallowed: int = 0
    _lines: list["_Line"] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, url: str) -> AsyncIterator["DeafProxy"]:
        """Listen on a free port."""
        parts = urlsplit(url)
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            host, port = parts.hostname or "127.0.0.1", parts.port or 5672
            there, back = await asyncio.open_connection(host, port)
            line = _Line(proxy)
            proxy._lines.append(line)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, back))
                    group.create_task(line.relay(there, writer))
            except* (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()
                back.close()
                tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        own = server.sockets[0].getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        proxy = cls(urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{own}")))
        try:
            yield proxy
        finally:
            server.close()
            for task in tasks:
                task.cancel()

    def swallow_deliveries(self) -> None:
        """Let no delivery through from now on, on the connections that there are."""
        for line in self._lines:
            line.deaf = True


@dataclass
class _Line:
    proxy: DeafProxy
    deaf: bool = False

    async def relay(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the broker's frames on."""
        silenced: set[int] = set()
        while True:
            head = await there.readexactly(7)
            kind, channel, size = struct.unpack(">BHI", head)
            rest = await there.readexactly(size + 1)
            if kind == _METHOD:
                is_delivery = self.deaf and rest.startswith(_BASIC_DELIVER)
                self.proxy.swallowed += is_delivery
                (silenced.add if is_delivery else silenced.discard)(channel)
            if channel not in silenced:
                writer.write(head + rest)
                await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError
