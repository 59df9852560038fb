"""Sessions over HTTP: created, listed, changed, started, stopped and removed."""

import re

from auth.principal import Scope
from sessions.ids import SessionId
from sessions.status import Status
from tests.api.server import Server, issued
from tests.sessions.house import until

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FIELDS = {
    "id", "sessionId", "phoneNumber", "name", "status", "isActive", "createdAt", "updatedAt",
    "reason", "message", "userAction", "jid", "lid", "pushName", "connectedAt", "metadata",
    "cursor",
}  # fmt: skip


async def test_a_created_session_has_every_field_of_the_contract(server: Server) -> None:
    answer = await server.call(
        "POST",
        "/whatsapp",
        json={
            "sessionId": "shop_1+a-b",
            "phoneNumber": "+221 77 123 45 67",
            "name": "Boutique é",
            "metadata": {"customer": {"ids": [1, 123456789012345678901234567890]}},
        },
    )
    session = answer.json()
    assert answer.status_code == 201
    assert session.keys() == FIELDS
    assert session["status"] == "DISCONNECTED"
    assert session["isActive"] is False
    assert session["phoneNumber"] == "+221 77 123 45 67"
    assert session["metadata"] == {"customer": {"ids": [1, 123456789012345678901234567890]}}
    assert ISO.fullmatch(session["createdAt"])
    assert answer.headers["location"] == f"/whatsapp/{session['id']}"


async def test_a_session_is_found_by_its_id_and_by_its_name(server: Server) -> None:
    created = await server.create("one")
    by_id = await server.call("GET", f"/whatsapp/{created['id']}")
    by_name = await server.call("GET", "/whatsapp/one")
    assert by_id.json() == by_name.json() == created


async def test_a_name_is_taken_once_per_tenant(server: Server) -> None:
    await server.create("one")
    again = await server.call("POST", "/whatsapp", json={"sessionId": "one"})
    elsewhere = await server.call(
        "POST", "/whatsapp", json={"sessionId": "one"}, token=issued(tenant="other")
    )
    assert (again.status_code, again.json()["code"]) == (409, "session_exists")
    assert elsewhere.status_code == 201


async def test_a_list_is_a_page_of_what_matches(server: Server) -> None:
    for name in ("one", "two", "three"):
        await server.create(name)
    page = (await server.call("GET", "/whatsapp?limit=2&offset=1")).json()
    assert [session["sessionId"] for session in page["items"]] == ["two", "three"]
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
    active = (await server.call("GET", "/whatsapp?isActive=true")).json()
    assert (active["items"], active["limit"]) == ([], 50)
    idle = (await server.call("GET", "/whatsapp?status=DISCONNECTED&isActive=false")).json()
    assert idle["total"] == 3


async def test_a_change_leaves_what_it_does_not_name(server: Server) -> None:
    await server.create("one", name="First", phoneNumber="+447700900123", metadata={"a": 1})
    renamed = (await server.call("PUT", "/whatsapp/one", json={"name": "Second"})).json()
    assert (renamed["name"], renamed["phoneNumber"]) == ("Second", "+447700900123")
    assert renamed["metadata"] == {"a": 1}
    cleared = (
        await server.call("PUT", "/whatsapp/one", json={"name": None, "metadata": {}})
    ).json()
    assert (cleared["name"], cleared["metadata"]) == (None, {})


async def test_a_deleted_session_is_gone(server: Server) -> None:
    await server.create("one")
    deleted = await server.call("DELETE", "/whatsapp/one")
    assert (deleted.status_code, deleted.content) == (204, b"")
    again = await server.call("DELETE", "/whatsapp/one")
    assert (again.status_code, again.json()["code"]) == (404, "session_not_found")


async def test_activating_twice_is_activating_once(server: Server) -> None:
    await server.create("one")
    first = await server.call("POST", "/whatsapp/one/activate")
    second = await server.call("POST", "/whatsapp/one/activate", json={})
    assert first.status_code == second.status_code == 202
    assert first.json()["status"] == "CONNECTING"
    assert second.json()["isActive"] is True
    events = (await server.call("GET", "/whatsapp/one/events")).json()["items"]
    assert [event["type"] for event in events].count("session:started") <= 1


