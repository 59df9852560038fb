"""Webhooks: made over REST, received over HTTP, verified by another library."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError
from starlette.responses import Response

from auth.principal import Scope
from gateway.webhook_client import UnfitUrl, WebhookClient
from sessions.ids import SessionId
from tests.api.server import Server, issued
from tests.gateway.hooks import QUICK, gets, hooked, logged, made, seen
from tests.gateway.receiver import Receiver
from tests.sessions.house import until


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Return the address of an empty database of each kind, None for the file."""
    if request.param == "sqlite":
        return None
    address: str = request.getfixturevalue("postgres_copy")
    return address


@pytest.fixture
async def server(tmp_path: Path, url: str | None) -> AsyncIterator[Server]:
    """Run a gateway with webhooks on each kind of database."""
    async with hooked(tmp_path, url=url) as running:
        yield running


async def test_events_arrive_in_order_as_the_log_has_them(
    server: Server, receiver: Receiver
) -> None:
    webhook = await made(server, receiver.url)
    session = await server.connected()
    server.house.engine.burst(SessionId(session["id"]), 30)
    await gets(receiver, 30, "session:message")

    durable = [event for event in receiver.taken() if "seq" in event]
    assert durable == await logged(server)
    assert "qr" in {event["type"] for event in receiver.taken()}
    for post in receiver.posts:
        Verifier(webhook["secret"]).verify(post.body, post.headers)
        assert post.headers["webhook-id"] == post.event["id"]


