"""The WhatsApps that engines are tested against: Alice's account is linked, Bob writes with it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from sessions.clock import SystemClock
from sessions.engine import Engine
from sessions.engine_neonize import NeonizeEngine
from sessions.engine_simulator import SimulatorEngine
from sessions.ids import SessionId
from sessions.messages import MessageStatus
from sessions.signals import HistoryReceived
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.sessions.engine_neonize.watching import Watched

ALICE, BOB = "15550001111", "447700900123"
NOBODY = "00015550009999"
"""A number that is not on WhatsApp, in any of the worlds."""

of_our_own_engines = pytest.mark.parametrize("world", ["simulator", "neonize"], indirect=True)
"""For what a QR microservice has no word for, so that an engine in front of one can't have it."""


class World(Protocol):
    """The hands that hold both phones."""

    @property
    def engine(self) -> Engine:
        """The engine under test, which runs."""
        ...

    async def scan(self, session: SessionId, code: str) -> None:
        """Scan the QR code with Alice's phone."""
        ...

    async def enter_code(self, session: SessionId, code: str) -> None:
        """Type the pairing code into Alice's phone."""
        ...

    async def write(self, session: SessionId, text: str) -> str:
        """Let Bob write to Alice; return the message's id."""
        ...

    async def write_by_alice(self, session: SessionId, text: str) -> str:
        """Let Alice write to Bob on her phone; return the message's id."""
        ...

    async def received(self, session: SessionId) -> list[tuple[str, str]]:
        """Return id and text of what Bob got."""
        ...

    async def read(self, session: SessionId, whatsapp_id: str) -> None:
        """Let Bob read a message."""
        ...

    async def hand_over(self, session: SessionId, texts: list[str]) -> None:
        """Let Alice's phone hand over what Bob wrote to her in earlier days."""
        ...

    async def marked(self, session: SessionId) -> list[str]:
        """Return the ids of the messages that Bob knows to be read."""
        ...

    async def shown(self, session: SessionId) -> list[str]:
        """Return what others saw of Alice: `available`, or `composing` and whom it was for."""
        ...

    async def lose_connection(self, session: SessionId) -> None:
        """Break the line; WhatsApp can be reached again at once."""
        ...

    async def unlink(self, session: SessionId) -> None:
        """Remove the device on Alice's phone."""
        ...

    async def restart(self) -> None:
        """End the engine as the server's process would, and start another on the same files."""
        ...


class Serving:
    """An engine's `run` in the background."""

    def __init__(self, engine: Engine) -> None:
        self._task = asyncio.create_task(engine.run())

    async def end(self) -> None:
        """Cancel it; whatever else it raised fails the test."""
        self._task.cancel()
        async with asyncio.timeout(20):
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


