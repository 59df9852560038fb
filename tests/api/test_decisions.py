"""Deciding about one message over HTTP: cancel it, resolve its fate, mark it as read."""

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth.principal import Scope
from sessions.engine_simulator_script import FaultKind
from sessions.errors import NotSupported
from sessions.ids import SessionId
from sessions.services import Policy
from sessions.status import Status
from tests.api.server import Server, issued, running_server
from tests.api.test_bad_input import faults, problem
from tests.sessions.house import until

HELLO = {"to": "+447700900456", "type": "text", "text": "Hello"}
IMPATIENT = Policy(send_timeout_seconds=0.2, stop_timeout_seconds=0.2)


async def send(server: Server, **changes: Any) -> Any:
    return await server.call("POST", "/whatsapp/one/messages", json={**HELLO, **changes})


async def queued(server: Server) -> str:
    """Return the path of a message that waits for its session to be activated."""
    await server.create("one")
    path: str = (await send(server)).headers["location"]
    return path


async def reaches(server: Server, path: str, status: str) -> dict[str, Any]:
    """Wait until a message has a status, and return it."""
    answer = await until(
        lambda: server.call("GET", path), lambda found: found.json()["status"] == status
    )
    message: dict[str, Any] = answer.json()
    return message


async def received(server: Server, texts: int) -> list[dict[str, Any]]:
    """Return so many texts that came in, oldest first, once all are there."""
    answer = await until(
        lambda: server.call("GET", "/whatsapp/one/messages"),
        lambda found: len(found.json()["items"]) == texts,
    )
    return [item for item in reversed(answer.json()["items"]) if item["direction"] == "in"]


async def test_an_urgent_text_overtakes_what_is_queued(server: Server) -> None:
    session = await server.create("one")
    await send(server, text="later", priority="normal")
    assert (await send(server, text="now", priority="high")).status_code == 202
    await server.call("POST", "/whatsapp/one/activate")
    await server.reaches("one", Status.QR_READY)
    server.house.engine.scan(SessionId(session["id"]))

    async def arrived() -> list[str]:
        return [text.text for text in server.house.engine.sent(SessionId(session["id"]))]

    assert await until(arrived, lambda texts: len(texts) == 2) == ["now", "later"]


@pytest.mark.parametrize("priority", ["urgent", "HIGH", "", None, 1])
async def test_another_priority_is_refused(server: Server, priority: object) -> None:
    await server.create("one")
    assert faults(await send(server, priority=priority)) == {"/priority": "literal_error"}


async def test_a_full_queue_says_when_to_try_again(tmp_path: Path) -> None:
    async with running_server(tmp_path, policy=Policy(queue_limit=2)) as server:
        await server.create("one")
        assert [(await send(server)).status_code for _ in range(2)] == [202, 202]
        refused = await send(server)
        problem(refused, 429, "queue_full")
        assert int(refused.headers["retry-after"]) > 0
        assert len((await server.call("GET", "/whatsapp/one/messages")).json()["items"]) == 2


async def test_a_queued_text_is_cancelled_once_and_for_all(server: Server) -> None:
    path = await queued(server)
    for _ in range(2):
        answer = await server.call("POST", f"{path}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert answer.json()["message"] == "Hello"
    history = (await server.call("GET", path)).json()["history"]
    assert [step["status"] for step in history] == ["queued", "cancelled"]


async def test_what_is_on_its_way_can_not_be_cancelled(server: Server) -> None:
    session = await server.connected("one")
    path = (await send(server)).headers["location"]
    await reaches(server, path, "sent")
    problem(await server.call("POST", f"{path}/cancel"), 409, "not_cancellable")
    server.house.engine.write(SessionId(session["id"]), "Hi")
    (incoming,) = await received(server, 2)
    answer = await server.call("POST", f"/whatsapp/one/messages/{incoming['id']}/cancel")
    assert "Hi" not in problem(answer, 409, "not_cancellable").values()


@pytest.mark.parametrize(
    ("action", "at_once", "at_last", "copies"),
    [("resend", "queued", "sent", 2), ("failed", "failed", "failed", 1)],
)
async def test_a_person_decides_about_a_message_in_doubt(
    tmp_path: Path, action: str, at_once: str, at_last: str, copies: int
) -> None:
    async with running_server(tmp_path, policy=IMPATIENT) as server:
        session = SessionId((await server.connected("one"))["id"])
        server.house.engine.fault(session, FaultKind.SEND_HANG)
        path = (await send(server)).headers["location"]
        await reaches(server, path, "unknown")
        answer = await server.call("POST", f"{path}/resolve", json={"action": action})
        assert (answer.status_code, answer.json()["status"]) == (200, at_once)
        resolved = await reaches(server, path, at_last)
        assert ("error" in resolved) == (action == "failed")
        again = await server.call("POST", f"{path}/resolve", json={"action": action})
        problem(again, 409, "not_unknown")
        assert len(server.house.engine.sent(session)) == copies


async def test_what_is_not_in_doubt_is_not_resolved(server: Server) -> None:
    path = await queued(server)
    answer = await server.call("POST", f"{path}/resolve", json={"action": "failed"})
    problem(answer, 409, "not_unknown")
    assert (await server.call("GET", path)).json()["status"] == "queued"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/action": "required"}),
        ({"action": "forget"}, {"/action": "literal_error"}),
        ({"action": None}, {"/action": "literal_error"}),
        ({"action": "failed", "why": "x"}, {"/why": "unknown_field"}),
        (["failed"], {"": "object_type"}),
    ],
)
async def test_a_decision_is_one_of_two(
    server: Server, body: Any, expected: dict[str, str]
) -> None:
    path = await queued(server)
    assert faults(await server.call("POST", f"{path}/resolve", json=body)) == expected


