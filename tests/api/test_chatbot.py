"""The QR microservice and its module over REST: with a key, with a token, and for nobody else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from auth.principal import Scope
from sessions.engine_simulator_script import FaultKind
from sessions.ids import SessionId
from sessions.status import Status
from tests.api.server import Answer, Server, issued, running_server
from tests.bridges.chatbot_backend import KEY as API_KEY
from tests.sessions.house import until

KEY = {"X-API-Key": API_KEY}
FRIEND = "+447700900123"
UNKNOWN_ID = "0199f3a2-7c41-7b6e-9a35-1f0c2d4e6b80"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run the edge with a back end's key."""
    async with running_server(tmp_path, api_key=API_KEY) as running:
        with blockbuster_ctx(["api", "auth", "sessions"]):
            yield running


async def keyed(
    server: Server, method: str, path: str, *, headers: Mapping[str, str] = KEY, **body: Any
) -> Answer:
    """Call as a back end that has the key and no token."""
    return await server.call(method, path, token=None, headers=headers, json=body or None)


async def begun(server: Server, prefix: str = "/whatsapp-qr", **body: Any) -> dict[str, Any]:
    """Have a session made and wait for its code."""
    answer = await keyed(server, "POST", f"{prefix}/init", **(body or {"chatbotId": "42"}))
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    await server.reaches(made["sessionId"], Status.QR_READY)
    return made


async def linked(server: Server, prefix: str = "/whatsapp-qr", **body: Any) -> SessionId:
    """Have a session made, and scan."""
    name = (await begun(server, prefix, **body))["sessionId"]
    session = SessionId((await server.call("GET", f"/whatsapp/{name}")).json()["id"])
    server.house.engine.scan(session, phone="221771234567")
    await server.reaches(name, Status.CONNECTED)
    return session


@pytest.mark.parametrize("prefix", ["", "/whatsapp-qr"])
async def test_a_chatbot_is_linked_and_sends(server: Server, prefix: str) -> None:
    first = await begun(server, prefix)
    assert first["message"]
    assert set(first) == {"success", "sessionId", "chatbotId", "status", "qrCode", "message"}
    assert (first["success"], first["sessionId"], first["chatbotId"]) == (True, "chatbot_42", "42")
    again = (await keyed(server, "POST", f"{prefix}/init", chatbotId=42)).json()
    assert (again["sessionId"], again["status"]) == ("chatbot_42", "QR_READY")

    shown = await keyed(server, "GET", f"{prefix}/qr-code/chatbot_42")
    code = shown.json()
    assert code["qrCode"].startswith("data:image/png;base64,")
    assert code["qr"] == code["qrCode"] == again["qrCode"]
    assert {"expiresAt", "attempt", "sessionId"} <= set(code)
    assert shown.headers["cache-control"] == "no-store"

    early = await keyed(
        server, "POST", f"{prefix}/send", sessionId="chatbot_42", to=FRIEND, message="too early"
    )
    assert (early.status_code, early.json()["code"]) == (409, "not_connected")
    assert early.json()["success"] is False
    session = await linked(server, prefix)
    status = (await keyed(server, "GET", f"{prefix}/status/chatbot_42")).json()
    assert (status["connected"], status["status"]) == (True, "CONNECTED")
    assert (status["phoneNumber"], status["chatbotId"]) == ("+221771234567", "42")
    assert status["userAction"] == "none"
    gone = await keyed(server, "GET", f"{prefix}/qr-code/{session}")
    assert (gone.status_code, gone.json()["code"]) == (404, "qr_not_available")
    assert gone.json()["message"] == "Session already connected. No QR needed."

    body: dict[str, Any] = {
        "sessionId": "chatbot_42",
        "to": FRIEND,
        "message": "hello",
        "extra": 1,
    }
    sent = await keyed(server, "POST", f"{prefix}/send", **body)
    answer = sent.json()
    assert (sent.status_code, answer["success"], answer["status"]) == (200, True, "queued")
    kept = await server.call("GET", f"/whatsapp/chatbot_42/messages/{answer['jobId']}")
    assert kept.json()["id"] == answer["messageId"]

    async def texts() -> list[str]:
        return [text.text for text in server.house.engine.sent(session)]

    assert await until(texts, bool) == ["hello"]
    for _ in range(2):
        down = await keyed(server, "POST", f"{prefix}/disconnect", sessionId="chatbot_42")
        assert (down.status_code, down.json()["connected"]) == (200, False)
        assert down.json()["status"] == "DISCONNECTED"


