"""History on its way to the server, beside the news.

A year of messages takes minutes to store, and what is written meanwhile must not wait for that. So
a thread of its own, which lives while there is something, posts a batch and then lets others post.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from sessions.signals import HistoryReceived

PAUSE_SECONDS = 0.02

_log = logging.getLogger(__name__)


class Backlog:
    """One line's history; `post` takes a batch and blocks until it is taken care of."""

    def __init__(self, post: Callable[[HistoryReceived], None]) -> None:
        self._post = post
        self._changed = threading.Condition()
        self._waiting: deque[HistoryReceived] = deque()
        self._working = False
        self._pause_seconds = PAUSE_SECONDS

    @property
    def pending(self) -> bool:
        """Whether something is still to be handed over."""
        return self._working

    def put(self, batch: HistoryReceived) -> None:
        """Hand a batch over behind the others."""
        with self._changed:
            self._waiting.append(batch)
            if not self._working:
                self._working = True
                threading.Thread(target=self._work, daemon=True).start()

    def finish(self, seconds: float) -> None:
        """Wait until everything is handed over, at most so long, as quickly as it goes."""
        with self._changed:
            self._pause_seconds = 0.0
            if not self._changed.wait_for(lambda: not self._working, seconds):
                _log.error("%d batches of history are given up", len(self._waiting))

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._post(batch)
            except OSError:
                _log.exception("a batch of history could not be kept")
            # Locks are not fair: without a pause, who waits to post would wait for the last batch.
            time.sleep(self._pause_seconds)

    def _next(self) -> HistoryReceived | None:
        with self._changed:
            if self._waiting:
                return self._waiting.popleft()
            self._working = False
            self._changed.notify_all()
            return None
