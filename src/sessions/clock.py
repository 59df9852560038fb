"""Time as the domain sees it: injected, so that tests own it; UTC, in milliseconds on the wire."""

import time
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import PlainSerializer, WithJsonSchema


def iso(moment: datetime) -> str:
    """Return ISO 8601 in UTC with milliseconds and `Z`, the form of every REST time."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_ms(moment: datetime) -> int:
    """Return Unix milliseconds, the form of every event's time."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Return the moment of a Unix time in milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


Instant = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class Clock(Protocol):
    """Wall clock for records, monotonic seconds for waits."""

    def now(self) -> datetime:
        """Return the current moment, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the current moment, in UTC, cut to whole milliseconds as the wire shows it."""
        return from_ms(time.time_ns() // 1_000_000)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