@pytest.mark.parametrize("call", ["cancel", "read"])
async def test_a_decision_takes_no_fields(server: Server, call: str) -> None:
    path = await queued(server)
    answer = await server.call("POST", f"{path}/{call}", json={"force": True})
    assert faults(answer) == {"/force": "unknown_field"}


async def test_reading_a_message_is_shown_to_its_sender(server: Server) -> None:
    session = SessionId((await server.connected("one"))["id"])
    written = server.house.engine.burst(session, 3, sender="447700900456")
    first, second, third = await received(server, 3)
    answer = await server.call("POST", f"/whatsapp/one/messages/{second['id']}/read")
    assert (answer.status_code, answer.json()["status"]) == (200, "read")
    statuses = [message["status"] for message in await received(server, 3)]
    assert statuses == ["read", "read", "received"]
    marks = server.house.engine.phone(session).read_marks
    assert list(marks) == [message.whatsapp_id for message in written[:2]]
    await server.call("POST", f"/whatsapp/one/messages/{first['id']}/read")
    assert len(marks) == 2
    await server.call("POST", f"/whatsapp/one/messages/{third['id']}/read")
    assert list(marks) == [message.whatsapp_id for message in written]


async def test_nothing_is_read_while_nobody_can_be_told(server: Server) -> None:
    session = SessionId((await server.connected("one"))["id"])
    server.house.engine.write(session, "Hi")
    (message,) = await received(server, 1)
    await server.call("POST", "/whatsapp/one/deactivate")
    refused = await server.call("POST", f"/whatsapp/one/messages/{message['id']}/read")
    assert "Activate it" in problem(refused, 409, "not_connected")["detail"]
    assert (await received(server, 1))[0]["status"] == "received"


async def test_what_the_engine_can_not_do_is_said_so(tmp_path: Path) -> None:
    async def unable(_: Request) -> Response:
        raise NotSupported

    # The simulator can do all there is, so nothing that it is asked ends so.
    async with running_server(tmp_path, more_routes=[Route("/unable", unable)]) as server:
        problem(await server.call("GET", "/unable"), 501, "not_supported")


@pytest.mark.parametrize("call", ["cancel", "read", "resolve"])
async def test_a_decision_about_no_message_is_not_found(server: Server, call: str) -> None:
    await server.create("one")
    body = {"action": "failed"} if call == "resolve" else None
    for name in ("0199f3a3-11d2-7c55-8e10-5a7b9c3d1e2f", "x", "%00"):
        path = f"/whatsapp/one/messages/{name}/{call}"
        problem(await server.call("POST", path, json=body), 404, "message_not_found")


async def test_a_message_of_another_session_is_not_found_by_its_id(server: Server) -> None:
    path = await queued(server)
    await server.create("two")
    other = path.replace("/one/", "/two/")
    problem(await server.call("POST", f"{other}/cancel"), 404, "message_not_found")
    assert (await server.call("GET", path)).json()["status"] == "queued"


@pytest.mark.parametrize(
    ("call", "lacking"),
    [
        ("cancel", Scope.MESSAGES_SEND),
        ("resolve", Scope.MESSAGES_SEND),
        ("read", Scope.MESSAGES_SEND),
        ("read", Scope.MESSAGES_READ),
    ],
)
async def test_a_decision_needs_its_scope(server: Server, call: str, lacking: Scope) -> None:
    path = await queued(server)
    token = issued(scopes=[scope for scope in Scope if scope not in {lacking, Scope.ADMIN}])
    refused = await server.call("POST", f"{path}/{call}", token=token, json={})
    assert lacking in problem(refused, 403, "insufficient_scope")["detail"]
    assert (await server.call("GET", path)).json()["status"] == "queued"
