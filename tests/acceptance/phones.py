"""Phones, simulated or on the loopback WhatsApp: what a person does beside the gateway."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.acceptance.frontend import Frontend
from tests.acceptance.gateway_process import GatewayProcess
from tests.loopback_whatsapp.client import LoopbackWhatsApp

FRIEND = "447700900123"
WAIT_SECONDS = 15.0


class Phone(Protocol):
    """One account's phone, and a friend who writes to it and reads what it sends."""

    number: str

    async def scan(self, code: str) -> None:
        """Scan a QR code."""
        ...

    async def is_written_to(self, text: str) -> None:
        """The friend writes to the account."""
        ...

    async def friend_has(self, text: str) -> None:
        """Wait until the friend's phone shows a message with this text."""
        ...

    async def friend_reads(self, whatsapp_id: str) -> None:
        """The friend reads a message."""
        ...


@dataclass
class SimulatedPhone:
    """A phone of the simulator engine, held through its routes."""

    frontend: Frontend
    session: str
    number: str

    async def scan(self, code: str) -> None:
        """Scan what the session shows; the simulator knows its code."""
        await self._post("scan", 200, phone=self.number)

    async def is_written_to(self, text: str) -> None:
        """The friend writes to the account."""
        await self._post("messages", 201, text=text, **{"from": FRIEND})

    async def friend_has(self, text: str) -> None:
        """Wait until the text was sent."""

        async def arrived() -> bool:
            path = f"/simulator/{self.session}/sent"
            answer = await self.frontend.call("GET", path, expect=200)
            return text in [sent["text"] for sent in answer["items"]]

        await _until(arrived, f"the friend has {text!r}")

    async def friend_reads(self, whatsapp_id: str) -> None:
        """The friend reads a message."""
        await self._post("receipts", 204, whatsappIds=[whatsapp_id], status="read")

    async def _post(self, name: str, expect: int, **body: object) -> None:
        path = f"/simulator/{self.session}/{name}"
        await self.frontend.call("POST", path, expect=expect, **body)


@dataclass
class LoopbackPhone:
    """A phone on the loopback WhatsApp."""

    whatsapp: LoopbackWhatsApp
    number: str

    async def scan(self, code: str) -> None:
        """Scan the code itself: the keys in it must be right."""
        await self.whatsapp.scan(code, self.number, "Alice")

    async def is_written_to(self, text: str) -> None:
        """The friend writes to the account."""
        await self.whatsapp.send_text(sender=FRIEND, to=self.number, text=text, name="Bob")

    async def friend_has(self, text: str) -> None:
        """Wait until the friend's phone shows the text."""
        await self.whatsapp.wait_until_received(FRIEND, text, WAIT_SECONDS)

    async def friend_reads(self, whatsapp_id: str) -> None:
        """The friend reads a message."""
        await self.whatsapp.send_receipt([whatsapp_id], sender=FRIEND, to=self.number, type="read")


@dataclass
class World:
    """A gateway, and the WhatsApp that it talks to."""

    gateway: GatewayProcess
    whatsapp: LoopbackWhatsApp | None

    @asynccontextmanager
    async def frontend(self, *token_arguments: str) -> AsyncIterator[Frontend]:
        """Open a frontend with a token of its own."""
        token = await self.gateway.token(*token_arguments)
        async with Frontend.open(self.gateway.url, token) as frontend:
            yield frontend

    def phone(self, frontend: Frontend, session: str, number: str = "15550001111") -> Phone:
        """Return a phone to link the session with."""
        if self.whatsapp is None:
            return SimulatedPhone(frontend, session, number)
        return LoopbackPhone(self.whatsapp, number)


@asynccontextmanager
async def running_world(
    engine: str, directory: Path, *, settings: Mapping[str, str] | None = None
) -> AsyncIterator[World]:
    """Start a gateway with this engine, and for the real one a loopback WhatsApp."""
    own = dict(settings or {})
    if engine == "simulator":
        async with GatewayProcess.running(directory, engine=engine, environment=own) as gateway:
            yield World(gateway, None)
        return
    async with LoopbackWhatsApp.start(directory / "whatsapp") as whatsapp:
        await whatsapp.open_account(FRIEND, "Bob")
        async with GatewayProcess.running(
            directory / "gateway", engine=engine, environment=whatsapp.environment | own
        ) as gateway:
            yield World(gateway, whatsapp)


async def link(frontend: Frontend, session: str, phone: Phone) -> None:
    """Create, activate, scan: until the session is connected."""
    await frontend.create(session)
    await frontend.call("POST", f"/whatsapp/{session}/activate", expect=202)
    code = (await frontend.hears(session, "qr"))["code"]
    await phone.scan(code)
    await frontend.hears(session, "session:connected")


async def _until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not await true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {WAIT_SECONDS} s: {what}")
        await asyncio.sleep(0.05)
