"""A crowd that opens connections and never says who it is: ended in time, nobody notices."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from tests.gateway.edge import QUICK, Edge, eventually, running_edge

CROWD = 1000
AT_ONCE = 20
NOTICE_SECONDS = 4.0
"""The neighbour shares its one core with the crowd; this is far below the 5 s of a stall."""
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def test_a_thousand_handshakes_without_a_token_end_and_a_neighbour_is_served(
    tmp_path: Path,
) -> None:
    async with running_edge(tmp_path, limits=replace(QUICK, handshake_seconds=3)) as edge:
        session = await edge.house.session("shop")
        async with edge.client() as neighbour:
            await neighbour.subscribe("shop")
            crowd = asyncio.create_task(_crowd(edge))
            delays: list[float] = []
            while not crowd.done() or edge.counted("wagate_handshake_timeouts_total") < CROWD:
                started = time.monotonic()
                await edge.append(session, 1, first=len(delays) + 1)
                await neighbour.hears("session:status", len(delays) + 1)
                delays.append(time.monotonic() - started)
                await asyncio.sleep(0.02)  # not a wait: the pace of the events
            await _all_closed(await crowd)
        await eventually(lambda: edge.realtime.connections == 0, "no client is left")
    assert neighbour.seqs() == list(range(1, len(delays) + 1))
    assert max(delays) < NOTICE_SECONDS
    assert edge.counted("wagate_handshake_timeouts_total") == CROWD


async def _crowd(edge: Edge) -> list[Stream]:
    """Open a thousand connections, every other by long-polling, which all say nothing more."""
    free = asyncio.Semaphore(AT_ONCE)

    async def handshake(number: int) -> Stream:
        async with free, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
            writer.write(_request(edge.port, websocket=number % 2 == 0))
            answer = await reader.readuntil(b"\r\n")
            assert (b" 101 " if number % 2 == 0 else b" 200 ") in answer
            return reader, writer

    return await asyncio.gather(*(handshake(number) for number in range(CROWD)))


def _request(port: int, *, websocket: bool) -> bytes:
    transport = "websocket" if websocket else "polling"
    lines = [
        f"GET /socket.io/?EIO=4&transport={transport} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        *(
            [
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version: 13",
            ]
            if websocket
            else []
        ),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _all_closed(crowd: list[Stream]) -> None:
    """Wait until the server has ended each of them: a close frame, or the end of a kept-alive."""
    async with asyncio.timeout(40):
        for number, (reader, writer) in enumerate(crowd):
            if number % 2 == 0:
                assert b"\x88\x02\x03\xe8" in await _last_bytes(reader)
            writer.close()
            await writer.wait_closed()


async def _last_bytes(reader: asyncio.StreamReader) -> bytes:
    """Read up to the close frame (1000): uvicorn waits for its echo before it closes."""
    heard = b""
    while b"\x88" not in heard:
        chunk = await reader.read(2**16)
        if not chunk:
            break
        heard += chunk
    return heard
