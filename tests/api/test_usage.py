"""GET /usage: who may see what was used, of which days."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from auth.principal import Scope
from sessions.events import EventType
from sessions.ids import SessionId
from tests.api.server import Server, issued
from tests.api.test_bad_input import faults
from tests.sessions.house import until


async def used(server: Server, query: str = "", **options: Any) -> dict[str, Any]:
    """Return a page."""
    answer = await server.call("GET", f"/usage{query}", **options)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def connected_and_used(server: Server, name: str, count: int, phone: str) -> dict[str, Any]:
    """Connect a session that takes in so many messages and sends one."""
    session = await server.connected(name, phone=phone)
    server.house.engine.burst(SessionId(session["id"]), count)
    await server.house.logged(name, EventType.SESSION_MESSAGE, count)
    text = {"to": "+447700900999", "type": "text", "text": "Hello"}
    assert (await server.call("POST", f"/whatsapp/{name}/messages", json=text)).is_success
    of_it = partial(used, server, f"?sessionId={name}")
    await until(of_it, lambda page: page["totals"] == {"messagesIn": count, "messagesOut": 1})
    return session


async def test_usage_is_told_by_session_and_day_to_who_may_see_it(server: Server) -> None:
    first_day = datetime.now(UTC).date()
    one = await connected_and_used(server, "one", 3, "447700900001")
    two = await connected_and_used(server, "two", 2, "447700900002")

    page = await used(server)
    assert page["totals"] == {"messagesIn": 5, "messagesOut": 2}
    assert {first_day.isoformat(), datetime.now(UTC).date().isoformat()} >= {
        item["day"] for item in page["items"]
    }
    assert {(item["id"], item["sessionId"]) for item in page["items"]} == {
        (one["id"], "one"), (two["id"], "two"),
    }  # fmt: skip
    assert (await used(server, f"?sessionId={two['id']}"))["totals"]["messagesIn"] == 2
    assert (await used(server, f"?to={first_day - timedelta(days=1)}"))["items"] == []
    part = await used(server, "?limit=1&offset=1")
    assert (part["items"], part["total"]) == (page["items"][1:2], page["total"])

    for token in (issued(sessions=["two"]), issued(sessions=[two["id"]])):
        mine = await used(server, token=token)
        assert {item["sessionId"] for item in mine["items"]} == {"two"}
        assert (await used(server, "?sessionId=one", token=token))["total"] == 0
    other = await used(server, token=issued(tenant="others"))
    assert (other["total"], other["totals"]) == (0, {"messagesIn": 0, "messagesOut": 0})
    blind = issued(scopes=[Scope.SESSIONS_WRITE])
    assert (await server.call("GET", "/usage", token=blind)).status_code == 403

    assert (await server.call("DELETE", "/whatsapp/one")).status_code == 204
    assert await used(server) == page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?from=2026-02-30", {"from": "date_parsing"}),
        ("?from=yesterday&to=1767225600", {"from": "date_parsing", "to": "date_parsing"}),
        ("?to=2026-03-01T00:00:00", {"to": "date_parsing"}),
        ("?from=2026-03-02&to=2026-03-01", {"from": "after_end"}),
        ("?from=2026-03-02&from=2026-03-01", {"from": "repeated"}),
        ("?first=2026-03-02", {"first": "unknown_field"}),
        ("?sessionId=a%20b", {"sessionId": "invalid_session_id"}),
        ("?limit=0&offset=-1", {"limit": "greater_than_equal", "offset": "greater_than_equal"}),
    ],
)
async def test_a_query_that_makes_no_sense_is_told_where(
    server: Server, query: str, expected: dict[str, str]
) -> None:
    assert faults(await server.call("GET", f"/usage{query}")) == expected


@pytest.mark.parametrize(
    "query", ["?from=0001-01-01&to=9999-12-31", "?to=0001-01-05", "?from=9999-12-31"]
)
async def test_days_of_all_times_are_days(server: Server, query: str) -> None:
    assert (await used(server, query))["total"] == 0
