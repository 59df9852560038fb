"""What a confused or hostile client may send: answered or cut off, and nobody else notices."""

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway.edge import QUICK, Edge, eventually, running_edge

BAD_PAYLOADS = [
    (),
    ("shop",),
    (7,),
    (True,),
    (["shop"],),
    ([],),
    ({},),
    ({"sessionId": 7},),
    ({"sessionId": None},),
    ({"sessionId": ["shop"]},),
    ({"sessionId": {"$ne": ""}},),
    ({"sessionId": ""},),
    ({"sessionId": "x" * 65},),
    ({"sessionId": "shop", "room": "t:rival:s:1"},),
    ({"sessionId": "shop", "after": 7},),
    ({"sessionId": "shop", "after": {}},),
    ({"session_id": "shop"},),
    ({"sessionId": b"shop"},),
    (b"\x00\x01",),
    ({"sessionId": "shop"}, {"sessionId": "shop"}),
]


@pytest.mark.parametrize("arguments", BAD_PAYLOADS, ids=repr)
async def test_a_bad_payload_is_answered_and_the_connection_lives(
    edge: Edge, arguments: tuple[object, ...]
) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        answer = await client.ask("subscribe:session", *arguments)
        after = await client.subscribe("shop")
    assert answer["ok"] is False
    assert answer["error"]["code"] == "invalid_payload"
    assert answer["error"]["message"]
    assert after["ok"] is True


async def test_a_payload_of_null_is_answered(edge: Edge) -> None:
    async with _inside(edge) as ws:
        await ws.send_str('42/ws,1["subscribe:session",null]')
        answer = await _answer(ws)
    assert answer["error"]["code"] == "invalid_payload"


@pytest.mark.parametrize(
    "ref", ["../etc/passwd", "a/b", "a b", "shop\n", "shop\x00", "%", "t:acme:s:1", "💬", "*"]
)
async def test_a_session_id_that_can_not_be_one_is_not_found(edge: Edge, ref: str) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        answer = await client.subscribe(ref)
    assert answer["error"]["code"] == "session_not_found"


@pytest.mark.parametrize(
    "name", ["message", "connect", "disconnect", "join", "*", "session:qr", ""]
)
async def test_an_event_nobody_knows_is_answered(edge: Edge, name: str) -> None:
    await edge.house.session("shop")
    async with _inside(edge) as ws:
        await ws.send_str(f'42/ws,1["{name}",{{"token":"x"}}]')
        unknown = await _answer(ws)
        await ws.send_str('42/ws,2["subscribe:session",{"sessionId":"shop"}]')
        known = await _answer(ws)
    assert unknown["error"]["code"] == "unknown_event"
    assert known["ok"] is True


@pytest.mark.parametrize("packet", ["[]", "[7]", "[null]", "{}", "7", '"x"', "[[1]]", ""])
async def test_an_event_without_a_name_is_answered(edge: Edge, packet: str) -> None:
    async with _inside(edge) as ws:
        await ws.send_str(f"42/ws,1{packet}")
        answer = await _answer(ws)
    assert answer["ok"] is False


async def test_who_asks_for_no_answer_gets_an_error_event(edge: Edge) -> None:
    async with edge.client() as client:
        await client.io.emit("subscribe:session", "shop", namespace="/ws")
        error = await client.hears("error")
    assert error["ok"] is False
    assert error["error"]["code"] == "invalid_payload"


async def test_the_answer_names_the_field_and_never_repeats_its_value(edge: Edge) -> None:
    async with edge.client() as client:
        answer = await client.ask("auth:refresh", {"token": ["my-secret-token"]})
    assert "token" in answer["error"]["message"]
    assert "my-secret-token" not in str(answer)


