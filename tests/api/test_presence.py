"""Presence over HTTP: online for all, typing in one chat, and nothing in between."""

from typing import Any

import pytest

from auth.principal import Scope
from sessions.ids import SessionId
from tests.api.server import Answer, Server, issued
from tests.api.test_bad_input import faults, problem

BOB = "447700900456@s.whatsapp.net"


async def show(server: Server, body: Any, **options: Any) -> Answer:
    return await server.call("POST", "/whatsapp/one/presence", json=body, **options)


async def test_what_is_asked_for_is_shown(server: Server) -> None:
    session = SessionId((await server.connected("one"))["id"])
    for body in (
        {"state": "available"},
        {"state": "composing", "to": "+44 7700 900456"},
        {"state": "recording", "to": BOB},
        {"state": "paused", "to": "447700900456-1612345678@g.us"},
        {"state": "unavailable"},
    ):
        answer = await show(server, body)
        assert (answer.status_code, answer.content) == (204, b"")
    assert list(server.house.engine.phone(session).shown) == [
        "available",
        f"{BOB} composing",
        f"{BOB} recording",
        "447700900456-1612345678@g.us paused",
        "unavailable",
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/state": "required"}),
        ({"state": "asleep"}, {"/state": "literal_error"}),
        ({"state": None}, {"/state": "literal_error"}),
        ({"state": "composing"}, {"/to": "required"}),
        ({"state": "recording", "to": None}, {"/to": "required"}),
        ({"state": "paused", "to": "Bob"}, {"/to": "invalid_recipient"}),
        ({"state": "paused", "to": 447700900456}, {"/to": "string_type"}),
        ({"state": "available", "to": BOB}, {"/to": "not_applicable"}),
        ({"state": "unavailable", "to": None}, {"/to": "not_applicable"}),
        ({"state": "available", "for": 5}, {"/for": "unknown_field"}),
        ("available", {"": "object_type"}),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_shown(
    server: Server, body: Any, expected: dict[str, str]
) -> None:
    session = await server.create("one")
    assert faults(await show(server, body)) == expected
    assert not server.house.engine.phone(SessionId(session["id"])).shown


@pytest.mark.parametrize("body", [{"state": "available"}, {"state": "composing", "to": BOB}])
async def test_a_session_that_is_not_connected_shows_nothing(
    server: Server, body: dict[str, str]
) -> None:
    await server.create("one")
    refused = await show(server, body)
    assert "Activate it" in problem(refused, 409, "not_connected")["detail"]
    assert int(refused.headers["retry-after"]) > 0
    await server.house.manager.drain()
    problem(await show(server, body), 503, "draining")


async def test_presence_is_for_who_may_send(server: Server) -> None:
    session = await server.connected("one")
    others = [Scope.SESSIONS_READ, Scope.SESSIONS_WRITE, Scope.MESSAGES_READ]
    refused = await show(server, {"state": "available"}, token=issued(scopes=others))
    assert "messages:send" in problem(refused, 403, "insufficient_scope")["detail"]
    assert not server.house.engine.phone(SessionId(session["id"])).shown
    sender = issued(scopes=[Scope.MESSAGES_SEND], sessions=["one"])
    assert (await show(server, {"state": "available"}, token=sender)).status_code == 204
