"""Getting in over Socket.IO: tokens from three places, origins, and how long one may stay."""

import asyncio
import logging
import time
from datetime import timedelta
from pathlib import Path

import aiohttp
import jwt
import pytest

from auth.principal import Scope
from tests.gateway.edge import NAMESPACE, Edge, eventually, running_edge


async def test_the_token_may_come_in_the_header(edge: Edge) -> None:
    headers = {"Authorization": f"Bearer {edge.token(subject='mia')}"}
    assert await _enters(edge, headers=headers) == "mia"


async def test_the_token_may_come_in_the_query(edge: Edge) -> None:
    assert await _enters(edge, url=f"{edge.url}?token={edge.token(subject='mia')}") == "mia"


async def test_the_token_of_the_auth_object_goes_before_the_others(edge: Edge) -> None:
    headers = {"Authorization": f"Bearer {edge.token(subject='header')}"}
    auth = {"token": edge.token(subject="auth")}
    url = f"{edge.url}?token={edge.token(subject='query')}"
    assert await _enters(edge, url=url, headers=headers, auth=auth) == "auth"
    assert await _enters(edge, url=url, headers=headers) == "header"


async def _enters(edge: Edge, *, url: str | None = None, **connect: object) -> str:
    """Connect with what is given and return the subject that the server takes it for."""
    io = edge.plain_client()
    greeting: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
    io.on("connected", greeting.set_result, namespace=NAMESPACE)
    await io.connect(url or edge.url, namespaces=[NAMESPACE], wait_timeout=8, **connect)
    try:
        return (await asyncio.wait_for(greeting, 8))["subject"]
    finally:
        await io.disconnect()


async def test_no_token_is_refused_with_code_and_message(edge: Edge) -> None:
    refusal = await edge.refused()
    assert refusal["code"] == "missing_token"
    assert refusal["message"]
    assert refusal["data"] == {"code": refusal["code"], "message": refusal["message"]}


@pytest.mark.parametrize("auth", [{}, {"token": ""}, {"token": None}, ["token"], "token", {"a": 1}])
async def test_an_auth_object_without_a_token_is_no_token(edge: Edge, auth: object) -> None:
    assert (await edge.refused(auth=auth))["code"] in {"missing_token", "invalid_token"}


@pytest.mark.parametrize("token", ["x", "a.b.c", 7, {"a": 1}, "x" * 20_000, "ключ", "\x00"])
async def test_what_is_no_token_is_refused(edge: Edge, token: object) -> None:
    assert (await edge.refused(auth={"token": token}))["code"] == "invalid_token"


async def test_an_expired_token_is_refused(edge: Edge) -> None:
    token = edge.token(lifetime=timedelta(minutes=1))
    edge.clock.ahead = timedelta(minutes=1)
    assert (await edge.refused(auth={"token": token}))["code"] == "token_expired"


async def test_an_unsigned_token_is_refused(edge: Edge) -> None:
    claims = {"sub": "mia", "exp": int(time.time()) + 600}
    unsigned = jwt.encode(claims, "", algorithm="none")
    forged = jwt.encode(claims, "a key of somebody else, long enough for HS256", "HS256")
    assert (await edge.refused(auth={"token": unsigned}))["code"] == "invalid_token"
    assert (await edge.refused(auth={"token": forged}))["code"] == "invalid_token"


async def test_another_namespace_is_refused_and_the_right_one_named(edge: Edge) -> None:
    io = edge.plain_client()
    refusals: list[dict[str, str]] = []
    io.on("connect_error", refusals.append)
    with pytest.raises(Exception, match="namespaces failed"):
        await io.connect(edge.url, auth={"token": edge.token()}, wait_timeout=8)
    assert refusals[0]["code"] == "unknown_namespace"
    assert NAMESPACE in refusals[0]["message"]


async def test_a_connection_that_stays_outside_the_namespace_is_closed(edge: Edge) -> None:
    async with aiohttp.ClientSession() as http, http.ws_connect(_raw(edge)) as ws:
        assert (await ws.receive_str())[0] == "0"
        started = time.monotonic()
        kinds = [message.type async for message in ws]
        assert kinds == [] or set(kinds) == {aiohttp.WSMsgType.TEXT}
    assert ws.close_code is not None
    assert 0.5 < time.monotonic() - started < 5


async def test_a_token_near_its_end_is_announced_and_then_ends_the_connection(edge: Edge) -> None:
    async with edge.client(edge.token(lifetime=timedelta(minutes=10))) as client:
        await client.hears("connected")
        edge.clock.ahead = timedelta(minutes=9, seconds=10)
        notice = await client.hears("auth:expiring")
        assert notice == {"expiresAt": client.payloads("connected")[0]["expiresAt"]}
        edge.clock.ahead = timedelta(minutes=10)
        await client.hears("disconnect")
    assert client.names().count("auth:expiring") == 1