class SimulatorWorld:
    """The phones inside the simulator."""

    engine: SimulatorEngine

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def start(self) -> None:
        self.engine = await asyncio.to_thread(self._construct)
        self._serving = Serving(self.engine)

    def _construct(self) -> SimulatorEngine:
        return SimulatorEngine(
            SystemClock(),
            directory=self._directory,
            delivered_after_seconds=0.02,
            read_after_seconds=None,
        )

    async def end(self) -> None:
        await self._serving.end()

    async def restart(self) -> None:
        await self.end()
        await self.start()

    async def scan(self, session: SessionId, code: str) -> None:
        assert code.startswith("https://")
        self.engine.scan(session, phone=ALICE, push_name="Alice")

    async def enter_code(self, session: SessionId, code: str) -> None:
        self.engine.enter_code(session, code)

    async def write(self, session: SessionId, text: str) -> str:
        return self.engine.write(session, text, sender=BOB, push_name="Bob").whatsapp_id

    async def write_by_alice(self, session: SessionId, text: str) -> str:
        return self.engine.write(session, text, sender=ALICE, chat=BOB).whatsapp_id

    async def received(self, session: SessionId) -> list[tuple[str, str]]:
        return [(sent.whatsapp_id, sent.text) for sent in self.engine.sent(session)]

    async def read(self, session: SessionId, whatsapp_id: str) -> None:
        self.engine.receipt(session, [whatsapp_id], MessageStatus.READ)

    async def hand_over(self, session: SessionId, texts: list[str]) -> None:
        phone, jid = self.engine.phone(session), f"{BOB}@s.whatsapp.net"
        messages = tuple(
            phone.message(text, sender=jid, chat=jid, from_me=False, push_name="Bob")
            for text in texts
        )
        self.engine.post(session, HistoryReceived(messages=messages))

    async def marked(self, session: SessionId) -> list[str]:
        return list(self.engine.phone(session).read_marks)

    async def shown(self, session: SessionId) -> list[str]:
        # As "447700900123@s.whatsapp.net composing", for which the others say "composing 447…".
        words = (one.split() for one in self.engine.phone(session).shown)
        return [" ".join(bare.partition("@")[0] for bare in reversed(word)) for word in words]

    async def lose_connection(self, session: SessionId) -> None:
        self.engine.fault(session, "stream_lost", seconds=0.1)

    async def unlink(self, session: SessionId) -> None:
        self.engine.fault(session, "logged_out")


class NeonizeWorld:
    """The phones at the loopback WhatsApp, which the library's worker processes talk to."""

    engine: NeonizeEngine

    def __init__(self, directory: Path, whatsapp: LoopbackWhatsApp) -> None:
        self._directory = directory
        self._whatsapp = whatsapp

    async def start(self) -> None:
        environment = {**os.environ, **self._whatsapp.environment}
        self.engine = NeonizeEngine(directory=self._directory, environment=environment)
        self._serving = Serving(self.engine)

    async def end(self) -> None:
        await self._serving.end()
        assert self.engine.processes() == []

    async def restart(self) -> None:
        await self.end()
        await self.start()

    async def scan(self, session: SessionId, code: str) -> None:
        await self._whatsapp.scan(code, ALICE, "Alice")

    async def enter_code(self, session: SessionId, code: str) -> None:
        await self._whatsapp.enter_code(code, ALICE, "Alice")

    async def write(self, session: SessionId, text: str) -> str:
        return await self._whatsapp.send_text(sender=BOB, to=ALICE, text=text, name="Bob")

    async def write_by_alice(self, session: SessionId, text: str) -> str:
        return await self._whatsapp.send_text(sender=ALICE, to=BOB, text=text)

    async def received(self, session: SessionId) -> list[tuple[str, str]]:
        return [(message.id, message.text) for message in await self._whatsapp.received(BOB)]

    async def read(self, session: SessionId, whatsapp_id: str) -> None:
        await self._whatsapp.send_receipt([whatsapp_id], sender=BOB, to=ALICE, type="read")

    async def hand_over(self, session: SessionId, texts: list[str]) -> None:
        messages = [{"text": text} for text in texts]
        await self._whatsapp.send_history(ALICE, [{"chat": BOB, "messages": messages}])

    async def marked(self, session: SessionId) -> list[str]:
        marks = (await self._whatsapp.account(ALICE)).read_marks
        return [id_ for mark in marks if mark.sender == BOB for id_ in mark.ids]

    async def shown(self, session: SessionId) -> list[str]:
        return (await self._whatsapp.account(ALICE)).shown

    async def lose_connection(self, session: SessionId) -> None:
        await self._whatsapp.drop(ALICE)

    async def unlink(self, session: SessionId) -> None:
        await self._whatsapp.kick(ALICE)


@asynccontextmanager
async def opened(engine: Engine, session: SessionId) -> AsyncIterator[Watched]:
    """Open a session and acknowledge its signals as they come."""
    async with engine.open(session) as connection:
        watched = Watched(connection)
        watching = asyncio.create_task(watched.watch())
        try:
            yield watched
        finally:
            watching.cancel()
            await asyncio.wait([watching])
