"""The way in: an HTTP CONNECT proxy that ends TLS itself and never leads out of the machine.

`web.whatsapp.com` becomes a WebSocket of the network; the media hosts lead to our HTTP server.
"""

import asyncio
import contextlib
import logging
import ssl

from . import connection
from .network import Network
from .websocket import WebSocket

log = logging.getLogger(__name__)

CHAT_HOST = "web.whatsapp.com"
MEDIA_DOMAIN = ".whatsapp.net"
PIPE_BYTES = 1 << 16
GREETING_TIMEOUT_SECONDS = 10.0


class Gate:
    """One listener on loopback; `http_port` is where the media hosts lead to."""

    def __init__(self, network: Network, tls: ssl.SSLContext, http_port: int) -> None:
        self._network, self._tls, self._http_port = network, tls, http_port
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Start to listen; return the port."""
        self._server = await asyncio.start_server(self._admit, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Stop to listen and break all streams."""
        if self._server is not None:
            self._server.close()
        self._network.drop(None)

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._lead(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as reason:
            log.info("a client went away: %r", reason)
        finally:
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(GREETING_TIMEOUT_SECONDS):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, *_ = head.split(" ")
        host = target.rpartition(":")[0]
        if self._network.faults.refusing_connections:
            # A reset, as from a host that is down; an HTTP error would be another fault.
            return writer.transport.abort()
        if method != "CONNECT" or not (host == CHAT_HOST or host.endswith(MEDIA_DOMAIN)):
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return await writer.drain()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        # The client waits for the 200, so that nothing of its TLS handshake has been read above.
        await writer.start_tls(self._tls)
        if host == CHAT_HOST:
            return await connection.serve(self._network, WebSocket(reader, writer))
        return await self._pipe_to_http(reader, writer)

    async def _pipe_to_http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._http_port)
        await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(PIPE_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
