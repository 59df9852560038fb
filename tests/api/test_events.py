"""Events over HTTP: numbered, complete, and honest about what is lost."""

import pytest

from sessions.ids import SessionId
from tests.api.server import Server


async def test_events_are_read_from_a_cursor_on(server: Server) -> None:
    session = await server.connected("one")
    server.house.engine.write(SessionId(session["id"]), "Hi")
    everything = (await server.call("GET", "/whatsapp/one/events")).json()
    seen, cursor = [], None
    while True:
        after = "" if cursor is None else f"&after={cursor}"
        page = (await server.call("GET", f"/whatsapp/one/events?limit=2{after}")).json()
        if not page["items"]:
            break
        seen += page["items"]
        cursor = page["cursor"]
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert seen[: len(everything["items"])] == everything["items"]
    assert everything["recovered"] is True
    connected = next(event for event in seen if event["type"] == "session:connected")
    assert connected.keys() >= {
        "id",
        "sessionId",
        "seq",
        "cursor",
        "timestamp",
        "jid",
        "phoneNumber",
    }
    assert isinstance(connected["timestamp"], int)


async def test_no_code_is_in_the_log(server: Server) -> None:
    await server.showing_qr("one")
    code = (await server.call("GET", "/whatsapp/one/qr")).json()["code"]
    assert code not in (await server.call("GET", "/whatsapp/one/events")).text


@pytest.mark.parametrize(
    ("after", "reason"),
    [("x", "malformed"), ("0000000000:1", "wrong_log"), ("{log}:99999", "future")],
)
async def test_a_position_that_is_not_whole_is_told(
    server: Server, after: str, reason: str
) -> None:
    cursor = (await server.create("one"))["cursor"]
    log = cursor.partition(":")[0]
    answer = await server.call("GET", f"/whatsapp/one/events?after={after.format(log=log)}")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (410, "unrecoverable_position")
    assert (problem["reason"], problem["oldest"]) == (reason, f"{log}:0")
    assert problem["head"] == cursor
    resumed = await server.call("GET", f"/whatsapp/one/events?after={problem['oldest']}")
    assert resumed.status_code == 200
