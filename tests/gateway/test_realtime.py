"""Subscribing to a session over Socket.IO: who may, what the answer says, what comes then."""

import asyncio

import pytest

from auth.principal import Scope
from sessions.ids import SessionName
from sessions.session import NewSession
from sessions.status import Status
from tests.gateway.edge import Edge, eventually
from tests.sessions.house import TENANT


async def test_a_client_is_told_who_it_is(edge: Edge) -> None:
    async with edge.client(edge.token(subject="mia", tenant="acme")) as client:
        identity = await client.hears("connected")
    assert identity.keys() == {"subject", "tenant", "expiresAt"}
    assert (identity["subject"], identity["tenant"]) == ("mia", "acme")
    assert identity["expiresAt"].endswith("Z")


async def test_the_answer_carries_the_state_and_the_position(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        answer = await client.subscribe("shop")
        await client.hears("subscribed")
    assert answer == {
        "ok": True,
        "sessionId": "shop",
        "status": "DISCONNECTED",
        "reason": session.reason,
        "message": session.message,
        "userAction": "none",
        "cursor": session.cursor,
        "recovered": False,
        "recoveryReason": "no_cursor",
    }
    assert client.payloads("subscribed") == [{"sessionId": "shop"}]


async def test_a_session_is_found_by_its_id_too(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        answer = await client.subscribe(session.id)
    assert answer["sessionId"] == "shop"


async def test_everything_from_activation_to_connection_arrives_in_order(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        await edge.house.manager.activate(TENANT, "shop")
        qr = await client.hears("qr")
        edge.house.engine.scan(session.id, phone="15550001111")
        connected = await client.hears("session:connected")
    assert qr["qr"].startswith("data:image/png;base64,")
    assert qr.keys() == {
        "id",
        "sessionId",
        "timestamp",
        "qr",
        "code",
        "attempt",
        "maxAttempts",
        "expiresAt",
    }
    assert connected["jid"] == "15550001111@s.whatsapp.net"
    assert connected["cursor"].endswith(f":{connected['seq']}")
    assert client.seqs() == list(range(1, len(client.seqs()) + 1))
    assert "session:started" in client.names()


async def test_who_comes_while_a_code_shows_gets_it_in_the_answer(edge: Edge) -> None:
    await edge.house.session("shop")
    await edge.house.manager.activate(TENANT, "shop")
    await edge.house.reaches("shop", Status.QR_READY)
    current = await edge.house.manager.qr(TENANT, "shop")
    async with edge.client() as client:
        answer = await client.subscribe("shop")
    assert answer["status"] == "QR_READY"
    assert answer["userAction"] == "scan"
    assert answer["qr"]["code"] == current.code
    assert answer["qr"].keys() == {"qr", "code", "attempt", "maxAttempts", "expiresAt"}


async def test_another_tenants_session_is_as_unknown_as_none(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client(edge.token(tenant="rival")) as client:
        by_name = await client.subscribe("shop")
        by_id = await client.subscribe(session.id)
        unknown = await client.subscribe("no-such-session")
    assert by_name == by_id == unknown
    assert unknown["ok"] is False
    assert unknown["error"]["code"] == "session_not_found"


async def test_a_token_for_other_sessions_finds_nothing(edge: Edge) -> None:
    await edge.house.session("shop")
    await edge.house.session("office")
    async with edge.client(edge.token(sessions=["office"])) as client:
        shop = await client.subscribe("shop")
        office = await client.subscribe("office")
    assert shop["error"]["code"] == "session_not_found"
    assert office["ok"] is True


@pytest.mark.parametrize(
    ("scopes", "missing"),
    [
        ([Scope.MESSAGES_READ, Scope.MESSAGES_SEND], "sessions:read"),
        ([Scope.SESSIONS_READ, Scope.MESSAGES_SEND], "messages:read"),
    ],
)
async def test_subscribing_takes_the_scopes_to_read_sessions_and_messages(
    edge: Edge, scopes: list[Scope], missing: str
) -> None:
    await edge.house.session("shop")
    async with edge.client(edge.token(scopes=scopes)) as client:
        answer = await client.subscribe("shop")
    assert answer["error"]["code"] == "insufficient_scope"
    assert missing in answer["error"]["message"]


async def test_events_reach_members_of_the_room_only(edge: Edge) -> None:
    shop, office = await edge.house.session("shop"), await edge.house.session("office")
    async with edge.client() as one, edge.client() as other:
        await one.subscribe("shop")
        await other.subscribe("office")
        await edge.append(shop, 3)
        await edge.append(office, 1)
        await one.hears("session:status", 3)
        await other.hears("session:status")
    assert {body["sessionId"] for body in one.payloads("session:status")} == {"shop"}
    assert {body["sessionId"] for body in other.payloads("session:status")} == {"office"}


async def test_same_named_sessions_of_two_tenants_stay_apart(edge: Edge) -> None:
    mine = await edge.house.session("shop")
    rival = TENANT.__class__("rival")
    await edge.house.manager.create(rival, NewSession(session_id=SessionName("shop")))
    async with edge.client(edge.token(tenant="rival")) as theirs, edge.client() as ours:
        await theirs.subscribe("shop")
        await ours.subscribe("shop")
        await edge.append(mine, 2)
        await ours.hears("session:status", 2)
    assert theirs.payloads("session:status") == []


async def test_after_unsubscribing_nothing_more_arrives(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client, edge.client() as witness:
        await client.subscribe("shop")
        await witness.subscribe("shop")
        answer = await client.ask("unsubscribe:session", {"sessionId": session.id})
        await edge.append(session, 1)
        await witness.hears("session:status")
        left = await client.hears("unsubscribed")
    assert answer == {"ok": True, "sessionId": "shop"}
    assert left == {"sessionId": "shop", "reason": "unsubscribed"}
    assert client.payloads("session:status") == []


async def test_unsubscribing_from_what_was_not_subscribed_says_so(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        answer = await client.ask("unsubscribe:session", {"sessionId": "shop"})
    assert answer["error"]["code"] == "session_not_found"


async def test_subscribing_again_neither_repeats_nor_loses_an_event(edge: Edge) -> None:
    session = await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        await edge.append(session, 2)
        await client.hears("session:status", 2)
        again = await client.subscribe("shop")
        await edge.append(session, 1)
        await client.hears("session:status", 3)
    assert again["ok"] is True
    assert client.seqs() == [1, 2, 3]


async def test_a_deleted_session_sends_its_members_away(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        await client.subscribe("shop")
        await edge.house.manager.delete(TENANT, "shop")
        left = await client.hears("unsubscribed")
        answer = await client.subscribe("shop")
    assert left == {"sessionId": "shop", "reason": "deleted"}
    assert answer["error"]["code"] == "session_not_found"
    assert "session:deleted" not in client.names()


async def test_the_bus_is_only_listened_to_while_somebody_is_there(edge: Edge) -> None:
    await edge.house.session("shop")
    async with edge.client() as one, edge.client() as other:
        await one.subscribe("shop")
        await other.subscribe("shop")
        assert len(edge.house.bus.topics) == 1
        await one.ask("unsubscribe:session", {"sessionId": "shop"})
        assert len(edge.house.bus.topics) == 1
    await eventually(lambda: not edge.house.bus.topics, "the feed has ended")


@pytest.mark.parametrize("delay_ms", range(0, 40, 2))
async def test_whoever_comes_during_activation_gets_the_code(edge: Edge, delay_ms: int) -> None:
    await edge.house.session("shop")
    async with edge.client() as client:
        activation = asyncio.create_task(edge.house.manager.activate(TENANT, "shop"))
        await asyncio.sleep(delay_ms / 1000)  # not a wait: it moves the two against each other
        answer = await client.subscribe("shop")
        await activation
        await edge.house.reaches("shop", Status.QR_READY)
        current = await edge.house.manager.qr(TENANT, "shop")
        if "qr" not in answer:
            await client.hears("qr")
        codes = [body["code"] for body in (answer.get("qr"), *client.payloads("qr")) if body]
    assert current.code in codes
