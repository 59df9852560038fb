"""The whole server in front of a QR microservice, and who may post to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import GatewayProcess
from tests.bridges.qr_microservice import Phone, QrMicroservice
from tests.gateway.command_line import wagate
from tests.sessions.house import until

KEY = "the-key-of-the-microservice"
ALICE, BOB = Phone("15550001111", "Alice"), Phone("447700900123", "Bob")
INCOMING, WEBHOOK = "/whatsapp-qr/incoming", "/whatsapp-qr/webhook"

pytestmark = pytest.mark.timeout(90)


@dataclass
class Site:
    """A server, the service behind it, and a frontend in front of it."""

    gateway: GatewayProcess
    service: QrMicroservice
    frontend: Frontend

    async def linked(self, name: str = "support") -> str:
        """Create and activate a session, scan its code; return its id."""
        id_: str = (await self.frontend.create(name))["id"]
        await self.frontend.call("POST", f"/whatsapp/{name}/activate", expect=202)
        code = (await self.frontend.hears(name, "qr"))["code"]
        self.service.scan(id_, code, ALICE)
        await self.frontend.hears(name, "session:connected")
        return id_

    async def post(self, path: str, key: str | None = KEY, **body: Any) -> httpx.Response:
        """Post as the service does."""
        headers = {} if key is None else {"X-API-Key": key}
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.post(self.gateway.url + path, json=body, headers=headers)


@contextlib.asynccontextmanager
async def running_site(directory: Path) -> AsyncIterator[Site]:
    """Start everything, and end it with the block."""
    async with QrMicroservice.running(KEY) as service:
        environment = {
            "WHATSAPP_QR_SERVICE_URL": service.url,
            "WHATSAPP_QR_SERVICE_KEY": KEY,
        }
        async with GatewayProcess.running(
            directory, engine="microservice", environment=environment
        ) as gateway:
            service.back_end_url = gateway.url
            async with Frontend.open(gateway.url, await gateway.token()) as frontend:
                yield Site(gateway, service, frontend)


async def test_a_session_lives_at_the_microservice(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        frontend, service = site.frontend, site.service
        id_ = await site.linked()
        session = await frontend.call("GET", "/whatsapp/support", expect=200)
        assert (session["status"], session["phoneNumber"]) == ("CONNECTED", "+15550001111")

        for text in ("one", "two", "three"):
            service.write(id_, text, sender=BOB)
        heard = await frontend.hears(
            "support", "session:message", lambda event: event["message"]["message"] == "three"
        )
        assert (heard["message"]["phone"], heard["message"]["pushName"]) == (BOB.number, "Bob")
        texts = [one["message"]["message"] for one in frontend.events("support", "session:message")]
        assert texts == ["one", "two", "three"]

        body = {"to": BOB.number, "type": "text", "text": "hello"}
        queued = await frontend.call("POST", "/whatsapp/support/messages", expect=202, **body)
        await frontend.hears_status(queued["id"], "sent")
        assert [(one["to"], one["message"]) for one in service.held(id_).sent] == [
            (BOB.number, "hello")
        ]

        await a_service_in_trouble_is_told_of(site)
        await what_comes_while_inactive_is_kept_by_the_service(site, id_)
        await what_comes_while_the_server_is_down_is_kept_too(site, id_)

        await frontend.call("DELETE", "/whatsapp/support", expect=204)
        assert service.held(id_).phone is None
    log = site.gateway.log.read_text()
    assert KEY not in log
    assert "hello" not in log
    assert "Traceback" not in log


async def a_service_in_trouble_is_told_of(site: Site) -> None:
    async def degraded() -> Any:
        return (await site.frontend.call("GET", "/health/ready", expect=200))["degraded"]

    assert await degraded() == []
    site.service.refuse_with = 502
    # Not taken by the service, so it looks there at once.
    body = {"to": BOB.number, "type": "text", "text": "hello again"}
    queued = await site.frontend.call("POST", "/whatsapp/support/messages", expect=202, **body)
    await site.frontend.hears_status(queued["id"], "unknown")
    await until(degraded, lambda found: "502" in str(found), seconds=30)
    site.service.refuse_with = None
    await until(degraded, lambda found: found == [], seconds=30)


async def what_comes_while_inactive_is_kept_by_the_service(site: Site, id_: str) -> None:
    await site.frontend.call("POST", "/whatsapp/support/deactivate", expect=200)
    refused = site.service.refused
    site.service.write(id_, "while inactive", sender=BOB)
    await until(lambda: refusals(site), lambda count: count > refused)

    await site.frontend.call("POST", "/whatsapp/support/activate", expect=202)

    await hears_text(site, "while inactive")


async def what_comes_while_the_server_is_down_is_kept_too(site: Site, id_: str) -> None:
    await site.gateway.kill()
    site.service.write(id_, "while dead", sender=BOB)
    await site.gateway.start()
    await hears_text(site, "while dead")
    site.frontend.assert_whole("support")


async def hears_text(site: Site, text: str) -> None:
    """Wait until the frontend has heard a text, and make sure that it was heard once."""

    def says(event: dict[str, Any]) -> bool:
        return bool(event["message"]["message"] == text)

    await site.frontend.hears("support", "session:message", says)
    await site.frontend.hears("support", "session:connected")
    assert (
        len([one for one in site.frontend.events("support", "session:message") if says(one)]) == 1
    )


async def refusals(site: Site) -> int:
    """Return how often the service was told to come again."""
    return site.service.refused


async def test_only_the_microservice_may_post_and_only_what_makes_sense(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        id_ = await site.linked()
        unknown = "0199f3a2-7c41-7b6e-9a35-1f0c2d4e6b80"
        inactive = (await site.frontend.create("other"))["id"]
        message: dict[str, Any] = {
            "from": BOB.number,
            "message": "hi",
            "messageId": "3A1",
            "timestamp": 1,
        }
        event = {"event": "connected", "data": {}}
        token = await site.gateway.token()

        posts: tuple[tuple[str, dict[str, Any]], ...] = ((INCOMING, message), (WEBHOOK, event))
        for path, body in posts:
            for key in (None, "another-key-than-the-right-one", "", token):
                refused = await site.post(path, key, sessionId=id_, **body)
                assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
                assert "www-authenticate" in refused.headers
            expected = ((id_, 200), (unknown, 404), ("support", 404), (inactive, 409))
            for session, status in expected:
                answer = await site.post(path, sessionId=session, **body)
                assert answer.status_code == status, answer.text

        # Posted twice, by two spellings of the key: heard once.
        async with httpx.AsyncClient(trust_env=False) as http:
            again = await http.post(
                site.gateway.url + INCOMING,
                json={"sessionId": id_, **message},
                headers={"Authorization": f"Bearer {KEY}"},
            )
        assert again.json() == {"success": True}
        await site.frontend.hears("support", "session:message")
        await nothing_invalid_is_taken(site, id_, message)
        await asyncio.gather(*(site.post(INCOMING, sessionId=id_, **message) for _ in range(5)))
        assert len(site.frontend.events("support", "session:message")) == 1
    log = site.gateway.log.read_text()
    assert KEY not in log
    assert "Traceback" not in log


async def nothing_invalid_is_taken(site: Site, id_: str, message: dict[str, Any]) -> None:
    """Post what is missing, of another kind or too much; each answer names the field."""
    cases: tuple[tuple[str, dict[str, Any], str], ...] = (
        (INCOMING, {**message, "from": "nobody"}, "/from"),
        (INCOMING, {**message, "messageId": ""}, "/messageId"),
        (INCOMING, {**message, "messageId": 7}, "/messageId"),
        (INCOMING, {**message, "timestamp": "yesterday"}, "/timestamp"),
        (INCOMING, {**message, "message": {"text": "hi"}}, "/message"),
        (WEBHOOK, {"event": "exploded"}, "/event"),
        (WEBHOOK, {"event": "qr", "data": 7}, "/data"),
        (WEBHOOK, {"data": {}}, "/event"),
    )
    for path, body, field in cases:
        refused = await site.post(path, sessionId=id_, **body)
        assert refused.status_code == 422, refused.text
        pointers = [fault["pointer"] for fault in refused.json()["errors"]]
        assert all(pointer.startswith(field) for pointer in pointers), pointers
    too_much = await site.post(WEBHOOK, sessionId=id_, event="qr", data={"x": "y" * 2_000_000})
    assert too_much.status_code == 413


async def test_the_doctor_asks_the_microservice(tmp_path: Path) -> None:
    async with QrMicroservice.running(KEY) as service:
        variables = {"WAGATE_ENGINE": "microservice", "WAGATE_WHATSAPP_QR_SERVICE_KEY": KEY}
        url = {"WAGATE_WHATSAPP_QR_SERVICE_URL": service.url}
        well = await asyncio.to_thread(wagate, tmp_path, "doctor", **variables, **url)
        assert "It answers, and takes the key." in well.stdout
        service.refuse_with = 401
        ill = await asyncio.to_thread(wagate, tmp_path, "doctor", **variables, **url)
    assert ill.returncode == 1
    assert "microservice: The QR microservice refuses the key." in ill.stdout
    assert KEY not in well.stdout + ill.stdout
