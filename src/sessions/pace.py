"""How fast one session may send: a gap with some chance in it, and a rate over a minute."""

import random
from collections import deque

from sessions.clock import Clock
from sessions.services import Policy

_WINDOW_SECONDS = 60


class Pace:
    """Remembers when a session sent, and says how long the next message must wait."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._sent: deque[float] = deque(maxlen=policy.sends_per_minute or None)
        self._next = clock.monotonic()

    def wait_seconds(self) -> float:
        """Return how long to wait from now on; 0 when a message may go."""
        now = self._clock.monotonic()
        return max(0.0, self._next - now, self._rate_wait_seconds(now))

    def sent(self) -> None:
        """Count a message that goes out now."""
        now = self._clock.monotonic()
        jitter_seconds = random.uniform(0, self._policy.send_jitter_seconds)  # noqa: S311 - no secret
        self._next = now + self._policy.send_gap_seconds + jitter_seconds
        if self._policy.sends_per_minute:
            self._sent.append(now)

    def _rate_wait_seconds(self, now: float) -> float:
        if not self._policy.sends_per_minute or len(self._sent) < self._policy.sends_per_minute:
            return 0.0
        return self._sent[0] + _WINDOW_SECONDS - now
