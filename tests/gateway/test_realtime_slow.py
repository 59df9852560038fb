"""Clients that read too slowly, or not at all: cut by bytes, and nobody else notices."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from sessions.session import Session
from tests.gateway.edge import QUICK, Client, Edge, eventually, running_edge
from tests.gateway.raw_socket import raw_socket

LIMIT_BYTES = 256 * 1024
CUTS = "wagate_client_disconnects_total"
NOTICE_SECONDS = 1.0
"""More than any neighbour's event takes on a machine that does a lot beside; far below a stall."""


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """The edge with little patience for slow clients."""
    async with running_edge(tmp_path, limits=replace(QUICK, unsent_bytes=LIMIT_BYTES)) as edge:
        yield edge


async def test_a_websocket_that_is_not_read_is_cut_and_its_neighbour_notices_nothing(
    edge: Edge,
) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as neighbour, raw_socket(edge, read_bytes=4096) as stuck:
        await neighbour.subscribe("shop")
        await stuck.subscribe("shop")
        delays = await _flood_until_cut(edge, session, neighbour)
        await eventually(lambda: not edge.realtime.unsent_bytes, "what it left is forgotten")
        await stuck.reads_to_the_end()
        await edge.append(session, 1, first=len(delays) + 1)
        await neighbour.hears("session:status", len(delays) + 1)
    assert max(delays) < NOTICE_SECONDS
    assert neighbour.seqs() == list(range(1, len(delays) + 2))
    assert edge.counted(CUTS, reason="slow") == 1
    cursor = f"{session.cursor.partition(':')[0]}:{(stuck.seqs() or [0])[-1]}"
    async with edge.client() as again:
        answer = await again.subscribe("shop", after=cursor)
        await again.hears("session:status", len(delays) + 1 - len(stuck.seqs()))
    assert answer["recovered"] is True
    assert [*stuck.seqs(), *again.seqs()] == neighbour.seqs()


async def test_a_slow_reader_finds_the_reason_in_the_close_frame(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as neighbour, raw_socket(edge, read_bytes=4096) as slow:
        await neighbour.subscribe("shop")
        await slow.subscribe("shop")
        await _flood_until_cut(edge, session, neighbour)
        await slow.reads_to_the_end()
    assert slow.ws.close_code == 4008


async def test_a_long_polling_client_that_does_not_come_back_is_cut(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as neighbour, aiohttp.ClientSession() as http:
        await neighbour.subscribe("shop")
        poll = await _polling_member(edge, http)
        delays = await _flood_until_cut(edge, session, neighbour)
        async with http.get(poll) as response:
            assert response.status == 400
    assert max(delays) < NOTICE_SECONDS
    assert edge.counted(CUTS, reason="slow") == 1


async def test_a_long_polling_client_that_reads_no_answer_is_cut_and_closed(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with aiohttp.ClientSession() as http:
        poll = await _polling_member(edge, http)
        await edge.append(session, 1, padding=16 * 1024 * 1024)
        async with edge.client() as neighbour:
            await neighbour.subscribe("shop")
            with socket.socket() as stuck:
                await _ask_and_read_nothing(stuck, edge.port, poll)
                delays = await _flood_until_cut(edge, session, neighbour, first=2)
                port = stuck.getsockname()[1]
                await eventually(lambda: not _is_served(edge.port, port), "it is closed")
    assert max(delays) < NOTICE_SECONDS
    assert edge.counted(CUTS, reason="slow") == 1


async def test_a_client_that_comes_back_is_replayed_to_at_its_own_pace(edge: Edge) -> None:
    session = await edge.house.session("shop")
    start = session.cursor
    for first in range(1, 401, 100):
        await edge.append(session, 100, first=first, padding=16 * 1024)
    async with edge.client() as neighbour, raw_socket(edge, read_bytes=4096) as slow:
        await neighbour.subscribe("shop")
        asking = {"sessionId": "shop", "after": start}
        await slow.ws.send_str(f"42/ws,{json.dumps(['subscribe:session', asking])}")
        await edge.append(session, 1, first=401)
        await neighbour.hears("session:status")
        assert edge.realtime.connections == 2
        await slow.hears("session:status", 401)
    assert slow.seqs() == list(range(1, 402))
    assert edge.counted(CUTS, reason="slow") == 0


async def test_a_burst_cuts_nobody_who_reads(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        edge.bus.losing = True
        for first in range(1, 1001, 100):
            await edge.append(session, 100, first=first, padding=4096)
        edge.bus.losing = False
        await client.hears("session:status", 1000)
    assert client.seqs() == list(range(1, 1001))


async def _flood_until_cut(
    edge: Edge, session: Session, neighbour: Client, *, first: int = 1
) -> list[float]:
    """Append events until a client is cut; return the neighbour's delays in seconds."""
    delays: list[float] = []
    before = edge.realtime.connections
    while edge.realtime.connections == before:
        started = time.monotonic()
        await edge.append(session, 1, first=first + len(delays), padding=32 * 1024)
        await neighbour.hears("session:status", len(delays) + 1)
        delays.append(time.monotonic() - started)
        assert len(delays) < 2000, "nobody is cut"
    return delays


async def _polling_member(edge: Edge, http: aiohttp.ClientSession) -> str:
    """Follow the session by long-polling; return the address of the next poll."""
    url = f"{edge.url}/socket.io/?EIO=4&transport=polling"
    async with http.get(url) as response:
        opened: dict[str, Any] = json.loads((await response.text())[1:])
    poll = f"{url}&sid={opened['sid']}"
    await _post(http, poll, f"40/ws,{json.dumps({'token': edge.token()})}")
    await _post(http, poll, '42/ws,1["subscribe:session",{"sessionId":"shop"}]')
    heard = ""
    while '"subscribed"' not in heard:
        async with http.get(poll) as response:
            heard += await response.text()
    return poll


async def _post(http: aiohttp.ClientSession, url: str, packet: str) -> None:
    async with http.post(url, data=packet) as response:
        assert response.status == 200


async def _ask_and_read_nothing(connection: socket.socket, port: int, url: str) -> None:
    """Send a poll over a connection of its own, and leave the answer in it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    path = url.partition(str(port))[2]
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    await loop.sock_sendall(connection, request.encode())


def _is_served(port: int, client: int) -> bool:
    """Tell whether the server, in this process, holds its end of a client's connection."""
    connections = psutil.Process().net_connections("tcp")
    return ((port,), (client,)) in [(found.laddr[1:], found.raddr[1:]) for found in connections]
