"""A clock that goes with the machine's and can be set forward: days pass, sockets stay real."""

from datetime import datetime, timedelta

from sessions.clock import SystemClock


class LeapingClock(SystemClock):
    """Ahead of the machine's clock by what it has leapt."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def leap(self, seconds: float) -> None:
        """Let so much time have passed."""
        self._ahead += timedelta(seconds=seconds)

    def now(self) -> datetime:
        """Return the current moment here."""
        return super().now() + self._ahead

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return super().monotonic() + self._ahead.total_seconds()
