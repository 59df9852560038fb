"""How often and how soon a session is connected again after its connection has ended."""

import random
from collections import defaultdict, deque
from dataclasses import replace
from datetime import datetime

from sessions.clock import Clock, to_ms
from sessions.endings import Ending, Next, conflict
from sessions.services import Policy
from sessions.status import Status

_STEADY_SECONDS = 30
"""A connection that lasted so long starts the pauses small again."""


class Retries:
    """One session's patience: pauses grow, and what keeps failing ends for a person to see."""

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._ends: defaultdict[str, deque[float]] = defaultdict(deque)

    def judge(self, ending: Ending, *, lasted_seconds: float) -> Ending:
        """Return an ending as it is, or the final one that it becomes by coming too often."""
        if lasted_seconds > _STEADY_SECONDS:
            self._failures = 0
        match ending.next:
            case Next.REPLACED if self._is(ending, self._policy.replaced_limit):
                return conflict()
            case Next.BACK_OFF if ending.counted and self._is(ending, self._policy.repeat_limit):
                return self._given_up(ending)
        return ending

    def pause_seconds(self, ending: Ending, now: datetime) -> float | None:
        """Return how long to wait before the next connection, None for no next."""
        match ending.next:
            case Next.STAY:
                return self._until(ending, now)
            case Next.AT_ONCE:
                return 0.0
            case Next.REPLACED:
                return self._policy.replaced_wait_seconds * _jitter(1, 2)
            case Next.BACK_OFF:
                return self.back_off_seconds()

    def _until(self, ending: Ending, now: datetime) -> float | None:
        """Return the rest of a pause that WhatsApp has set an end to."""
        if ending.until_ms is None:
            return None
        rest_seconds = (ending.until_ms - to_ms(now)) / 1000
        return max(0.0, rest_seconds) + self._policy.retry_max_seconds * _jitter(0.5, 1)

    def back_off_seconds(self) -> float:
        """Return a pause twice as long as the last one, up to the ceiling, less some chance."""
        grown_seconds = self._policy.retry_first_seconds * 2.0**self._failures
        self._failures = min(self._failures + 1, 16)
        return min(self._policy.retry_max_seconds, grown_seconds) * _jitter(0.5, 1)

    def _is(self, ending: Ending, limit: int) -> bool:
        """Count an ending; tell whether its reason has come so often within the window."""
        now = self._clock.monotonic()
        ends = self._ends[ending.reason]
        ends.append(now)
        while ends[0] < now - self._policy.repeat_window_seconds:
            ends.popleft()
        return len(ends) >= limit

    def _given_up(self, ending: Ending) -> Ending:
        minutes = round(self._policy.repeat_window_seconds / 60)
        detail = (
            f"{ending.message.removesuffix('; trying again.').removesuffix('.')}. It came "
            f"{self._policy.repeat_limit} times in {minutes} minutes, so the gateway stopped "
            "trying. Activate the session to try again."
        )
        return replace(
            ending,
            next=Next.STAY,
            status=Status.FAILED,
            detail=detail,
            error_code=ending.error_code or ending.reason,
        )


def _jitter(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - spreads load, guards nothing
