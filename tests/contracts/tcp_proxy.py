"""A TCP proxy that can fail as networks do: connections that carry nothing, or none at all."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self


class TcpProxy:
    """Forwards a free loopback port to a port of a server."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._links: list[tuple[asyncio.Event, StreamWriter, StreamWriter]] = []
        self._is_closed = False
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, target_port: int) -> AsyncIterator[Self]:
        """Forward until the block is left."""
        proxy = cls(target_port)
        server = await asyncio.start_server(proxy._forward, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()

    def freeze(self) -> None:
        """Let today's connections stand and carry nothing more, not even their end."""
        for flowing, _, _ in self._links:
            flowing.clear()

    def cut(self) -> None:
        """End today's connections."""
        for flowing, near, far in self._links:
            near.transport.abort()
            far.transport.abort()
            flowing.set()
        self._links.clear()

    def close(self) -> None:
        """End today's connections, and every new one at once, until `reopen`."""
        self._is_closed = True
        self.cut()

    def reopen(self) -> None:
        """Forward again."""
        self._is_closed = False

    async def _forward(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._is_closed:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except ConnectionError:
            writer.transport.abort()
            return
        flowing = asyncio.Event()
        flowing.set()
        self._links.append((flowing, writer, far_writer))
        await asyncio.gather(_pump(reader, far_writer, flowing), _pump(far_reader, writer, flowing))


async def _pump(reader: StreamReader, writer: StreamWriter, flowing: asyncio.Event) -> None:
    try:
        while data := await reader.read(65_536):
            await flowing.wait()
            writer.write(data)
            await writer.drain()
        await flowing.wait()
    except ConnectionError:
        return
    finally:
        writer.transport.abort()
