"""A gateway's domain and REST edge beside a chatbot back end, each over real HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from api.bridge_status import BridgeStatus
from gateway.bridge_chatbot import ChatbotBridge
from gateway.pump import Pump
from sessions.clock import Clock, SystemClock
from sessions.session import Session
from sessions.status import Status
from tests.api.server import application, serving
from tests.bridges.chatbot_backend import KEY, ChatbotBackEnd, ChatbotCaller
from tests.sessions.house import TENANT, House, running_house

PHONE = "221771234567"
FRIEND = "447700900123"
QUICK = (0.05,)


@dataclass
class Site:
    """The gateway's parts, and the back end as a server and as a client."""

    house: House
    bridge: ChatbotBridge
    pump: Pump
    backend: ChatbotBackEnd
    caller: ChatbotCaller
    port: int

    async def linked(self, chatbot: str = "42") -> Session:
        """Have a chatbot's session made over REST, and scan its code."""
        answer = await self.caller.post("/init", chatbotId=chatbot)
        name = answer["sessionId"]
        session = await self.house.reaches(name, Status.QR_READY)
        self.house.engine.scan(session.id, phone=PHONE, push_name="Alice")
        return await self.house.reaches(name, Status.CONNECTED)

    def is_written_to(self, session: Session, text: str) -> None:
        """The friend writes to the account."""
        self.house.engine.write(session.id, text, sender=FRIEND)

    async def status(self) -> BridgeStatus:
        """Return how the bridge is doing, as GET /bridges shows it."""
        return (await self.pump.status())[0]


@contextlib.asynccontextmanager
async def running_site(
    directory: Path,
    backend: ChatbotBackEnd,
    *,
    clock: Clock | None = None,
    qr_seconds: tuple[float, ...] = (60,),
) -> AsyncIterator[Site]:
    """Run everything but the back end, which may be up or not."""
    async with running_house(directory, qr_lifetimes_seconds=qr_seconds) as house:
        pump = Pump(house.store, house.bus, SystemClock())
        bridge = ChatbotBridge(
            house.manager,
            TENANT,
            clock or SystemClock(),
            url=backend.url,
            key=KEY,
            pauses_seconds=QUICK,
        )
        pump.add(bridge)
        tasks = [asyncio.create_task(run()) for run in (pump.run, bridge.run)]
        try:
            async with (
                serving(application(house, pump=pump, api_key=KEY)) as port,
                ChatbotCaller.calling(f"http://127.0.0.1:{port}") as caller,
            ):
                yield Site(house, bridge, pump, backend, caller, port)
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks, timeout=10)
            assert len(done) == len(tasks)
