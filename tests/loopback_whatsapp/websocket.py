"""The server's side of a WebSocket on an asyncio stream, as a stream of bytes."""

import asyncio

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

READ_BYTES = 1 << 16
MAX_MESSAGE_BYTES = 1 << 25


class WebSocket:
    """Message boundaries mean nothing in the protocol above, so that frames are just joined."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        # Without extensions: what is encrypted does not get smaller by compression.
        self._protocol = ServerProtocol(max_size=MAX_MESSAGE_BYTES)

    async def receive(self) -> bytes:
        """The next bytes; b"" when the client has gone."""
        while self._protocol.state is not State.CLOSED:
            data = await self._reader.read(READ_BYTES)
            if not data:
                return b""
            self._protocol.receive_data(data)
            payload = b"".join(self._payloads())
            self._flush()
            if payload:
                return payload
        return b""

    def send(self, data: bytes) -> None:
        """Send at once; nothing is sent on a connection that has ended."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)
            self._flush()

    def close(self) -> None:
        """End the connection politely, without waiting for the client."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close()
            self._flush()
        self._writer.close()

    def abort(self) -> None:
        """End the connection as a broken network does."""
        self._writer.transport.abort()

    def _payloads(self) -> list[bytes]:
        payloads = []
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                payloads.append(bytes(event.data))
        return payloads

    def _flush(self) -> None:
        if not self._writer.transport.is_closing():
            self._writer.writelines(self._protocol.data_to_send())
