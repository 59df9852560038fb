"""The port to a QR microservice that somebody else runs: HTTP calls with JSON objects."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

JsonObject = dict[str, Any]


class NotReached(Exception):
    """The request certainly did not reach the service; the text says why."""


class NotAnswered(Exception):
    """The request went out, and no answer came that can be read: the service may have done it."""


@dataclass(frozen=True)
class Reply:
    """What the service answered; `body` is empty when it was no JSON object."""

    status: int
    body: JsonObject = field(repr=False)

    @property
    def taken(self) -> bool:
        """Whether the service did what was asked, by its HTTP status and its own word."""
        return 200 <= self.status < 300 and self.body.get("success") is not False


class Microservice(Protocol):
    """One service at one address, which knows who calls. Calls may be made side by side."""

    async def call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: JsonObject | None = None,
        *,
        timeout_seconds: float,
    ) -> Reply:
        """Call once, never again by itself, and return the answer, whatever its status.

        Raises:
            NotReached: certainly nothing was done.
            NotAnswered: no answer within the time, or none that can be read.
        """
        ...

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        ...
