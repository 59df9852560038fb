"""The port to the engine behind a foreign QR microservice, for what that service posts here."""

from typing import Any, Literal, Protocol

from sessions.ids import SessionId
from sessions.messages import EngineMessage


class MicroserviceDoor(Protocol):
    """Takes what the service tells about sessions, which it knows by our ids, of any tenant.

    Both calls raise:
        SessionNotFound: there is no session of this id.
        SessionNotActive: nobody wants it connected now; what is told again later may be taken.
        Unavailable: it can't be taken right now; it has to be told again.
    """

    def admits(self, key: str) -> bool:
        """Tell, in a time that does not depend on the key, whether it is the service's."""
        ...

    async def hear(
        self, session: SessionId, event: Literal["qr", "connected", "disconnected"], data: Any
    ) -> None:
        """Take a hint about the session; what is lost is found by asking the service."""
        ...

    async def receive(self, session: SessionId, message: EngineMessage) -> None:
        """Take a message; returns when it is committed, at most after about ten seconds."""
        ...