@pytest.mark.parametrize(
    "frame",
    [
        "x",
        "",
        "4",
        "42",
        "4x",
        "42/ws,",
        "42/ws,[",
        '42/ws,["a"',
        '42/ws,1["\\ud800"]',
        "42/ws," + "[" * 100_000,
        "42/ws," + "1" * 200 + "[]",
        "451-/ws,[]",
        '459999-/ws,["a",{"_placeholder":true,"num":0}]',
        "44/ws,{}",
        "9",
        "0",
        b"\x00",
        b"4",
    ],
    ids=lambda frame: repr(frame)[:30],
)
async def test_a_packet_that_is_none_hurts_only_its_sender(
    edge: Edge, frame: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await edge.house.session("shop")
    async with edge.client() as neighbour, _inside(edge) as ws:
        await neighbour.subscribe("shop")
        await (ws.send_bytes(frame) if isinstance(frame, bytes) else ws.send_str(frame))
        await ws.send_str('42/ws,2["subscribe:session",{"sessionId":"shop"}]')
        await _answered_or_closed(ws)
        answer = await neighbour.subscribe("shop")
    assert answer["ok"] is True
    assert stack_traces(caplog) == []


async def test_a_frame_of_ten_megabytes_closes_its_connection_only(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as neighbour, _inside(edge) as ws:
        await neighbour.subscribe("shop")
        big = json.dumps(["subscribe:session", {"sessionId": "x" * 10_000_000}])
        # The server may reset the connection while the rest is still on its way.
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await ws.send_str(f"42/ws,1{big}")
            await _closed(ws)
        answer = await neighbour.subscribe("shop")
        await eventually(lambda: edge.realtime.connections == 1, "the sender is out")
    assert answer["ok"] is True


async def test_a_frame_just_within_the_limit_is_answered(edge: Edge) -> None:
    async with edge.client() as client:
        answer = await client.subscribe("x" * 1_000_000)
    assert answer["error"]["code"] == "invalid_payload"


async def test_ten_megabytes_by_long_polling_are_refused_unread(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as neighbour, aiohttp.ClientSession() as http:
        sid = await _open_polling(http, edge)
        url = f"{_polling(edge)}&sid={sid}"
        async with http.post(url, data=io.BytesIO(b"4" * 10_000_000)) as response:
            assert response.status == 400
        async with http.get(url) as response:
            assert response.status == 400
        answer = await neighbour.subscribe("shop")
    assert answer["ok"] is True


async def test_rubbish_by_long_polling_leaves_no_stack_trace(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with aiohttp.ClientSession() as http:
        sid = await _open_polling(http, edge)
        for body in (b"\xff\xfe", b"\x1e" * 100, b"x", b"", b"4" * 1000):
            async with http.post(f"{_polling(edge)}&sid={sid}", data=body) as response:
                assert response.status < 500
    assert stack_traces(caplog) == []


async def test_commands_beyond_the_rate_are_refused_and_later_ones_answered(
    tmp_path: Path,
) -> None:
    limits = replace(QUICK, commands_per_second=5, commands_burst=3)
    async with running_edge(tmp_path, limits=limits) as edge:
        await edge.house.session("shop")
        async with edge.client() as client:
            answers = [await client.subscribe("nope") for _ in range(5)]
            await asyncio.sleep(0.5)  # earns two commands more
            later = await client.subscribe("shop")
    codes = [answer["error"]["code"] for answer in answers]
    assert codes[:3] == ["session_not_found"] * 3
    assert codes[-1] == "rate_limited"
    assert later["ok"] is True


async def test_one_connection_has_only_so_many_subscriptions(tmp_path: Path) -> None:
    async with running_edge(tmp_path, limits=replace(QUICK, subscriptions=2)) as edge:
        for name in ("one", "two", "three"):
            await edge.house.session(name)
        async with edge.client() as client:
            await client.subscribe("one")
            await client.subscribe("two")
            refused = await client.subscribe("three")
            again = await client.subscribe("two")
            await client.ask("unsubscribe:session", {"sessionId": "one"})
            freed = await client.subscribe("three")
    assert refused["error"]["code"] == "too_many_subscriptions"
    assert again["ok"] is True
    assert freed["ok"] is True


async def test_a_client_that_stops_reading_is_cut_and_the_others_get_everything(
    tmp_path: Path,
) -> None:
    limits = replace(QUICK, unsent_bytes=1024 * 1024)
    async with running_edge(tmp_path, limits=limits) as edge:
        session = await edge.house.session("shop")
        async with edge.client() as reader, _inside(edge, read_bytes=4096) as stuck:
            await reader.subscribe("shop")
            await stuck.send_str('42/ws,1["subscribe:session",{"sessionId":"shop"}]')
            await eventually(lambda: edge.realtime.connections == 2, "both are in")
            sent = 0
            while edge.realtime.connections == 2:
                await edge.append(session, 100, first=sent + 1, padding=16_384)
                sent += 100
                await reader.hears("session:status", sent)
                assert sent < 10_000
            await _closed(stuck)
    assert reader.seqs() == list(range(1, sent + 1))


async def test_a_client_that_vanishes_while_subscribing_leaves_nothing_behind(edge: Edge) -> None:
    session = await edge.house.session("shop")
    await edge.append(session, 500)
    for _ in range(10):
        async with _inside(edge) as ws:
            request = {"sessionId": "shop", "after": session.cursor}
            await ws.send_str(f"42/ws,{json.dumps(['subscribe:session', request])}")
            assert ws._response.connection is not None
            assert ws._response.connection.transport is not None
            ws._response.connection.transport.abort()
    await eventually(lambda: edge.realtime.connections == 0, "no connection is left")
    await eventually(lambda: not edge.house.bus.topics, "no feed is left")


def stack_traces(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the server has logged with a stack trace; the clients here log too."""
    ours = ("gateway", "uvicorn", "api", "sessions")
    return [r for r in caplog.records if r.exc_info and r.name.startswith(ours)]


@asynccontextmanager
async def _inside(
    edge: Edge, *, read_bytes: int = 2**16
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a WebSocket and enter the namespace, by hand."""
    url = f"{edge.url}/socket.io/?EIO=4&transport=websocket"
    async with (
        aiohttp.ClientSession(read_bufsize=read_bytes) as http,
        http.ws_connect(url, max_msg_size=0) as ws,
    ):
        await ws.receive_str()
        await ws.send_str(f"40/ws,{json.dumps({'token': edge.token()})}")
        assert (await ws.receive_str()).startswith("40/ws,")
        assert '"connected"' in await ws.receive_str()
        yield ws


async def _answer(ws: aiohttp.ClientWebSocketResponse) -> Any:
    """Return the next acknowledgement."""
    while True:
        text = await ws.receive_str(timeout=8)
        if text.startswith("43/ws,"):
            return json.loads(text[text.index("[") :])[0]


async def _answered_or_closed(ws: aiohttp.ClientWebSocketResponse) -> None:
    async for message in ws:
        if str(message.data).startswith("43/ws,2"):
            return


async def _closed(ws: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in ws:
        pass


def _polling(edge: Edge) -> str:
    return f"{edge.url}/socket.io/?EIO=4&transport=polling"


async def _open_polling(http: aiohttp.ClientSession, edge: Edge) -> str:
    async with http.get(_polling(edge)) as response:
        return str(json.loads((await response.text())[1:])["sid"])
