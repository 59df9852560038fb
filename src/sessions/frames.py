"""Frames on a socket pair: four bytes of length, big-endian, then one JSON document."""

import asyncio
import socket
import struct

HEADER = struct.Struct(">I")
MAX_FRAME_BYTES = 16 << 20


class FrameTooLarge(Exception):
    """A frame is larger than `MAX_FRAME_BYTES`: the other side is not speaking our protocol."""


def pack(body: bytes) -> bytes:
    """Return the body with its length in front.

    Raises:
        FrameTooLarge: the body is over `MAX_FRAME_BYTES`.
    """
    if len(body) > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"a frame of {len(body)} bytes")
    return HEADER.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next frame's body, None at the end of the stream, also in the middle of a frame.

    Raises:
        FrameTooLarge: the announced length is over `MAX_FRAME_BYTES`.
    """
    try:
        (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
        if length > MAX_FRAME_BYTES:
            raise FrameTooLarge(f"a frame of {length} bytes")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def receive_frame(connection: socket.socket) -> bytes | None:
    """Return the next frame's body like `read_frame`, blocking; for a thread."""
    header = _receive_exactly(connection, HEADER.size)
    if header is None:
        return None
    (length,) = HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"a frame of {length} bytes")
    return _receive_exactly(connection, length)


def _receive_exactly(connection: socket.socket, count: int) -> bytes | None:
    chunks = bytearray()
    while len(chunks) < count:
        try:
            chunk = connection.recv(count - len(chunks))
        except ConnectionError:
            return None
        if not chunk:
            return None
        chunks += chunk
    return bytes(chunks)
