"""Two gateways plugged together: one drives its sessions through the other, as a QR microservice.

The one behind holds the phones (simulated) and knows the other as its chatbot back end; neither
knows that the other is a gateway too.
"""

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import GatewayProcess
from tests.acceptance.phones import FRIEND
from tests.sessions.house import until

KEY = "the-key-between-the-two-gateways"
ALICE = "15550001111"

pytestmark = pytest.mark.timeout(240)


def free_port() -> int:
    """Return a port that nobody uses now: each of the two must know the other's beforehand."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Pair:
    """The gateway in front with its frontend, and the one behind with the hands on its phones."""

    front: GatewayProcess
    behind: GatewayProcess
    frontend: Frontend
    hands: Frontend
    session: str = ""

    async def at_phone(self, name: str, *, expect: int, **body: Any) -> Any:
        """Do something with the session's phone."""
        return await self.hands.call(
            "POST", f"/simulator/{self.session}/{name}", expect=expect, **body
        )

    async def scan(self, *, since: int) -> None:
        """Scan the code that the front shows, which must be the one of the phone's gateway."""
        code = (await self.frontend.hears("support", "qr", since=since))["code"]
        shown = await self.hands.call("GET", f"/whatsapp/{self.session}/qr", expect=200)
        assert shown["code"] == code
        await self.at_phone("scan", expect=200, phone=ALICE, pushName="Alice")
        connected = await self.frontend.hears("support", "session:connected", since=since)
        assert (connected["phoneNumber"], connected["pushName"]) == (f"+{ALICE}", "Alice")

    async def is_written_to(self, *texts: str) -> None:
        """The friend writes to the phone."""
        for text in texts:
            await self.at_phone("messages", expect=201, text=text, **{"from": FRIEND})

    async def hears_text(self, text: str) -> None:
        """Wait until the front's frontend has a message."""

        def says(event: dict[str, Any]) -> bool:
            return bool(event["message"]["message"] == text)

        await self.frontend.hears("support", "session:message", says)

    async def heard(self) -> list[str]:
        """Return the texts that came in at the front, in order."""
        events = self.frontend.events("support", "session:message")
        return [event["message"]["message"] for event in events]

    async def arrived(self) -> list[str]:
        """Return the texts that the friend got since the one behind has started, in order."""
        sent = await self.hands.call("GET", f"/simulator/{self.session}/sent", expect=200)
        return [one["text"] for one in sent["items"]]

    async def send(self, text: str) -> str:
        """Queue a text at the front; return its id."""
        body = {"to": FRIEND, "type": "text", "text": text}
        answer = await self.frontend.call("POST", "/whatsapp/support/messages", expect=202, **body)
        return str(answer["id"])


@contextlib.asynccontextmanager
async def running_pair(directory: Path) -> AsyncIterator[Pair]:
    """Start both, and end them with the block."""
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    front = GatewayProcess(
        directory / "front",
        engine="microservice",
        environment={"WHATSAPP_QR_SERVICE_URL": urls[1], "WHATSAPP_QR_SERVICE_KEY": KEY},
    )
    behind = GatewayProcess(
        directory / "behind",
        engine="simulator",
        environment={"BACKEND_API_URL": urls[0], "BACKEND_API_KEY": KEY},
    )
    front.url, behind.url = urls
    try:
        await behind.start()
        await front.start()
        async with (
            Frontend.open(front.url, await front.token()) as frontend,
            Frontend.open(behind.url, await behind.token("--tenant", "admin")) as hands,
        ):
            yield Pair(front, behind, frontend, hands)
    finally:
        await front.kill()
        await behind.kill()


async def test_one_gateway_holds_the_phones_of_another(tmp_path: Path) -> None:
    async with running_pair(tmp_path) as pair:
        pair.session = (await pair.frontend.create("support"))["id"]
        await pair.frontend.call("POST", "/whatsapp/support/activate", expect=202)
        await pair.scan(since=0)
        await messages_go_both_ways(pair)
        await nothing_is_lost_when_the_one_behind_is_killed(pair)
        await nothing_is_lost_when_the_one_in_front_is_killed(pair)
        await a_phone_that_unlinks_is_asked_for_again(pair)
        await a_reset_unlinks_the_phone(pair)
        pair.frontend.assert_whole("support")
    for gateway in (pair.front, pair.behind):
        log = gateway.log.read_text()
        assert KEY not in log
        assert "Traceback" not in log


async def messages_go_both_ways(pair: Pair) -> None:
    await pair.is_written_to("one", "two", "three")
    await pair.hears_text("three")
    await pair.frontend.hears_status(await pair.send("hello"), "sent")
    assert await until(pair.arrived, lambda texts: texts != []) == ["hello"]


async def nothing_is_lost_when_the_one_behind_is_killed(pair: Pair) -> None:
    since = pair.frontend.mark()
    await pair.is_written_to("before the kill")
    await until(lambda: stored_behind(pair), lambda texts: "before the kill" in texts)
    await pair.behind.kill()
    queued = await pair.send("while it was dead")
    await pair.frontend.hears(
        "support",
        "session:status",
        lambda event: bool(event["status"] == "RECONNECTING"),
        since=since,
    )
    await pair.behind.start()

    await pair.hears_text("before the kill")
    await pair.frontend.hears_status(queued, "sent")
    assert await until(pair.arrived, lambda texts: texts != []) == ["while it was dead"]
    assert await pair.heard() == ["one", "two", "three", "before the kill"]


async def stored_behind(pair: Pair) -> list[str]:
    """Return the texts that the one behind has stored, the newest first."""
    path = f"/whatsapp/{pair.session}/messages"
    page = await pair.hands.call("GET", path, expect=200)
    return [message["message"] for message in page["items"]]


async def nothing_is_lost_when_the_one_in_front_is_killed(pair: Pair) -> None:
    await pair.front.kill()
    await pair.is_written_to("four", "five")
    await pair.front.start()
    await pair.hears_text("five")
    assert await pair.heard() == ["one", "two", "three", "before the kill", "four", "five"]


async def a_phone_that_unlinks_is_asked_for_again(pair: Pair) -> None:
    since = pair.frontend.mark()
    await pair.at_phone("faults", expect=204, kind="logged_out")
    await pair.frontend.hears("support", "session:auth:corrupted", since=since)
    session = await pair.frontend.call("GET", "/whatsapp/support", expect=200)
    assert session["status"] == "LOGGED_OUT"

    await until(lambda: activated(pair), lambda status: status != "LOGGED_OUT")
    await pair.scan(since=since)


async def activated(pair: Pair) -> str:
    """Activate, which does nothing as long as the end of the last connection is being tidied up."""
    session = await pair.frontend.call("POST", "/whatsapp/support/activate", expect=202)
    return str(session["status"])


async def a_reset_unlinks_the_phone(pair: Pair) -> None:
    since = pair.frontend.mark()
    await pair.frontend.call("POST", "/whatsapp/support/reset-auth", expect=200)
    session = await pair.hands.call("GET", f"/whatsapp/{pair.session}", expect=200)
    assert (session["isActive"], session["jid"]) == (False, None)

    await pair.frontend.call("POST", "/whatsapp/support/activate", expect=202)
    await pair.frontend.hears("support", "qr", since=since)
