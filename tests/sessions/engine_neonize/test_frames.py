"""Frames survive being cut anywhere, and nothing larger than agreed is read."""

import asyncio
import socket
import threading

import pytest

from sessions.frames import HEADER, MAX_FRAME_BYTES, FrameTooLarge, pack, read_frame, receive_frame

BODIES = [b"{}", b"x" * 70_000, b""]


async def test_frames_come_back_whole_on_both_kinds_of_reader() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(pack(body) for body in BODIES))
    reader.feed_eof()
    assert [await read_frame(reader) for _ in range(4)] == [*BODIES, None]

    ours, theirs = socket.socketpair()
    with ours, theirs:
        sending = threading.Thread(target=_trickle, args=(ours,))
        sending.start()
        received = await asyncio.to_thread(lambda: [receive_frame(theirs) for _ in range(4)])
        sending.join(5)
    assert received == [*BODIES, None]


async def test_a_frame_cut_short_is_the_end() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(pack(b"whole") + pack(b"cut short")[:-1])
    reader.feed_eof()

    assert [await read_frame(reader) for _ in range(2)] == [b"whole", None]


async def test_a_frame_over_the_limit_is_refused() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(HEADER.pack(MAX_FRAME_BYTES + 1))

    with pytest.raises(FrameTooLarge):
        await read_frame(reader)
    with pytest.raises(FrameTooLarge):
        pack(bytes(MAX_FRAME_BYTES + 1))


def _trickle(connection: socket.socket) -> None:
    for body in BODIES:
        data = pack(body)
        connection.sendall(data[:3])
        connection.sendall(data[3:])
    connection.shutdown(socket.SHUT_WR)
