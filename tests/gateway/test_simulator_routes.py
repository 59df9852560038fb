"""The routes that hold the simulated phones, on the server that frontends develop against."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.gateway_process import GatewayProcess
from tests.sessions.house import until


@dataclass
class Simulated:
    """A gateway with the simulator, and a client with its owner's token."""

    gateway: GatewayProcess
    http: httpx.AsyncClient

    async def post(self, path: str, status: int, /, **body: Any) -> Any:
        """Call a route of the session `one`; return the answer's JSON."""
        answer = await self.http.post(f"/simulator/one/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def sent(self) -> list[dict[str, Any]]:
        """Return what the phone got."""
        items: list[dict[str, Any]] = (await self.http.get("/simulator/one/sent")).json()["items"]
        return items

    async def get(self, path: str = "") -> Any:
        """Read the session `one`, or something below it."""
        return (await self.http.get(f"/whatsapp/one{path}")).json()

    async def reaches(self, status: str) -> Any:
        """Wait until the session has a status."""
        return await until(self.get, lambda session: session["status"] == status)

    async def connected(self) -> None:
        """Activate and scan."""
        await self.http.post("/whatsapp/one/activate")
        await self.reaches("QR_READY")
        await self.post("scan", 200)
        await self.reaches("CONNECTED")


@pytest.fixture
async def simulated(tmp_path: Path) -> AsyncIterator[Simulated]:
    """A gateway that has the session `one`."""
    async with GatewayProcess.running(tmp_path, engine="simulator") as gateway:
        headers = {"Authorization": f"Bearer {await gateway.token()}"}
        async with httpx.AsyncClient(
            base_url=gateway.url, headers=headers, trust_env=False
        ) as http:
            assert (await http.post("/whatsapp", json={"sessionId": "one"})).status_code == 201
            yield Simulated(gateway, http)


async def test_a_scan_connects_the_phone_that_scans(simulated: Simulated) -> None:
    await simulated.http.post("/whatsapp/one/activate")
    await simulated.reaches("QR_READY")

    linked = await simulated.post("scan", 200, phone="+1 555 000 1111", pushName="Alice")

    session = await simulated.reaches("CONNECTED")
    assert (linked["phone"], linked["pushName"]) == ("15550001111", "Alice")
    assert session["jid"] == "15550001111@s.whatsapp.net"
    assert (session["lid"], session["pushName"]) == (linked["lid"], "Alice")


async def test_a_pairing_code_connects_too(simulated: Simulated) -> None:
    await simulated.http.post("/whatsapp/one/activate", json={"pairingPhoneNumber": "15550001111"})
    shown = await until(lambda: simulated.get("/qr"), lambda qr: bool(qr.get("pairingCode")))

    refused = await simulated.post("enter-code", 409, code="AAAA-AAAA")
    await simulated.post("enter-code", 200, code=shown["pairingCode"])

    assert refused["code"] == "pairing_refused"
    assert (await simulated.reaches("CONNECTED"))["jid"] == "15550001111@s.whatsapp.net"


async def test_what_is_written_arrives_in_order(simulated: Simulated) -> None:
    await simulated.connected()

    written = await simulated.post(
        "messages", 201, text="hello", count=25, pushName="Bob", **{"from": "447700900123"}
    )

    page = await until(lambda: simulated.get("/messages"), lambda page: len(page["items"]) == 25)
    items = page["items"][::-1]
    assert [item["whatsappId"] for item in items] == written["whatsappIds"]
    assert [item["message"] for item in items] == [f"hello {n}" for n in range(1, 26)]
    assert {item["from"] for item in items} == {"447700900123@s.whatsapp.net"}
    assert {item["pushName"] for item in items} == {"Bob"}


async def test_what_is_sent_shows_at_the_phone_and_can_be_confirmed(simulated: Simulated) -> None:
    await simulated.connected()
    body = {"to": "+447700900123", "type": "text", "text": "good morning"}
    queued = (await simulated.http.post("/whatsapp/one/messages", json=body)).json()
    (sent,) = await until(simulated.sent, bool)
    assert (sent["text"], sent["to"]) == ("good morning", "447700900123@s.whatsapp.net")

    await simulated.post("receipts", 204, whatsappIds=[sent["whatsappId"]], status="played")

    played = await until(
        lambda: simulated.get(f"/messages/{queued['id']}"), lambda one: one["status"] == "played"
    )
    assert played["whatsappId"] == sent["whatsappId"]


async def test_faults_happen_when_they_are_asked_for(simulated: Simulated) -> None:
    await simulated.connected()
    await simulated.post("faults", 204, kind="503", seconds=60)
    await simulated.reaches("RECONNECTING")
    hit_nothing = await simulated.post("faults", 409, kind="stream_lost")
    await simulated.post("faults", 204, kind="logged_out")

    await simulated.reaches("LOGGED_OUT")
    assert hit_nothing["code"] == "not_connected"


async def test_a_phone_that_is_not_linked_says_what_to_do(simulated: Simulated) -> None:
    assert (await simulated.post("scan", 404))["code"] == "qr_not_available"
    assert (await simulated.post("messages", 409, text="hi"))["code"] == "session_not_active"
    assert (await simulated.post("enter-code", 409, code="AAAAAAAA"))["code"] == "pairing_refused"
    refused = await simulated.post("receipts", 409, whatsappIds=["3EB0"], status="read")
    assert refused["code"] == "session_not_active"
    assert await simulated.sent() == []


async def test_a_wrong_field_is_pointed_at(simulated: Simulated) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("scan", {"phone": "nobody"}, "/phone"),
        ("scan", {"phones": "15550001111"}, "/phones"),
        ("enter-code", {}, "/code"),
        ("messages", {"text": "hi", "from": "nobody"}, "/from"),
        ("messages", {"text": "hi", "count": 10_001}, "/count"),
        ("receipts", {"whatsappIds": [], "status": "read"}, "/whatsappIds"),
        ("receipts", {"whatsappIds": ["3EB0"], "status": "sent"}, "/status"),
        ("faults", {"kind": "earthquake"}, "/kind"),
        ("faults", {"kind": "503", "seconds": -1}, "/seconds"),
    ]
    for route, body, pointer in wrong:
        problem = await simulated.post(route, 422, **body)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]

    problem = await simulated.post("faults", 422, kind="earthquake")
    assert "515_timeout" in problem["errors"][0]["detail"]


async def test_only_the_owner_with_the_right_to_write_holds_the_phone(
    simulated: Simulated,
) -> None:
    token = simulated.gateway.token
    status_by_token = {
        "nobody": 401,
        await token("--scope", "sessions:read"): 403,
        await token(subject="stranger"): 404,
        await token("--session", "another"): 404,
        await token("--session", "one", "--scope", "sessions:write"): 204,
    }
    for given, status in status_by_token.items():
        headers = {"Authorization": f"Bearer {given}"}
        body = {"kind": "send_fail"}
        answer = await simulated.http.post("/simulator/one/faults", json=body, headers=headers)
        assert answer.status_code == status, answer.text
    missing = await simulated.http.post("/simulator/two/scan", json={})
    assert missing.status_code == 404


async def test_the_routes_belong_to_the_simulator_alone(tmp_path: Path) -> None:
    async with (
        GatewayProcess.running(tmp_path, engine="neonize") as gateway,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False) as http,
    ):
        headers = {"Authorization": f"Bearer {await gateway.token()}"}
        await http.post("/whatsapp", json={"sessionId": "one"}, headers=headers)
        answer = await http.post("/simulator/one/scan", json={}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
