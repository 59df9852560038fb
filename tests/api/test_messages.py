"""Messages over HTTP: sent once, listed in both directions, followed to the other side."""

from typing import Any

import pytest

from auth.principal import Scope
from sessions.ids import SessionId
from tests.api.server import Server, issued
from tests.sessions.house import until

HELLO = {"to": "+44 7700 900456", "type": "text", "text": "Hello 👋"}


async def send(server: Server, body: dict[str, Any], **options: Any) -> Any:
    return await server.call("POST", "/whatsapp/one/messages", json=body, **options)


async def test_a_text_is_accepted_before_the_session_is_connected(server: Server) -> None:
    await server.create("one")
    answer = await send(server, HELLO)
    message = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/whatsapp/one/messages/{message['id']}"
    assert message["to"] == message["chatId"] == "447700900456@s.whatsapp.net"
    assert (message["direction"], message["status"]) == ("out", "queued")
    assert (message["message"], message["fromMe"]) == ("Hello 👋", True)
    assert (message["phone"], message["lid"]) == ("447700900456", None)
    assert not {"error", "media", "history", "quotedMessageId"} & message.keys()
    read = await server.call("GET", answer.headers["location"])
    assert [step["status"] for step in read.json()["history"]] == ["queued"]


async def test_a_text_arrives_at_the_other_side(server: Server) -> None:
    session = await server.connected("one")
    sent = (await send(server, HELLO)).json()
    path = f"/whatsapp/one/messages/{sent['id']}"
    message = await until(
        lambda: server.call("GET", path), lambda answer: answer.json()["status"] == "sent"
    )
    assert message.json()["whatsappId"]
    assert [step["status"] for step in message.json()["history"]] == ["queued", "sending", "sent"]
    arrived = server.house.engine.sent(SessionId(session["id"]))
    assert [text.text for text in arrived] == ["Hello 👋"]


async def test_a_list_has_both_directions_newest_first(server: Server) -> None:
    session = await server.connected("one")
    await send(server, HELLO)
    server.house.engine.write(SessionId(session["id"]), "Hi", sender="447700900456")

    async def listed() -> list[dict[str, Any]]:
        answer = await server.call("GET", "/whatsapp/one/messages?chatId=%2B447700900456")
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    items = await until(listed, lambda found: len(found) == 2)
    assert {item["direction"] for item in items} == {"in", "out"}
    other = await server.call("GET", "/whatsapp/one/messages?chatId=447700900999@s.whatsapp.net")
    assert other.json() == {"items": [], "before": None}


async def test_a_list_is_read_page_by_page(server: Server) -> None:
    await server.create("one")
    sent = [(await send(server, {**HELLO, "text": str(number)})).json() for number in range(5)]
    pages, before = [], ""
    while True:
        page = (await server.call("GET", f"/whatsapp/one/messages?limit=2{before}")).json()
        pages += [item["id"] for item in page["items"]]
        if page["before"] is None:
            break
        before = f"&before={page['before']}"
    assert pages == [message["id"] for message in reversed(sent)]


async def test_the_same_key_is_the_same_message(server: Server) -> None:
    await server.create("one")
    first = await send(server, HELLO, headers={"Idempotency-Key": "order-17"})
    again = await send(server, HELLO, headers={"Idempotency-Key": "order-17"})
    other = await send(server, {**HELLO, "text": "Bye"}, headers={"Idempotency-Key": "order-17"})
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len((await server.call("GET", "/whatsapp/one/messages")).json()["items"]) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ключ"])
async def test_a_malformed_key_is_refused(server: Server, key: str) -> None:
    await server.create("one")
    answer = await send(server, HELLO, headers={"Idempotency-Key": key.encode()})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["header"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("to", "jid"),
    [
        ("+1 (555) 010-9999", "15550109999@s.whatsapp.net"),
        ("447700900456@c.us", "447700900456@s.whatsapp.net"),
        ("98765432109876@lid", "98765432109876@lid"),
        ("447700900456-1612345678@g.us", "447700900456-1612345678@g.us"),
    ],
)
async def test_a_recipient_is_a_number_or_a_jid(server: Server, to: str, jid: str) -> None:
    await server.create("one")
    assert (await send(server, {**HELLO, "to": to})).json()["chatId"] == jid


@pytest.mark.parametrize("to", ["", "Alice", "12345", "+44", "1" * 16, "a@b", "447700900456@x.y"])
async def test_anything_else_is_no_recipient(server: Server, to: str) -> None:
    await server.create("one")
    answer = await send(server, {**HELLO, "to": to})
    fault = answer.json()["errors"][0]
    assert answer.status_code == 422
    assert (fault["pointer"], fault["code"]) == ("/to", "invalid_recipient")


async def test_an_unknown_type_names_what_is_supported(server: Server) -> None:
    await server.create("one")
    answer = await send(server, {**HELLO, "type": "hologram"})
    fault = answer.json()["errors"][0]
    assert (answer.status_code, fault["pointer"]) == (422, "/type")
    assert "'text'" in fault["detail"]


async def test_the_longest_text_passes_and_one_more_does_not(server: Server) -> None:
    await server.create("one")
    assert (await send(server, {**HELLO, "text": "é" * 65536})).status_code == 202
    for text in ("é" * 65537, "", "a\0b"):
        answer = await send(server, {**HELLO, "text": text})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/text"


async def test_an_unknown_message_is_not_found(server: Server) -> None:
    await server.create("one")
    for name in ("0199f3a3-11d2-7c55-8e10-5a7b9c3d1e2f", "x", "%00"):
        answer = await server.call("GET", f"/whatsapp/one/messages/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
    lost = await server.call("GET", "/whatsapp/two/messages/x")
    assert lost.json()["code"] == "session_not_found"


async def test_sending_is_not_reading(server: Server) -> None:
    await server.create("one")
    sender = issued(scopes=[Scope.MESSAGES_SEND])
    assert (await send(server, HELLO, token=sender)).status_code == 202
    for path in ("messages", "events", "qr"):
        refused = await server.call("GET", f"/whatsapp/one/{path}", token=sender)
        assert refused.status_code == 403


async def test_events_are_not_read_without_the_right_to_messages(server: Server) -> None:
    await server.create("one")
    token = issued(scopes=[Scope.SESSIONS_READ])
    refused = await server.call("GET", "/whatsapp/one/events", token=token)
    assert refused.status_code == 403
    assert "messages:read" in refused.json()["detail"]