async def test_the_same_key_of_a_send_is_one_message(server: Server) -> None:
    session = await linked(server)
    headers = {**KEY, "Idempotency-Key": "once"}
    body = {"sessionId": "chatbot_42", "to": FRIEND, "message": "hello"}
    answers = [
        (await keyed(server, "POST", "/whatsapp-qr/send", headers=headers, **body)).json()
        for _ in range(2)
    ]
    assert answers[0]["messageId"] == answers[1]["messageId"]
    other = {**body, "message": "another"}
    refused = await keyed(server, "POST", "/whatsapp-qr/send", headers=headers, **other)
    assert refused.status_code == 409

    async def texts() -> list[str]:
        return [text.text for text in server.house.engine.sent(session)]

    assert await until(texts, bool) == ["hello"]


async def test_the_session_of_a_chatbot_is_found_by_its_metadata(server: Server) -> None:
    await server.create("support", metadata={"chatbotId": 7, "kept": True})
    await server.create("chatbot_8")
    assert (await begun(server, chatbotId="7"))["sessionId"] == "support"
    assert (await begun(server, chatbotId="8"))["sessionId"] == "chatbot_8"
    found = (await keyed(server, "GET", "/whatsapp-qr/session/7")).json()
    assert (found["sessionId"], found["status"]) == ("support", "QR_READY")
    missing = await keyed(server, "GET", "/whatsapp-qr/session/9")
    assert (missing.status_code, missing.json()["success"]) == (404, False)
    assert "init" in missing.json()["message"]
    down = await keyed(server, "POST", "/whatsapp-qr/disconnect", chatbotId="7")
    assert down.json()["sessionId"] == "support"
    assert (await server.call("GET", "/whatsapp/support")).json()["metadata"]["kept"] is True


async def test_many_at_once_make_one_session(server: Server) -> None:
    answers = await asyncio.gather(
        *(keyed(server, "POST", "/whatsapp-qr/init", chatbotId="42") for _ in range(8))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["sessionId"] for answer in answers} == {"chatbot_42"}
    assert (await server.call("GET", "/whatsapp")).json()["total"] == 1


async def test_a_chatbot_may_be_called_anything(server: Server) -> None:
    for chatbot in ("a/b", "é", "x" * 128, "with blank", "42.7", "../../etc"):
        made = await begun(server, chatbotId=chatbot)
        assert made["chatbotId"] == chatbot
        again = (await keyed(server, "POST", "/init", chatbotId=chatbot)).json()
        assert again["sessionId"] == made["sessionId"]


async def test_a_session_may_be_named_and_given_a_chatbot(server: Server) -> None:
    assert (await begun(server, "", sessionId="mine"))["chatbotId"] is None
    await begun(server, "", sessionId="mine", chatbotId="5", webhookUrl="ignored")
    shown = (await keyed(server, "GET", "/status/mine")).json()
    assert shown["chatbotId"] == "5"
    other = await keyed(server, "POST", "/init", sessionId="mine", chatbotId="6")
    assert (other.status_code, other.json()["success"]) == (409, False)


async def test_what_was_logged_out_or_broken_begins_anew_with_init(server: Server) -> None:
    session = await linked(server)
    for fault, status in (
        (FaultKind.LOGGED_OUT, Status.LOGGED_OUT),
        (FaultKind.CORRUPTED, Status.FAILED),
    ):
        server.house.engine.fault(session, fault)
        await server.reaches("chatbot_42", status)
        shown = (await keyed(server, "GET", "/whatsapp-qr/status/chatbot_42")).json()
        assert (shown["connected"], shown["userAction"]) == (False, "relogin")
        gone = await keyed(server, "GET", "/whatsapp-qr/qr-code/chatbot_42")
        assert gone.json()["message"] == f"There is no QR code now. {shown['message']}"
        session = await linked(server)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/whatsapp-qr/init", {"sessionId": "mine"}, "/chatbotId"),
    ("/whatsapp-qr/init", {"chatbotId": ""}, "/chatbotId"),
    ("/whatsapp-qr/init", {"chatbotId": True}, "/chatbotId"),
    ("/whatsapp-qr/init", {"chatbotId": "a\nb"}, "/chatbotId"),
    ("/init", {"chatbotId": -1}, "/chatbotId"),
    ("/init", {}, "/sessionId"),
    ("/init", {"sessionId": "a/b"}, "/sessionId"),
    ("/disconnect", {"sessionId": None}, "/sessionId"),
    ("/send", {"sessionId": "mine", "to": "you", "message": "x"}, "/to"),
    ("/send", {"sessionId": "mine", "to": FRIEND, "message": ""}, "/message"),
    ("/whatsapp-qr/send", {"to": FRIEND, "message": "x"}, "/sessionId"),
]


