"""Chats over HTTP: the newest first, page by page, with what is unread."""

from typing import Any

import pytest

from auth.principal import Scope
from sessions.ids import SessionId
from tests.api.server import Server, issued
from tests.api.test_bad_input import faults, problem
from tests.sessions.house import until

PATH = "/whatsapp/one/conversations"


async def listed(server: Server, chats: int) -> list[dict[str, Any]]:
    """Wait until there are so many chats."""

    async def look() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await server.call("GET", PATH)).json()["items"]
        return items

    return await until(look, lambda found: len(found) == chats)


async def test_a_session_without_messages_has_no_chats(server: Server) -> None:
    await server.create("one")
    assert (await server.call("GET", PATH)).json() == {"items": [], "before": None}


async def test_a_chat_shows_its_newest_message_and_what_is_unread(server: Server) -> None:
    session = SessionId((await server.connected("one"))["id"])
    engine = server.house.engine
    engine.write(session, "Hi", sender="447700900456", push_name="Bob")
    engine.write(session, "Still there?", sender="447700900456", push_name="Bob")
    engine.write(session, "All of us", sender="447700900789", chat="447700900456-1612345678@g.us")
    group, bob = await listed(server, 2)
    assert (group["isGroup"], group["phone"], group["lid"]) == (True, None, None)
    assert (bob["chatId"], bob["name"]) == ("447700900456@s.whatsapp.net", "Bob")
    assert (bob["phone"], bob["isGroup"], bob["unreadCount"]) == ("447700900456", False, 2)
    newest = bob["lastMessage"]
    assert newest["message"] == "Still there?"
    # The same form as where messages are read.
    assert (
        newest
        == (await server.call("GET", f"/whatsapp/one/messages?chatId={bob['chatId']}")).json()[
            "items"
        ][0]
    )
    await server.call("POST", f"/whatsapp/one/messages/{newest['id']}/read")
    assert (await listed(server, 2))[1]["unreadCount"] == 0


async def test_chats_are_read_page_by_page(server: Server) -> None:
    await server.create("one")
    for number in range(5):
        body = {"to": f"44770090010{number}", "type": "text", "text": "Hello"}
        await server.call("POST", "/whatsapp/one/messages", json=body)
    seen, before = [], ""
    while True:
        page = (await server.call("GET", f"{PATH}?limit=2{before}")).json()
        seen += [item["phone"] for item in page["items"]]
        if page["before"] is None:
            break
        before = f"&before={page['before']}"
    assert seen == [f"44770090010{number}" for number in reversed(range(5))]


async def test_a_page_behind_no_chat_is_not_found(server: Server) -> None:
    await server.create("one")
    problem(await server.call("GET", f"{PATH}?before=nobody"), 404, "message_not_found")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", {"limit": "greater_than_equal"}),
        ("limit=201", {"limit": "less_than_equal"}),
        ("limit=x", {"limit": "int_parsing"}),
        ("before=", {"before": "string_pattern_mismatch"}),
        ("before=%00", {"before": "string_pattern_mismatch"}),
        ("before=a&before=b", {"before": "repeated"}),
        ("chatId=447700900456", {"chatId": "unknown_field"}),
    ],
)
async def test_a_wrong_parameter_is_named(
    server: Server, query: str, expected: dict[str, str]
) -> None:
    await server.create("one")
    assert faults(await server.call("GET", f"{PATH}?{query}")) == expected


async def test_chats_are_for_who_may_read_messages(server: Server) -> None:
    await server.create("one")
    token = issued(scopes=[Scope.SESSIONS_READ, Scope.SESSIONS_WRITE, Scope.MESSAGES_SEND])
    refused = await server.call("GET", PATH, token=token)
    assert "messages:read" in problem(refused, 403, "insufficient_scope")["detail"]
    alone = issued(scopes=[Scope.MESSAGES_READ], sessions=["one"])
    assert (await server.call("GET", PATH, token=alone)).status_code == 200
