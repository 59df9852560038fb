"""The door for a foreign QR microservice: its key, and the way of its posts to their sessions."""

import hashlib
import hmac
from pathlib import Path

from gateway.microservice_client import MicroserviceClient
from gateway.settings import Settings
from sessions.clock import Clock
from sessions.engine import Engine
from sessions.engine_microservice import MicroserviceEngine
from sessions.engine_microservice_standing import EventWord
from sessions.errors import SessionNotActive
from sessions.ids import SessionId
from sessions.manager import SessionManager
from sessions.messages import EngineMessage
from sessions.microservice import JsonObject


class EngineDoor:
    """Lets the service post to sessions that are active."""

    def __init__(self, engine: MicroserviceEngine, manager: SessionManager, key: str) -> None:
        self._engine = engine
        self._manager = manager
        self._key = _digest(key)

    def admits(self, key: str) -> bool:
        """Tell whether a key is the shared one; digests take the same time for any length."""
        return hmac.compare_digest(_digest(key), self._key)

    def degraded(self) -> list[str]:
        """Return why the service is of no use now; nothing when it is. Asks only memory."""
        return self._engine.degraded()

    async def hear(self, session: SessionId, event: EventWord, data: JsonObject) -> None:
        """Take a hint about the session."""
        await self._require_active(session)
        self._engine.hear(session, event, data)

    async def receive(self, session: SessionId, message: EngineMessage) -> None:
        """Take a message; returns when it is committed."""
        await self._require_active(session)
        await self._engine.receive(session, message)

    async def _require_active(self, session: SessionId) -> None:
        if not await self._manager.is_active(session):
            raise SessionNotActive


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def microservice_engine(settings: Settings, directory: Path, clock: Clock) -> MicroserviceEngine:
    """Construct the engine from settings that name a service and a key; reads files."""
    return MicroserviceEngine(microservice_client(settings), clock, directory=directory)


def microservice_client(settings: Settings) -> MicroserviceClient:
    """Construct what calls the service that the settings name."""
    url, key = settings.whatsapp_qr_service_url, settings.whatsapp_qr_service_key
    if url is None or key is None:
        message = "settings were loaded that lack what the engine microservice needs"
        raise RuntimeError(message)
    return MicroserviceClient(url, key.get_secret_value())


def microservice_door(
    settings: Settings, engine: Engine, manager: SessionManager
) -> EngineDoor | None:
    """Return the door for what the service posts; None with another engine."""
    key = settings.whatsapp_qr_service_key
    if key is None or not isinstance(engine, MicroserviceEngine):
        return None
    return EngineDoor(engine, manager, key.get_secret_value())