async def test_what_is_wrong_is_named(server: Server) -> None:
    for path, body, pointer in WRONG:
        answer = await server.call("POST", path, token=None, headers=KEY, json=body)
        assert answer.status_code == 422, answer.text
        document = answer.json()
        assert [fault["pointer"] for fault in document["errors"]] == [pointer]
        assert (document["success"], document["message"]) == (False, document["detail"])


CALLS: list[tuple[str, str, dict[str, Any]]] = [
    (method, f"{prefix}{path}", body)
    for prefix in ("", "/whatsapp-qr")
    for method, path, body in (
        ("GET", "/qr-code/{id}", {}),
        ("GET", "/status/{id}", {}),
        ("POST", "/send", {"sessionId": "{id}", "to": FRIEND, "message": "x"}),
        ("POST", "/disconnect", {"sessionId": "{id}"}),
        ("POST", "/disconnect", {"chatbotId": "42"}),
    )
]
CALLS.append(("GET", "/whatsapp-qr/session/42", {}))


async def test_what_is_another_tenants_does_not_exist(server: Server) -> None:
    session = await linked(server)
    others = (issued(tenant="other"), issued(sessions=["another"]))
    for ref, (method, path, body) in product(("chatbot_42", session, UNKNOWN_ID), CALLS):
        sent = {name: value.replace("{id}", ref) for name, value in body.items()}
        for token in others:
            answer = await server.call(
                method, path.replace("{id}", ref), token=token, json=sent or None
            )
            assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
    assert (await server.reaches("chatbot_42", Status.CONNECTED))["isActive"] is True
    assert server.house.engine.sent(session) == []


async def test_init_of_another_tenant_makes_its_own_session(server: Server) -> None:
    await linked(server)
    other, body = issued(tenant="other"), {"chatbotId": "42"}
    for path in ("/init", "/whatsapp-qr/init"):
        answer = await server.call("POST", path, token=other, json=body)
        assert answer.json()["status"] in {"CONNECTING", "QR_READY"}
    for token in (other, server.token):
        assert (await server.call("GET", "/whatsapp", token=token)).json()["total"] == 1
    narrowed = issued(sessions=["another"])
    refused = await server.call("POST", "/init", token=narrowed, json={"chatbotId": "42"})
    assert (refused.status_code, refused.json()["success"]) == (403, False)


async def test_the_key_opens_its_own_paths_and_no_others(server: Server) -> None:
    await linked(server)
    client = "/api/admin/dashboard/clients/6/qr-code"
    for headers in (KEY, {"Authorization": f"Bearer {API_KEY}"}):
        assert (await keyed(server, "GET", "/status/chatbot_42", headers=headers)).is_success
        assert (await keyed(server, "GET", "/usage", headers=headers)).is_success
        # No such number: but who asks was let in.
        assert (await keyed(server, "GET", client, headers=headers)).status_code == 404
        for method, path in (
            ("GET", "/whatsapp"),
            ("GET", "/whatsapp/chatbot_42"),
            ("DELETE", "/whatsapp/chatbot_42"),
            ("GET", "/webhooks"),
            ("GET", "/bridges"),
            ("POST", "/auth/revocations"),
        ):
            assert (await keyed(server, method, path, headers=headers)).status_code == 401


OTHER_KEYS: list[dict[str, str]] = [
    {},
    {"X-API-Key": ""},
    {"X-API-Key": API_KEY + "x"},
    {"X-API-Key": API_KEY[:-1]},
    {"X-API-Key": "é" * 16},
    {"Authorization": f"Bearer {API_KEY}x"},
    {"Authorization": f"Basic {API_KEY}"},
    # Which of the two would count?
    {"X-API-Key": "wrong", "Authorization": f"Bearer {API_KEY}"},
]


async def test_another_key_opens_nothing(server: Server) -> None:
    for headers, path in product(OTHER_KEYS, ("/status/x", "/whatsapp-qr/session/42")):
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        answer = await server.client.get(path, headers=encoded)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert API_KEY not in answer.text
    token = f"Bearer {issued()}"
    wrong = await server.client.get(
        "/status/x", headers={"X-API-Key": "wrong", "Authorization": token}
    )
    assert wrong.status_code == 401
    both = [("X-API-Key", API_KEY), ("X-API-Key", API_KEY)]
    assert (await server.client.get("/status/x", headers=both)).status_code == 401


async def test_a_token_needs_the_scope_and_no_key(server: Server) -> None:
    await linked(server)
    reader = issued(scopes=[Scope.SESSIONS_READ])
    assert (await server.call("GET", "/status/chatbot_42", token=reader)).is_success
    body = {"sessionId": "chatbot_42", "to": FRIEND, "message": "x"}
    refused = await server.call("POST", "/send", token=reader, json=body)
    assert (refused.status_code, refused.json()["success"]) == (403, False)
