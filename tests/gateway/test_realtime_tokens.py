"""Open connections whose token ends before they do, and how many one subject may have."""

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import socketio

from auth.revocations import Revocation
from tests.gateway.edge import QUICK, Client, Edge, eventually, running_edge

NOW = datetime.now(UTC)


def by_id(token: str) -> Revocation:
    """Return the revocation of one token."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return Revocation(claims["tenant"], NOW, token_id=claims["jti"])


def by_subject(subject: str, *, tenant: str = "acme") -> Revocation:
    """Return the revocation of everything that a subject has so far."""
    moment = datetime.now(UTC) + timedelta(seconds=1)
    return Revocation(tenant, NOW, subject=subject, not_before=moment)


def ending(client: Client) -> list[object]:
    """Return the codes of what the client was told last."""
    return [body["error"]["code"] for body in client.payloads("error")]


async def test_a_revoked_tokens_connection_is_told_and_closed_and_hears_no_more(edge: Edge) -> None:
    shop = await edge.house.session("shop")
    token = edge.token(subject="mia")
    async with edge.client(token) as lost, edge.client(edge.token(subject="mia")) as other:
        await lost.subscribe("shop")
        await other.subscribe("shop")
        edge.revoked.add(by_id(token))
        reason = await lost.hears("error")
        await eventually(lambda: "disconnect" in lost.names(), "it is closed", seconds=2)
        await edge.append(shop, 1)
        await other.hears("session:status")
        assert lost.names()[-2:] == ["error", "disconnect"]
    assert reason["ok"] is False
    assert reason["error"]["code"] == "token_revoked"
    assert "Get a new one" in reason["error"]["message"]
    assert (await edge.refused(auth={"token": token}))["code"] == "token_revoked"
    assert edge.realtime.connections == 0


async def test_a_subjects_connections_are_closed_and_nobody_elses(edge: Edge) -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        mine = [await enter(edge.client(edge.token(subject="mia"))) for _ in range(3)]
        tom = await enter(edge.client(edge.token(subject="tom")))
        rival = await enter(edge.client(edge.token(subject="mia", tenant="rival")))
        edge.revoked.add(by_subject("mia"))
        for client in mine:
            await client.hears("disconnect")
            assert ending(client) == ["token_revoked"]
        await eventually(lambda: edge.realtime.connections == 2, "two are left")
        assert tom.names() == rival.names() == ["connected"]


async def test_a_revoked_token_can_not_subscribe_before_it_is_closed(edge: Edge) -> None:
    await edge.house.session("shop")
    token = edge.token()
    async with edge.client(token) as client:
        edge.revoked.add(by_id(token))
        with suppress(socketio.exceptions.SocketIOError):
            answer = await client.subscribe("shop")
            assert answer["error"]["code"] == "token_revoked"
        await client.hears("disconnect")
    assert "subscribed" not in client.names()


async def test_a_connection_that_went_on_with_a_newer_token_stays(edge: Edge) -> None:
    older, newer, gone = edge.token(), edge.token(), edge.token()
    async with edge.client(older) as client, edge.client(gone) as witness:
        assert (await client.ask("auth:refresh", {"token": newer}))["ok"] is True
        edge.revoked.add(by_id(older))
        refused = await client.ask("auth:refresh", {"token": older})
        assert refused["error"]["code"] == "token_revoked"
        edge.revoked.add(by_id(gone))
        # The watch has looked at both when it has closed this one.
        await witness.hears("disconnect")
        assert client.names() == ["connected"]
        edge.revoked.add(by_id(newer))
        await client.hears("disconnect")


async def test_a_connection_is_told_that_its_token_has_expired(edge: Edge) -> None:
    async with edge.client(edge.token(lifetime=timedelta(minutes=10))) as client:
        edge.clock.ahead = timedelta(minutes=11)
        await client.hears("disconnect")
        assert ending(client) == ["token_expired"]


async def test_a_subject_has_so_many_connections_and_no_more(tmp_path: Path) -> None:
    limits = replace(QUICK, connections_per_subject=2)
    async with running_edge(tmp_path, limits=limits) as edge, AsyncExitStack() as stack:
        token = edge.token(subject="mia")
        first = await stack.enter_async_context(edge.client(token))
        await stack.enter_async_context(edge.client(edge.token(subject="mia")))
        refusal = await edge.refused(auth={"token": token})
        assert refusal["code"] == "too_many_connections"
        assert "Close some" in refusal["message"]
        for other in (edge.token(subject="tom"), edge.token(subject="mia", tenant="rival")):
            await stack.enter_async_context(edge.client(other))
        await first.io.disconnect()
        await eventually(lambda: edge.realtime.connections == 3, "one has left")
        await stack.enter_async_context(edge.client(token))
        assert (await edge.refused(auth={"token": token}))["code"] == "too_many_connections"


async def test_refused_and_lost_handshakes_do_not_count(tmp_path: Path) -> None:
    limits = replace(QUICK, connections_per_subject=1)
    async with running_edge(tmp_path, limits=limits) as edge:
        for _ in range(5):
            await edge.refused(auth={"token": "nonsense"})
            async with edge.client() as client:
                await client.hears("connected")
            await eventually(lambda: edge.realtime.connections == 0, "it has left")
