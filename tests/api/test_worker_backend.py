"""The calls of back ends of the worker kind, over REST."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sessions.ids import SessionId
from sessions.status import Status
from tests.api.server import Server, issued, running_server
from tests.sessions.house import until

PHONE = "+221771234567"
NAME = f"session_6_{PHONE}"
CLIENT = "/api/admin/dashboard/clients/6"
CONNECTED = "Session already connected. No QR needed."


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run the edge."""
    async with running_server(tmp_path) as running:
        yield running


async def validated(server: Server) -> SessionId:
    """Validate number 6 and wait for its code."""
    answer = await server.call(
        "POST", f"{CLIENT}/validate?workerId=w1", json={"phoneNumber": "+221 77 123 45 67"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    session = await server.reaches(NAME, Status.QR_READY)
    return SessionId(session["id"])


async def test_validate_creates_and_activates_the_numbers_session(server: Server) -> None:
    await validated(server)

    session = (await server.call("GET", f"/whatsapp/{NAME}")).json()
    assert (session["sessionId"], session["isActive"]) == (NAME, True)
    assert session["phoneNumber"] == PHONE
    again = await server.call("POST", f"{CLIENT}/validate")
    assert (again.status_code, again.json()["sessionId"]) == (200, NAME)
    assert again.json()["clientId"] == 6


async def test_validate_needs_a_phone_the_first_time(server: Server) -> None:
    answer = await server.call("POST", f"{CLIENT}/validate")

    assert answer.status_code == 404
    assert answer.json()["success"] is False
    assert "phoneNumber" in answer.json()["message"]
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_code_is_shown_as_the_contract_says(server: Server) -> None:
    await validated(server)

    shown = await server.call("GET", f"{CLIENT}/qr-code")

    assert shown.status_code == 200
    body = shown.json()
    assert set(body) == {"success", "qrCode", "clientId", "phoneNumber"}
    assert body["qrCode"].startswith("data:image/png;base64,")
    assert (body["clientId"], body["phoneNumber"], body["success"]) == (6, PHONE, True)
    assert shown.headers["cache-control"] == "no-store"


async def test_another_code_follows_and_none_when_connected(server: Server) -> None:
    session = await validated(server)
    first = (await server.call("GET", f"{CLIENT}/qr-code")).json()["qrCode"]
    assert (await server.call("POST", f"{CLIENT}/regenerate-qr")).status_code == 200

    async def code() -> str | None:
        found: dict[str, str] = (await server.call("GET", f"{CLIENT}/qr-code")).json()
        return found.get("qrCode")

    await until(code, lambda shown: shown not in {None, first})
    server.house.engine.scan(session)
    await server.reaches(NAME, Status.CONNECTED)
    again = await server.call("POST", f"{CLIENT}/regenerate-qr")
    assert (again.status_code, again.json()["message"]) == (200, CONNECTED)
    shown = await server.call("GET", f"{CLIENT}/qr-code")
    assert (shown.status_code, shown.json()["message"]) == (404, CONNECTED)


async def test_a_text_is_sent_from_a_number(server: Server) -> None:
    session = await validated(server)
    server.house.engine.scan(session)
    await server.reaches(NAME, Status.CONNECTED)
    body = {
        "whatsappNumberId": 6,
        "recipientNumber": "+44 7700 900123",
        "content": "hello",
        "type": "TEXT",
    }
    key = {"Idempotency-Key": "once"}

    answers = [
        await server.call("POST", "/api/messages/send", json=body, headers=key) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    message = answers[0].json()["messageId"]
    assert answers[0].json()["success"] is True
    kept = await server.call("GET", f"/whatsapp/{NAME}/messages/{message}")
    assert kept.json()["to"] == "447700900123@s.whatsapp.net"

    async def sent() -> list[str]:
        return [text.text for text in server.house.engine.sent(session)]

    assert await until(sent, bool) == ["hello"]


async def test_a_number_is_found_by_metadata_too(server: Server) -> None:
    await server.create("support", metadata={"numberId": 12})
    path = "/api/admin/dashboard/clients/12"

    assert (await server.call("POST", f"{path}/validate")).json()["sessionId"] == "support"


async def test_who_sends_from_an_unknown_number_is_told(server: Server) -> None:
    body = {"whatsappNumberId": "99", "recipientNumber": PHONE, "content": "x", "type": "TEXT"}
    answer = await server.call("POST", "/api/messages/send", json=body)
    assert (answer.status_code, answer.json()["success"]) == (404, False)
    refused = await server.call("POST", "/api/messages/send", json={**body, "type": "IMAGE"})
    assert (refused.status_code, refused.json()["success"]) == (422, False)


async def test_numbers_of_another_tenant_do_not_exist(server: Server) -> None:
    await validated(server)
    other = issued(tenant="other")

    for method, path in (("GET", "qr-code"), ("POST", "regenerate-qr"), ("POST", "validate")):
        answer = await server.call(method, f"{CLIENT}/{path}", token=other)
        assert answer.status_code == 404
    body = {"whatsappNumberId": 6, "recipientNumber": PHONE, "content": "x", "type": "TEXT"}
    answer = await server.call("POST", "/api/messages/send", json=body, token=other)
    assert answer.status_code == 404


async def test_a_narrowed_token_sees_only_its_numbers(server: Server) -> None:
    await validated(server)
    mine, another = issued(sessions=[NAME]), issued(sessions=["session_7_+221771234567"])

    assert (await server.call("GET", f"{CLIENT}/qr-code", token=mine)).status_code == 200
    assert (await server.call("GET", f"{CLIENT}/qr-code", token=another)).status_code == 404
    refused = await server.call(
        "POST", f"{CLIENT}/validate", token=another, json={"phoneNumber": PHONE}
    )
    assert (refused.status_code, refused.json()["success"]) == (403, False)
    assert "WWW-Authenticate" in refused.headers
    assert (await server.call("GET", f"{CLIENT}/qr-code", token=None)).status_code == 401


async def test_a_phone_that_is_spelled_otherwise_is_the_same_phone(server: Server) -> None:
    session = await validated(server)
    server.house.engine.scan(session, phone=PHONE.lstrip("+"))
    await server.house.reaches(NAME, Status.CONNECTED)

    for spelling in (PHONE.lstrip("+"), PHONE, f"{PHONE[:4]} {PHONE[4:]}"):
        again = await server.call("POST", f"{CLIENT}/validate", json={"phoneNumber": spelling})
        assert (again.json()["sessionId"], again.json()["status"]) == (NAME, "CONNECTED")
    assert (await server.call("GET", "/whatsapp")).json()["total"] == 1


async def test_texts_go_by_the_linked_phone_until_its_successor_is_linked(server: Server) -> None:
    session = await validated(server)
    server.house.engine.scan(session, phone=PHONE.lstrip("+"))
    await server.house.reaches(NAME, Status.CONNECTED)
    other = (
        await server.call("POST", f"{CLIENT}/validate", json={"phoneNumber": "+15550002222"})
    ).json()
    assert other["sessionId"] != NAME
    await server.house.reaches(other["sessionId"], Status.QR_READY)
    assert (await server.call("GET", f"{CLIENT}/qr-code")).json()["phoneNumber"] == "+15550002222"

    text = {"whatsappNumberId": 6, "recipientNumber": "+447700900123", "content": "Hello"}
    assert (await server.call("POST", "/api/messages/send", json=text)).status_code == 200

    messages = (await server.call("GET", f"/whatsapp/{NAME}/messages")).json()["items"]
    assert [message["message"] for message in messages] == ["Hello"]
