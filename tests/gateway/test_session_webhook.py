"""POST /whatsapp with a webhook: the session and its endpoint are made together, or neither is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from auth.principal import Scope
from gateway.webhook_client import WebhookClient
from sessions.ids import SessionId
from tests.api.server import Server, issued
from tests.api.test_bad_input import faults, problem
from tests.gateway.hooks import gets, hooked, made
from tests.gateway.receiver import Receiver


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Run a gateway with webhooks, of which a tenant may have two."""
    async with hooked(tmp_path, limit=2) as running:
        yield running


async def of_tenant(server: Server) -> tuple[list[str], list[str | None]]:
    """Return the names of the sessions, and the sessions of the webhooks, that there are."""
    sessions = (await server.call("GET", "/whatsapp")).json()["items"]
    webhooks = (await server.call("GET", "/webhooks")).json()["items"]
    return [each["sessionId"] for each in sessions], [each["sessionId"] for each in webhooks]


@pytest.mark.parametrize("alone", [True, False])
async def test_a_session_is_made_with_its_webhook(
    server: Server, receiver: Receiver, alone: bool
) -> None:
    asked: Any = receiver.url if alone else {"url": receiver.url, "events": ["session:message"]}
    body = {"sessionId": "one", "name": "Desk", "webhook": asked}
    answer = await server.call("POST", "/whatsapp", json=body)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    session, webhook = answer.json(), answer.json()["webhook"]
    assert (session["sessionId"], session["name"]) == ("one", "Desk")
    assert answer.headers["location"] == f"/whatsapp/{session['id']}"
    assert webhook.keys() == {"id", "url", "events", "secret"}
    assert webhook["events"] == (["*"] if alone else ["session:message"])

    await server.call("POST", "/whatsapp/one/activate")
    await server.reaches("one", "QR_READY")  # type: ignore[arg-type]  # as it is on the wire
    server.house.engine.scan(SessionId(session["id"]), phone="447700900123", push_name="Alice")
    server.house.engine.burst(SessionId(session["id"]), 1)
    (message,) = await gets(receiver, 1, "session:message")
    assert message["sessionId"] == "one"
    for post in receiver.posts:
        Verifier(webhook["secret"]).verify(post.body, post.headers)
    shown = (await server.call("GET", "/whatsapp/one")).json()
    assert "webhook" not in shown
    assert await of_tenant(server) == (["one"], ["one"])


async def test_when_one_of_the_two_can_not_be_made_neither_is(
    server: Server, receiver: Receiver
) -> None:
    both = {"sessionId": "one", "webhook": receiver.url}
    assert (await server.call("POST", "/whatsapp", json={"sessionId": "one"})).is_success
    problem(await server.call("POST", "/whatsapp", json=both), 409, "session_exists")
    assert await of_tenant(server) == (["one"], [])

    for _ in range(2):
        await made(server, receiver.url)
    full = await server.call("POST", "/whatsapp", json={**both, "sessionId": "two"})
    problem(full, 409, "too_many_webhooks")
    problem(
        await server.call("POST", "/webhooks", json={"url": receiver.url}), 409, "too_many_webhooks"
    )
    assert await of_tenant(server) == (["one"], [None, None])
    # Another tenant's count is its own.
    others = issued(tenant="others")
    assert (await server.call("POST", "/whatsapp", json=both, token=others)).status_code == 201


@pytest.mark.parametrize(
    ("webhook", "expected"),
    [
        ("http://example.com/hook", {"/webhook/url": "unfit_url"}),
        ("https://127.0.0.1/hook", {"/webhook/url": "unfit_url"}),
        ({"url": "https://10.0.0.1/"}, {"/webhook/url": "unfit_url"}),
        ("", {"/webhook/url": "string_too_short"}),
        ({}, {"/webhook/url": "required"}),
        ({"url": 7}, {"/webhook/url": "string_type"}),
        (7, {"/webhook": "object_type"}),
        (
            {"url": "https://example.com/", "events": ["mesage"], "retries": 3},
            {"/webhook/events/0": "unknown_event", "/webhook/retries": "unknown_field"},
        ),
    ],
)
async def test_a_webhook_that_will_not_do_is_told_where(
    tmp_path: Path, webhook: Any, expected: dict[str, str]
) -> None:
    async with hooked(tmp_path, client=WebhookClient()) as server:
        body = {"sessionId": "one", "webhook": webhook}
        assert faults(await server.call("POST", "/whatsapp", json=body)) == expected
        assert await of_tenant(server) == ([], [])


async def test_who_may_not_read_messages_may_not_have_them_posted(
    server: Server, receiver: Receiver
) -> None:
    blind = issued(scopes=[Scope.SESSIONS_WRITE])
    body = {"sessionId": "one", "webhook": receiver.url}
    problem(
        await server.call("POST", "/whatsapp", json=body, token=blind), 403, "insufficient_scope"
    )
    assert await of_tenant(server) == ([], [])
    narrowed = issued(sessions=["one"])
    assert (await server.call("POST", "/whatsapp", json=body, token=narrowed)).status_code == 201


@pytest.mark.parametrize(
    "fields",
    [{"events": ["sesion:message"]}, {"events": []}, {"url": ""}, {"events": ["["]}, {"more": 1}],
)
async def test_a_webhook_that_could_never_work_is_refused(
    server: Server, fields: dict[str, Any]
) -> None:
    sent = {"url": "https://example.com/", **fields}
    assert (await server.call("POST", "/webhooks", json=sent)).status_code == 422
