"""Clients of the real-time edge in trouble, or making it: the server and its others do not mind."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import GatewayProcess
from tests.acceptance.phones import World, link, running_world
from tests.contracts.tcp_proxy import TcpProxy
from tests.faults.raw_client import RawClient
from tests.faults.traffic import eventually, told_texts

pytestmark = pytest.mark.timeout(300)

GROWN_BYTES = 150_000_000
PAGE = "x" * 60_000
CROWDED = {"WAGATE_CONNECTIONS_PER_SUBJECT": "1000"}


async def burst(frontend: Frontend, count: int, *, text: str = "message") -> None:
    """Let someone write so many texts to the simulator's session at once."""
    body = {"text": text, "from": "447700900123", "count": count}
    await frontend.call("POST", "/simulator/support/messages", expect=201, **body)


async def test_a_client_that_stops_reading_is_cut_and_resumes(simulated_world: World) -> None:
    """Row 38: a slow consumer is dropped at its cap, the others unaffected; it resumes (I3, I8)."""
    gateway = simulated_world.gateway
    async with simulated_world.frontend() as frontend:
        await link(frontend, "support", simulated_world.phone(frontend, "support"))
        before = _resident_bytes(gateway)
        token = await gateway.token()
        async with entered(gateway, token, read_bytes=4096) as stuck:
            request = {"sessionId": "support"}
            await stuck.send_str(f"42/ws,1{json.dumps(['subscribe:session', request])}")
            sent = 0
            async with asyncio.timeout(120):
                while await _is_inside(gateway, stuck):
                    # So few at once that who reads is never behind by the limit.
                    await burst(frontend, 5, text=PAGE)
                    sent += 5
                    await _has_heard(frontend, sent)
            assert sent * len(PAGE) < 2 * GROWN_BYTES
            cursor = await _last_cursor(stuck)
        assert _resident_bytes(gateway) - before < GROWN_BYTES
        frontend.assert_whole("support")
        async with entered(gateway, token) as again:
            answer = await subscribed(again, "support", after=cursor)
        assert answer["recovered"] or answer["recoveryReason"] == "too_far"


