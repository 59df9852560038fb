"""Sessions on a loopback WhatsApp, for chaos: their users, a friend, their subscribers."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from tests.acceptance.gateway_process import GatewayProcess
from tests.benchmarks.chaos_subscriber import Subscriber
from tests.contracts.tcp_proxy import TcpProxy
from tests.loopback_whatsapp.client import LoopbackWhatsApp

T = TypeVar("T")
FRIEND = "447700900123"
PATIENCE_SECONDS = 240.0
ENDED = {"sent", "delivered", "read", "played", "failed", "expired", "cancelled", "unknown"}


@dataclass
class Account:
    """One session: what was written to it and what it sent, in order."""

    name: str
    phone: str
    subscriber: Subscriber
    written: list[str] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    """Message ids by text."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    excused: set[str] = field(default_factory=set)
    """Written, and not heard when a worker was killed: the library may have held them."""

    @property
    def missing(self) -> set[str]:
        """What was written and not heard yet."""
        return set(self.written) - set(self.subscriber.texts)


@dataclass
class Site:
    """All that runs."""

    whatsapp: LoopbackWhatsApp
    gateway: GatewayProcess
    proxy: TcpProxy
    http: httpx.AsyncClient
    accounts: list[Account] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What was broken, in order."""
    diary: list[str] = field(default_factory=list)
    """When what was broken and which message was written, in seconds; shown when one is lost."""
    given_up: int = 0
    started_at: float = field(default_factory=time.monotonic)

    def note(self, what: str) -> None:
        """Write into the diary."""
        self.diary.append(f"{time.monotonic() - self.started_at:7.2f} {what}")

    async def pair(self, account: Account) -> None:
        """Create a session and link its phone."""
        await self.surely("POST", "/whatsapp", sessionId=account.name)
        await self.surely("POST", f"/whatsapp/{account.name}/activate")

        async def code() -> str:
            answer = await self.http.get(f"/whatsapp/{account.name}/qr", params={"format": "raw"})
            return answer.text if answer.status_code == 200 else ""

        shown = await until(code, bool, f"{account.name} shows a code")
        await self.whatsapp.scan(shown, account.phone, account.name)

    async def surely(self, method: str, path: str, *, key: str = "", **body: Any) -> Any:
        """Call the gateway as a careful program does: again, until it answers."""
        headers = {"Idempotency-Key": key} if key else {}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self.http.request(method, path, json=body or None, headers=headers)
                if answer.status_code not in {429, 503}:
                    return answer.raise_for_status().json()
            if time.monotonic() > deadline:
                message = f"{method} {path} is not answered"
                raise TimeoutError(message)
            await asyncio.sleep(0.2)

    async def write(self, account: Account) -> None:
        """Let the friend write to a session."""
        # One after the other: two requests at once would arrive in any order.
        async with account.writing:
            text = f"in {account.name} {len(account.written)}"
            account.written.append(text)
            self.note(text)
            await self.whatsapp.send_text(sender=FRIEND, to=account.phone, text=text)

    async def send(self, account: Account, number: int) -> None:
        """Let a session's user send a text to the friend."""
        text = f"out {account.name} {number}"
        path = f"/whatsapp/{account.name}/messages"
        key = text.replace(" ", "-")
        sent = await self.surely("POST", path, key=key, to=FRIEND, type="text", text=text)
        account.accepted[text] = sent["id"]

    async def all_connected(self) -> None:
        """Wait until every session is connected; what was given up is activated, as a user would.

        A session whose worker was killed five times in ten minutes waits for that, as documented.
        """

        async def connected() -> int:
            found = await self.surely("GET", "/whatsapp?limit=200")
            for session in found["items"]:
                if session["status"] == "FAILED":
                    self.note(f"given up: {session['sessionId']}: {session['reason']}")
                    self.given_up += 1
                    await self.surely("POST", f"/whatsapp/{session['sessionId']}/activate")
            return [session["status"] for session in found["items"]].count("CONNECTED")

        await until(connected, lambda count: count == len(self.accounts), "all are connected")

    async def statuses(self, account: Account) -> dict[str, str]:
        """Wait until every sent text has come to an end; return the statuses by text."""

        async def look() -> dict[str, str]:
            found = {}
            for text, id_ in account.accepted.items():
                message = await self.surely("GET", f"/whatsapp/{account.name}/messages/{id_}")
                found[text] = str(message["status"])
                if found[text] not in ENDED:
                    break
            return found

        what = f"the sends of {account.name} end"
        return await until(look, lambda found: set(found.values()) <= ENDED, what)

    async def log(self, account: Account) -> list[dict[str, Any]]:
        """Return a session's whole event log."""
        events: list[dict[str, Any]] = []
        after = ""
        while True:
            query = f"limit=200&after={after}" if after else "limit=200"
            page = await self.surely("GET", f"/whatsapp/{account.name}/events?{query}")
            if not page["items"]:
                return events
            events += page["items"]
            after = page["cursor"]


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], object], what: str) -> T:
    """Look again and again until what is found is good; return it.

    Raises:
        TimeoutError: it never is.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not good(found := await look()):
        if time.monotonic() > deadline:
            message = f"not within {PATIENCE_SECONDS} s: {what}; last seen: {str(found)[:500]}"
            raise TimeoutError(message)
        await asyncio.sleep(0.2)
    return found
