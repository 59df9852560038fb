"""Which jobs wait because their session has too much to send, so that later ones wait behind them.

Kept in memory alone: what a restart forgets may be overtaken.
"""

from collections.abc import Callable

_LOST_AFTER = 4
"""So many pauses may a job be late before it is taken to be gone: back ends remove jobs."""
_BETWEEN_SECONDS = 0.001
_LATE_SECONDS = 1.0


class Waiting:
    """Jobs by the session that they are for, in their order, each with when it is due.

    Args:
        pause_seconds: so long waits the first of a session's; the others follow right behind it.
        now: monotonic seconds.
    """

    def __init__(self, *, pause_seconds: float, now: Callable[[], float]) -> None:
        self._pause_seconds = pause_seconds
        self._now = now
        self._jobs: dict[str, dict[str, float]] = {}
        self._latest: dict[str, float] = {}

    def is_first(self, session: str, job: str) -> bool:
        """Tell whether no earlier job of this session waits."""
        jobs = self._jobs.get(session, {})
        lost_before = self._now() - _LOST_AFTER * self._pause_seconds
        while jobs and (first := next(iter(jobs))) != job:
            if jobs[first] > lost_before:
                return False
            del jobs[first]
        return True

    def add(self, session: str, job: str) -> float:
        """Let a job wait at its place; return for how many seconds."""
        jobs = self._jobs.setdefault(session, {})
        jobs.setdefault(job, 0.0)
        due = self._latest.get(session, 0.0) + _BETWEEN_SECONDS
        if next(iter(jobs)) == job:
            due = self._now() + self._pause_seconds
        elif due < self._now():
            # An earlier one should have come by now: not again and again until it does.
            due = self._now() + min(_LATE_SECONDS, self._pause_seconds)
        jobs[job] = self._latest[session] = due
        return due - self._now()

    def remove(self, job: str) -> None:
        """Take note that a job waits no more, if it did."""
        for session, jobs in list(self._jobs.items()):
            jobs.pop(job, None)
            if not jobs:
                del self._jobs[session], self._latest[session]
