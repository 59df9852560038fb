"""The port between the Socket.IO server and what it serves: handshakes, events, farewells."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.realtime_metrics import EndReason


@dataclass(frozen=True)
class Recovery:
    """A client's wish for connection state recovery, with what it carries from before, if so."""

    pid: str | None
    offset: str | None


@dataclass(frozen=True)
class Handshake:
    """What a client brought to get in."""

    token: str | None = field(repr=False)
    address: str
    recovery: Recovery | None = None


@dataclass(frozen=True)
class Command:
    """An event from a client; `acknowledgement` is None if it asked for no answer."""

    name: object
    arguments: list[Any] = field(repr=False)
    acknowledgement: int | None


class Refused(Exception):
    """The handshake is refused: `code` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Door(Protocol):
    """What the server tells about its clients. `sid` names one inside the namespace."""

    async def admit(self, sid: str, handshake: Handshake) -> str | None:
        """Decide on a handshake; return the `pid` that its client is told, None for none.

        Raises:
            Refused: not with this token.
        """
        ...

    async def welcome(self, sid: str) -> None:
        """Greet a client that now receives events."""
        ...

    async def command(self, sid: str, command: Command) -> None:
        """Answer an event. One that raises is logged and ends the connection."""
        ...

    def leave(self, sid: str, reason: EndReason) -> None:
        """Forget a client; also called if `welcome` never was."""
        ...
