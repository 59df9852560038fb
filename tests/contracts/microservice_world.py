"""The phones at a QR microservice that posts to the engine's own door."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from api.chatbot_inbound import OPERATIONS
from api.errors import exception_handlers
from gateway.microservice_client import MicroserviceClient
from sessions.clock import SystemClock
from sessions.engine_microservice import MicroserviceEngine
from sessions.engine_microservice_standing import Paces
from sessions.ids import SessionId
from sessions.messages import EngineMessage
from tests.api.server import BODY_LIMIT_BYTES, serving
from tests.bridges.qr_microservice import Phone, QrMicroservice
from tests.contracts.worlds import ALICE, BOB, Serving

KEY = "the-key-of-the-microservice"
PACES = Paces(online_seconds=5, login_seconds=1, commit_seconds=2)


class MicroserviceWorld:
    """An engine in front of a microservice; every session counts as active."""

    engine: MicroserviceEngine
    service: QrMicroservice

    def __init__(self, directory: Path, paces: Paces) -> None:
        self._directory = directory
        self._paces = paces

    @classmethod
    @contextlib.asynccontextmanager
    async def set_up(
        cls, directory: Path, *, paces: Paces = PACES
    ) -> AsyncIterator["MicroserviceWorld"]:
        """Serve the door, and the service that posts to it."""
        world = cls(directory, paces)
        async with serving(door_of(world)) as port, QrMicroservice.running(KEY) as world.service:
            world.service.back_end_url = f"http://127.0.0.1:{port}"
            yield world

    # The door.

    def admits(self, key: str) -> bool:
        return key == KEY

    async def hear(self, session: SessionId, event: Any, data: Any) -> None:
        self.engine.hear(session, event, data)

    async def receive(self, session: SessionId, message: EngineMessage) -> None:
        await self.engine.receive(session, message)

    # The hands.

    async def start(self) -> None:
        self.engine = await asyncio.to_thread(self._construct)
        self._serving = Serving(self.engine)

    def _construct(self) -> MicroserviceEngine:
        client = MicroserviceClient(self.service.url, KEY)
        return MicroserviceEngine(
            client, SystemClock(), directory=self._directory, paces=self._paces
        )

    async def end(self) -> None:
        await self._serving.end()

    async def restart(self) -> None:
        await self.end()
        await self.start()

    async def scan(self, session: SessionId, code: str) -> None:
        self.service.scan(session, code, Phone(ALICE, "Alice"))

    async def enter_code(self, session: SessionId, code: str) -> None:
        raise AssertionError("there are no pairing codes here")

    async def write(self, session: SessionId, text: str) -> str:
        return self.service.write(session, text, sender=Phone(BOB, "Bob"))

    async def write_by_alice(self, session: SessionId, text: str) -> str:
        return self.service.write(session, text, sender=Phone(BOB, "Bob"), own=True)

    async def received(self, session: SessionId) -> list[tuple[str, str]]:
        return [(sent["id"], sent["message"]) for sent in self.service.held(session).sent]

    async def read(self, session: SessionId, whatsapp_id: str) -> None:
        raise AssertionError("there are no receipts here")

    async def hand_over(self, session: SessionId, texts: list[str]) -> None:
        raise AssertionError("there is no history here")

    async def marked(self, session: SessionId) -> list[str]:
        raise AssertionError("there are no marks here")

    async def shown(self, session: SessionId) -> list[str]:
        raise AssertionError("there is no presence here")

    async def lose_connection(self, session: SessionId) -> None:
        await self.service.lose(session)

    async def unlink(self, session: SessionId) -> None:
        self.service.end(session, "LOGGED_OUT", "logged_out")


def door_of(world: MicroserviceWorld) -> Starlette:
    """Return the two paths, served without the rest of the edge."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"microservice": world, "body_limit_bytes": BODY_LIMIT_BYTES}

    return Starlette(
        routes=[Route(each.path, each.answer, methods=["POST"]) for each in OPERATIONS],
        exception_handlers=exception_handlers(),
        lifespan=lifespan,
    )