async def test_a_deactivated_session_keeps_its_credentials(server: Server) -> None:
    connected = await server.connected("one")
    assert connected["jid"] == "447700900123@s.whatsapp.net"
    stopped = await server.call("POST", "/whatsapp/one/deactivate")
    again = await server.call("POST", "/whatsapp/one/deactivate")
    assert stopped.status_code == again.status_code == 200
    assert (stopped.json()["status"], stopped.json()["isActive"]) == ("DISCONNECTED", False)
    await server.call("POST", "/whatsapp/one/activate")
    back = await server.reaches("one", Status.CONNECTED)
    assert back["jid"] == connected["jid"]


async def test_reset_auth_makes_the_next_activation_show_a_code(server: Server) -> None:
    await server.connected("one")
    reset = await server.call("POST", "/whatsapp/one/reset-auth")
    assert (reset.status_code, reset.json()["jid"]) == (200, None)
    await server.call("POST", "/whatsapp/one/activate")
    assert (await server.reaches("one", Status.QR_READY))["userAction"] == "scan"


async def test_regenerating_a_code_begins_a_new_login(server: Server) -> None:
    await server.showing_qr("one")
    before = (await server.call("GET", "/whatsapp/one/qr")).json()
    answer = await server.call("POST", "/whatsapp/one/regenerate-qr")
    assert answer.status_code == 202
    await server.reaches("one", Status.QR_READY)
    after = (await server.call("GET", "/whatsapp/one/qr")).json()
    assert after["code"] != before["code"]
    assert after["attempt"] == before["attempt"]


async def test_a_connected_session_needs_no_code(server: Server) -> None:
    await server.connected("one")
    answer = await server.call("POST", "/whatsapp/one/regenerate-qr")
    assert answer.status_code == 200
    assert answer.json()["message"] == "No QR needed"
    assert answer.json().keys() == FIELDS
    assert answer.json()["status"] == "CONNECTED"


async def test_a_login_by_number_shows_a_code_to_type(server: Server) -> None:
    session = await server.create("one")
    body = {"pairingPhoneNumber": "+44 7700 900555"}
    answer = await server.call("POST", "/whatsapp/one/activate", json=body)
    assert answer.status_code == 202

    async def code() -> str | None:
        found = await server.call("GET", "/whatsapp/one/qr")
        pairing: str | None = found.json().get("pairingCode")
        return pairing

    shown = await until(code, lambda found: found is not None)
    server.house.engine.enter_code(SessionId(session["id"]), shown or "")
    assert (await server.reaches("one", Status.CONNECTED))["jid"].startswith("447700900555@")


async def test_a_narrowed_token_creates_only_what_it_names(server: Server) -> None:
    token = issued(sessions=["mine"])
    other = await server.call("POST", "/whatsapp", json={"sessionId": "other"}, token=token)
    mine = await server.call("POST", "/whatsapp", json={"sessionId": "mine"}, token=token)
    assert (other.status_code, other.json()["code"]) == (403, "insufficient_scope")
    assert mine.status_code == 201


async def test_a_narrowed_token_sees_only_what_it_names(server: Server) -> None:
    by_id = await server.create("by-id")
    for name in ("by-name", "hidden"):
        await server.create(name)
    token = issued(sessions=["by-name", by_id["id"]])
    page = (await server.call("GET", "/whatsapp", token=token)).json()
    assert [session["sessionId"] for session in page["items"]] == ["by-id", "by-name"]
    assert page["total"] == 2
    for ref in ("by-id", by_id["id"], "by-name"):
        assert (await server.call("GET", f"/whatsapp/{ref}", token=token)).status_code == 200


async def test_reading_is_not_writing(server: Server) -> None:
    reader = issued(scopes=[Scope.SESSIONS_READ])
    await server.create("one")
    assert (await server.call("GET", "/whatsapp/one", token=reader)).status_code == 200
    refused = await server.call("DELETE", "/whatsapp/one", token=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
    assert "sessions:write" in refused.json()["detail"]
