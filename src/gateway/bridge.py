"""The port to another back end: takes a session's events, one after another, at least once."""

from typing import Protocol

from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, TenantId


class TemporaryFailure(Exception):
    """The event was not (certainly) taken; it comes again, before those behind it.

    `retry_seconds`: not before then; None leaves it to the pump. `of_all`: nothing else would be
    taken now either, as when the broker is down.
    """

    def __init__(
        self, message: str, *, retry_seconds: float | None = None, of_all: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds
        self.of_all = of_all


class PermanentFailure(Exception):
    """The event will never be taken: it is parked, visible, and what is behind it goes on."""


class Bridge(Protocol):
    """One consumer of the event log.

    Events of one session come in order and one at a time; several sessions at once. An event comes
    again after a failure or a crash, with the same `id`.
    """

    @property
    def name(self) -> str:
        """Its own name for ever: its cursors are kept by it. Letters, digits, `:`, `-`."""
        ...

    @property
    def tenant(self) -> TenantId | None:
        """Whose sessions it gets; None: everybody's."""
        ...

    @property
    def session(self) -> SessionId | None:
        """The only session that it gets; None: all."""
        ...

    def wants(self, type_: EventType) -> bool:
        """Tell whether events of this type are for it; `events:gap` should be, when any are."""
        ...

    async def deliver(self, event: SessionEvent) -> None:
        """Hand a durable event over; return when it is certainly taken. Bounds its own waits.

        Raises:
            TemporaryFailure: try again later.
            PermanentFailure: never.
        """
        ...

    async def show(self, event: SessionEvent) -> None:
        """Hand over a transient event, such as a QR code: at most once, never tried again."""
        ...

    def pause_seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures of the same event, 1 or more."""
        ...