async def test_both_secrets_sign_until_the_overlap_is_over(
    server: Server, receiver: Receiver
) -> None:
    webhook = await made(server, receiver.url)
    path = f"/webhooks/{webhook['id']}"
    rotated = (await server.call("POST", path + "/rotate-secret")).json()
    await server.call("POST", path + "/test")
    for secret in (webhook["secret"], rotated["secret"]):
        Verifier(secret).verify(receiver.posts[-1].body, receiver.posts[-1].headers)

    final = await server.call("POST", path + "/rotate-secret", json={"overlapSeconds": 0})
    await server.call("POST", path + "/test")
    post = receiver.posts[-1]
    Verifier(final.json()["secret"]).verify(post.body, post.headers)
    for secret in (webhook["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(post.body, post.headers)


async def test_a_refused_event_comes_again_with_its_id_before_those_behind_it(
    server: Server, receiver: Receiver
) -> None:
    webhook = await made(server, receiver.url, events=["session:message"])
    refusals = iter([500, 302])

    def refuse_twice(_: dict[str, Any]) -> Response | None:
        status = next(refusals, 200)
        return Response(status_code=status, headers={"location": receiver.url})

    receiver.judge = refuse_twice
    session = await server.connected()
    server.house.engine.burst(SessionId(session["id"]), 3)
    taken = await gets(receiver, 3)

    assert [post.answered for post in receiver.posts] == [500, 302, 200, 200, 200]
    assert len({post.headers["webhook-id"] for post in receiver.posts[:3]}) == 1
    assert [event["seq"] for event in taken] == sorted(event["seq"] for event in taken)

    async def statuses() -> list[int]:
        answer = await server.call("GET", f"/webhooks/{webhook['id']}/attempts")
        return [item["status"] for item in answer.json()["items"]]

    await until(statuses, lambda found: found == [200, 200, 200, 302, 500])
    assert (await seen(server, webhook))["failingSince"] is None


async def test_an_endpoint_that_is_gone_is_disabled_and_goes_on_when_enabled(
    server: Server, receiver: Receiver
) -> None:
    webhook = await made(server, receiver.url, events=["session:message"])
    receiver.judge = lambda _: Response(status_code=410)
    session = await server.connected()
    server.house.engine.burst(SessionId(session["id"]), 2)
    shown = await until(partial(seen, server, webhook), lambda found: not found["enabled"])
    assert "410" in shown["disabledReason"]
    assert len(receiver.posts) == 1

    receiver.judge = lambda _: None
    again = await server.call("PUT", f"/webhooks/{webhook['id']}", json={"enabled": True})
    assert again.json()["disabledReason"] is None
    assert len(await gets(receiver, 2)) == 2


async def test_what_is_refused_for_the_whole_schedule_is_parked_and_redelivered(
    server: Server, receiver: Receiver
) -> None:
    webhook = await made(server, receiver.url, events=["session:message"])
    poison: list[str] = []

    def refuse_the_first(event: dict[str, Any]) -> Response | None:
        poison.append(event["id"])
        return Response(status_code=500) if event["id"] == poison[0] else None

    receiver.judge = refuse_the_first
    session = await server.connected()
    server.house.engine.burst(SessionId(session["id"]), 2)
    await gets(receiver, 1)
    assert poison.count(poison[0]) == len(QUICK) + 1

    receiver.judge = lambda _: None
    answer = await server.call("POST", f"/webhooks/{webhook['id']}/redeliver")
    assert answer.json() == {"delivered": 1, "lost": 0, "stillParked": 0}
    assert receiver.taken()[-1]["id"] == poison[0]


async def test_retry_after_is_kept_to(server: Server, receiver: Receiver) -> None:
    await made(server, receiver.url, events=["session:message"])
    receiver.judge = lambda _: (
        None if receiver.posts else Response(status_code=429, headers={"retry-after": "1"})
    )
    session = await server.connected()
    loop = asyncio.get_running_loop()
    started = loop.time()
    server.house.engine.burst(SessionId(session["id"]), 1)
    await gets(receiver, 1)
    assert loop.time() - started >= 1


async def test_a_session_of_another_tenant_or_name_is_not_told(
    server: Server, receiver: Receiver
) -> None:
    await server.create("two")
    await made(server, receiver.url, sessionId="two")
    theirs = issued(tenant="others")
    other = await server.call("POST", "/webhooks", token=theirs, json={"url": receiver.url})
    await server.connected()
    await server.call("POST", f"/webhooks/{other.json()['id']}/test", token=theirs)
    await server.call("DELETE", "/whatsapp/two")

    await gets(receiver, 1, "session:deleted")
    assert {event["type"] for event in receiver.taken() if event.get("sessionId") != "two"} == {
        "webhook:test"
    }

    async def left() -> list[Any]:
        return list((await server.call("GET", "/webhooks")).json()["items"])

    await until(left, lambda items: items == [])


async def test_a_restart_goes_on_where_it_was(
    tmp_path: Path, url: str | None, receiver: Receiver
) -> None:
    async with hooked(tmp_path, url=url) as server:
        await made(server, receiver.url, events=["session:*"])
        receiver.judge = lambda event: (
            Response(status_code=500) if event["type"] == "session:message" else None
        )
        session = await server.connected()
        server.house.engine.burst(SessionId(session["id"]), 2)

        async def refused() -> int:
            return sum(post.answered == 500 for post in receiver.posts)

        await until(refused, bool)
        before = {event["id"] for event in receiver.taken()}
    receiver.judge = lambda _: None
    mark = len(receiver.posts)
    async with hooked(tmp_path, url=url) as server:
        await gets(receiver, 2, "session:message")
        events = [post.event for post in receiver.posts[mark:] if "seq" in post.event]
        assert events[0]["type"] == "session:message"
        assert not before & {event["id"] for event in events}


async def test_only_the_owner_and_the_right_scopes_reach_a_webhook(
    server: Server, receiver: Receiver
) -> None:
    await server.create("one")
    webhook = await made(server, receiver.url)
    path = f"/webhooks/{webhook['id']}"
    assert "secret" not in await seen(server, webhook)
    for method, end in (
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/test"),
        ("GET", "/attempts"),
        ("POST", "/rotate-secret"),
        ("POST", "/redeliver"),
    ):
        for token in (issued(tenant="others"), issued(sessions=["one"])):
            answer = await server.call(method, path + end, token=token)
            assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found")
    reader = issued(scopes=[Scope.SESSIONS_READ])
    assert (await server.call("GET", "/webhooks", token=reader)).status_code == 403
    narrowed, blind = issued(sessions=["one"]), issued(scopes=[Scope.SESSIONS_WRITE])
    for token in (narrowed, blind):
        answer = await server.call("POST", "/webhooks", token=token, json={"url": receiver.url})
        assert answer.status_code == 403
    own = {"url": receiver.url, "sessionId": "one"}
    assert (await server.call("POST", "/webhooks", token=narrowed, json=own)).status_code == 201
    assert (await server.call("DELETE", path)).status_code == 204
    assert (await server.call("GET", path)).status_code == 404


async def test_loopback_is_refused_unless_it_is_allowed(tmp_path: Path, receiver: Receiver) -> None:
    client = WebhookClient(allow_http=True)
    async with hooked(tmp_path, client=client) as server:
        named = receiver.url.replace("127.0.0.1", "localhost")
        webhook = await made(server, named)
        attempt = (await server.call("POST", f"/webhooks/{webhook['id']}/test")).json()
        assert "not public" in attempt["error"]
        answer = await server.call("POST", "/webhooks", json={"url": receiver.url})
        assert answer.json()["errors"][0]["pointer"] == "/url"
        # Forms that a resolver, but no parser of addresses, takes for 127.0.0.1.
        for host in ("127.1", "0x7f.1", "2130706433"):
            outcome = await client.post(receiver.url.replace("127.0.0.1", host), b"{}", {})
            assert outcome.status is None
    assert receiver.posts == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https://a@example.com/",
        "https://example.com/#a", "https://example.com\\@127.0.0.1/", "https://[::1]/",
        "https://169.254.169.254/", "https://example.com:0/", "https://example.com:x/", "a b",
    ],
)  # fmt: skip
async def test_an_unfit_url_is_refused(url: str) -> None:
    with pytest.raises(UnfitUrl):
        WebhookClient().check(url)
