"""What the REST edge tells of bridges to other back ends, and the port that it asks."""

from typing import Protocol

from sessions.clock import Instant
from sessions.messages import WireModel


class BridgeStatus(WireModel):
    """One bridge: what waits for it, since when, and what stands in its way.

    `tenant` None: it carries every tenant's events.
    """

    name: str
    tenant: str | None
    backlog: int
    oldest: Instant | None
    parked: int
    failing_sessions: int
    last_error: str | None
    last_error_at: Instant | None
    last_taken_at: Instant | None


class BridgeList(WireModel):
    """Every bridge that carries the caller's events."""

    items: list[BridgeStatus]


class Redelivery(WireModel):
    """What became of the parked events: `delivered` are parked no more.

    Nor are those that are `lost`: the log keeps events for a while, and these it keeps no more.
    """

    delivered: int
    lost: int = 0
    still_parked: int


class Bridges(Protocol):
    """What carries events to other back ends."""

    async def status(self) -> list[BridgeStatus]:
        """Return how every bridge is doing; raises StorageUnavailable."""
        ...

    def nudge(self, name: str) -> None:
        """Let a bridge try again at once what it waits to try again."""
        ...

    async def redeliver(self, name: str) -> Redelivery:
        """Hand parked events over again, oldest first, until one is refused for now."""
        ...