async def test_a_refreshed_token_extends_the_connection(edge: Edge) -> None:
    async with edge.client(edge.token(lifetime=timedelta(minutes=10))) as client:
        answer = await client.ask(
            "auth:refresh", {"token": edge.token(lifetime=timedelta(hours=5))}
        )
        edge.clock.ahead = timedelta(hours=1)
        await edge.house.session("shop")
        await asyncio.sleep(1.2)  # longer than the watch's period: it has looked
        still = await client.subscribe("shop")
    assert answer.keys() == {"ok", "subject", "tenant", "expiresAt"}
    assert still["ok"] is True
    assert "auth:expiring" not in client.names()


@pytest.mark.parametrize(("subject", "tenant"), [("eve", "acme"), ("frontend", "rival")])
async def test_a_refresh_can_not_change_who_is_connected(
    edge: Edge, subject: str, tenant: str
) -> None:
    async with edge.client() as client:
        token = edge.token(subject=subject, tenant=tenant)
        answer = await client.ask("auth:refresh", {"token": token})
    assert answer["error"]["code"] == "token_mismatch"


async def test_a_bad_refresh_leaves_the_connection_as_it_was(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        answer = await client.ask("auth:refresh", {"token": "nonsense"})
        still = await client.subscribe("shop")
    assert answer["error"]["code"] == "invalid_token"
    assert still["ok"] is True


async def test_a_narrower_token_ends_the_subscriptions_it_does_not_cover(edge: Edge) -> None:
    shop = await edge.house.session("shop")
    await edge.house.session("office")
    async with edge.client() as client:
        await client.subscribe("shop")
        await client.subscribe("office")
        await client.ask("auth:refresh", {"token": edge.token(sessions=["office"])})
        left = await client.hears("unsubscribed")
        await edge.append(shop, 1)
        answer = await client.subscribe("office")
    assert left == {"sessionId": "shop", "reason": "forbidden"}
    assert answer["ok"] is True
    assert client.payloads("session:status") == []


async def test_a_token_that_lost_the_scope_ends_every_subscription(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        token = edge.token(scopes=[Scope.MESSAGES_SEND])
        await client.ask("auth:refresh", {"token": token})
        await client.hears("unsubscribed")


async def test_origins_that_nobody_listed_are_refused(tmp_path: Path) -> None:
    async with running_edge(tmp_path, allowed_origins=["https://app.example"]) as edge:
        assert await _polls(edge, "https://evil.example") == 400
        assert await _polls(edge, "null") == 400
        assert await _polls(edge, "https://app.example.evil.example") == 400
        assert await _polls(edge, "https://app.example") == 200
        assert await _polls(edge, edge.url) == 200
        assert await _polls(edge, None) == 200


async def test_a_foreign_page_can_not_open_a_websocket(edge: Edge) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(_raw(edge), headers={"Origin": "https://evil.example"})


async def test_any_origin_may_be_allowed_on_purpose(tmp_path: Path) -> None:
    async with running_edge(tmp_path, allowed_origins=["*"]) as edge:
        assert await _polls(edge, "https://any.example") == 200


async def test_a_token_in_the_url_reaches_no_log(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # Below INFO it is the WebSocket library that logs whole frames; the server never goes there.
    caplog.set_level(logging.INFO, "uvicorn.error")
    token = edge.token(subject="mia")
    assert await _enters(edge, url=f"{edge.url}?token={token}") == "mia"
    assert await _enters(edge, auth={"token": token}) == "mia"
    assert await _enters(edge, auth={"token": token}, transports=["polling"]) == "mia"
    served = [r.getMessage() for r in caplog.records if r.name.startswith(("uvicorn", "gateway"))]
    assert any("/socket.io/" in line for line in served)
    assert [line for line in served if token in line] == []


async def test_other_paths_reach_the_other_application(edge: Edge) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{edge.url}/ordinary?token=mine") as response,
    ):
        assert await response.text() == "other"


async def test_closing_lets_clients_connect_again_by_themselves(edge: Edge) -> None:
    async with edge.client() as client:
        await client.hears("connected")
        await edge.realtime.close()
        await client.hears("disconnect")
    assert client.payloads("disconnect") != ["io server disconnect"]
    await eventually(lambda: edge.realtime.connections == 0, "no connection is left")
    assert (await edge.refused(auth={"token": edge.token()}))["code"] == "draining"


async def _polls(edge: Edge, origin: str | None) -> int:
    headers = {} if origin is None else {"Origin": origin}
    url = f"{edge.url}/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return response.status


def _raw(edge: Edge) -> str:
    return f"{edge.url}/socket.io/?EIO=4&transport=websocket"