async def _is_inside(gateway: GatewayProcess, socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Tell whether the server still holds its end of a connection."""
    ours = socket.get_extra_info("sockname")
    if ours is None:
        return False
    server = psutil.Process(gateway.process.pid)
    held = await asyncio.to_thread(server.net_connections, "tcp")
    return ours[1] in [getattr(end.raddr, "port", None) for end in held]


async def _has_heard(frontend: Frontend, count: int) -> None:
    async def heard() -> int:
        return len(told_texts(frontend, "support"))

    await eventually(heard, lambda found: found >= count, f"{count} messages are heard")


async def _last_cursor(socket: aiohttp.ClientWebSocketResponse) -> str | None:
    """Read what is left of a connection that the server has cut; return the last cursor."""
    cursor: str | None = None
    async for message in socket:
        text = str(message.data)
        if text.startswith("42/ws,"):
            cursor = json.loads(text[6:])[1].get("cursor", cursor)
    return cursor


def _resident_bytes(gateway: GatewayProcess) -> int:
    return int(psutil.Process(gateway.process.pid).memory_info().rss)


async def test_a_hundred_clients_that_are_cut_all_the_time_miss_nothing(tmp_path: Path) -> None:
    """Row 39: a recovery storm of 100 clients while events are published (I3)."""
    async with running_world("simulator", tmp_path, settings=CROWDED) as world:
        await _storm(world, clients=100, cuts=4)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_five_hundred_clients_that_are_cut_all_the_time_miss_nothing(tmp_path: Path) -> None:
    """Row 39: a recovery storm of 500 clients while events are published (I3)."""
    async with running_world("simulator", tmp_path, settings=CROWDED) as world:
        await _storm(world, clients=500, cuts=6)


async def _storm(world: World, *, clients: int, cuts: int) -> None:
    port = int(world.gateway.url.rpartition(":")[2])
    async with world.frontend() as frontend, TcpProxy.to(port) as proxy:
        await link(frontend, "support", world.phone(frontend, "support"))
        token = await world.gateway.token()
        url = f"http://127.0.0.1:{proxy.port}"
        crowd = [RawClient(url, token, "support") for _ in range(clients)]
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            running = [asyncio.create_task(client.run(http)) for client in crowd]
            await _all(crowd, lambda client: client.connections >= 1, "are in")
            for cut in range(1, cuts + 1):
                await burst(frontend, 20)
                proxy.cut()
                await burst(frontend, 20)
                await _all(crowd, lambda client, cut=cut: client.connections > cut, "are back")
            await _has_heard(frontend, cuts * 40)
            head = max(event["seq"] for _, event in frontend.heard if "seq" in event)
            await _all(crowd, lambda client: client.seq == head, "have heard everything")
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        assert [fault for client in crowd for fault in client.faults] == []


async def _all(crowd: list[RawClient], true: Any, what: str) -> None:
    async def missing() -> int:
        return sum(not true(client) for client in crowd)

    await eventually(missing, lambda found: found == 0, f"all {what}", seconds=240)


async def test_positions_of_no_use_are_told_with_the_reason(tmp_path: Path) -> None:
    """Row 40: a cursor too old, of another log, of the future, garbage; the reason, no crash."""
    async with (
        running_world("simulator", tmp_path, settings={"WAGATE_EVENT_LIMIT": "100"}) as world,
        world.frontend() as frontend,
    ):
        await link(frontend, "support", world.phone(frontend, "support"))
        await burst(frontend, 150)
        await _has_heard(frontend, 150)
        await _trimmed(frontend)
        head = (await frontend.call("GET", "/whatsapp/support", expect=200))["cursor"]
        log_id, _, seq = head.partition(":")
        positions = {
            f"{log_id}:1": "too_old",
            f"other:{seq}": "wrong_log",
            f"{log_id}:{int(seq) + 1000}": "future",
            "garbage": "malformed",
            ":": "malformed",
            f"{log_id}:-1": "malformed",
            f"{log_id}:{'9' * 30}": "malformed",
        }
        token = await world.gateway.token()
        async with entered(world.gateway, token) as socket:
            for position, reason in positions.items():
                answer = await subscribed(socket, "support", after=position)
                assert answer["ok"], (position, answer)
                assert (answer["recovered"], answer["recoveryReason"]) == (False, reason)
                assert answer["cursor"] == head
            answer = await subscribed(socket, "support", after=head)
        assert answer["recovered"]
        frontend.assert_whole("support")


async def _trimmed(frontend: Frontend) -> None:
    async def oldest() -> int:
        answer = await frontend.http.get("/whatsapp/support/events", params={"limit": 1})
        return int(answer.json()["items"][0]["seq"])

    await eventually(oldest, lambda seq: seq > 1, "the log is trimmed")


async def test_hostile_connections_are_closed_and_a_neighbour_does_not_mind(
    simulated_world: World,
) -> None:
    """Row 41: a 16 MB frame, packets that are none, 300 handshakes that never come (I8, I9)."""
    await _hostility(simulated_world, handshakes=300)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_thousand_handshakes_and_a_half_open_client_are_closed(
    simulated_world: World,
) -> None:
    """Row 41: 1000 handshakes that never come; a half-open client that answers no ping (I8, I9)."""
    gateway = simulated_world.gateway
    await _hostility(simulated_world, handshakes=1000)
    token = await gateway.token()
    async with entered(gateway, token) as silent:
        # It answers no ping: nobody reads what it is sent.
        assert await _is_inside(gateway, silent)
        await eventually(
            lambda: _is_inside(gateway, silent), lambda held: not held, "it is out", seconds=120
        )


async def _hostility(world: World, *, handshakes: int) -> None:
    gateway = world.gateway
    async with world.frontend() as neighbour:
        await link(neighbour, "support", world.phone(neighbour, "support"))
        before = psutil.Process(gateway.process.pid).num_fds()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            silent = [asyncio.create_task(_until_closed(http, gateway)) for _ in range(handshakes)]
            await _frames(http, gateway)
            await burst(neighbour, 50)
            await _has_heard(neighbour, 50)
            async with asyncio.timeout(120):
                await asyncio.gather(*silent)

        async def descriptors() -> int:
            return psutil.Process(gateway.process.pid).num_fds()

        await eventually(descriptors, lambda found: found <= before + 5, "descriptors are freed")
        neighbour.assert_whole("support")


async def _until_closed(http: aiohttp.ClientSession, gateway: GatewayProcess) -> None:
    """Connect, say nothing, and wait until the server has had enough."""
    async with http.ws_connect(_address(gateway)) as socket:
        async for _ in socket:
            pass


async def _frames(http: aiohttp.ClientSession, gateway: GatewayProcess) -> None:
    for frame in ("4" * 16_000_000, "x", '42/ws,["a"', "451-/ws,[]", "4" + "[" * 100_000):
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            async with http.ws_connect(_address(gateway)) as socket:
                await socket.send_str(frame)
                async with asyncio.timeout(60):
                    async for _ in socket:
                        pass


def _address(gateway: GatewayProcess) -> str:
    return f"{gateway.url}/socket.io/?EIO=4&transport=websocket"


@asynccontextmanager
async def entered(
    gateway: GatewayProcess, token: str, *, read_bytes: int = 2**16
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a WebSocket and enter the namespace, by hand."""
    async with (
        aiohttp.ClientSession(read_bufsize=read_bytes) as http,
        http.ws_connect(_address(gateway), max_msg_size=0) as socket,
    ):
        await socket.receive_str()
        await socket.send_str(f"40/ws,{json.dumps({'token': token})}")
        assert (await socket.receive_str()).startswith("40/ws,")
        yield socket


async def subscribed(
    socket: aiohttp.ClientWebSocketResponse, session: str, *, after: str | None
) -> dict[str, Any]:
    """Subscribe and return the acknowledgement."""
    request = {"sessionId": session, "after": after}
    await socket.send_str(f"42/ws,7{json.dumps(['subscribe:session', request])}")
    while True:
        text = await socket.receive_str(timeout=30)
        if text.startswith("43/ws,7"):
            answer: dict[str, Any] = json.loads(text[7:])[0]
            return answer
