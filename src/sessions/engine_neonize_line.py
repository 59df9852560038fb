"""A line in a worker process: takes one client's signals to the server and waits for its word.

What the server does not take (it left, it died, its database is down) was acknowledged to WhatsApp
by the library already; so it is kept in a file beside the store, and the session's next line begins
with it. History goes the same way, but never before what is news.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sessions import signals
from sessions.engine_neonize_backlog import Backlog
from sessions.engine_neonize_binding import NotRunning
from sessions.engine_neonize_client import Client
from sessions.engine_neonize_frames import Raised
from sessions.engine_neonize_gate import Gate
from sessions.engine_neonize_store import store_address, undelivered_path

OWNED_SECONDS = 10.0
LAST_HISTORY_SECONDS = 4.0

KEPT = (
    signals.MessageReceived,
    signals.MessageUndecryptable,
    signals.Receipt,
    signals.HistoryReceived,
)
"""What happened at WhatsApp; the rest only tells how a line fares that is no more."""


class StoreInUse(Exception):
    """Another process has this store open; two would break its keys."""


class Line:
    """One session's client, its lock on the store, and the way of its signals to the server."""

    def __init__(
        self,
        number: int,
        store: Path,
        *,
        pairing: bool,
        gate: Gate,
        send: Callable[[Raised], None],
        acknowledge_seconds: float,
    ) -> None:
        self._number = number
        self._store = store
        self._send = send
        self._acknowledge_seconds = acknowledge_seconds
        self._posting = threading.Lock()
        self._word = threading.Condition()
        self._sequence = 0
        self._acknowledged = 0
        self._keeping = False
        self._lock: int | None = None
        self._backlog = Backlog(self.post)
        self.client = Client(
            store_address(store),
            pairing=pairing,
            gate=gate,
            post=self.post,
            put_history=self._backlog.put,
        )

    @property
    def quiet_seconds(self) -> float:
        """How long WhatsApp sent nothing and nothing was left to hand over."""
        return 0.0 if self._backlog.pending else self.client.quiet_seconds

    def open(self) -> None:
        """Take the store and start the client.

        Raises:
            StoreInUse: another process did not give it up in time.
            NotRunning: the line was closed meanwhile.
        """
        self._lock = _take(self._store)
        try:
            self.client.start()
        except NotRunning:
            self._release()
            raise

    def close(self, *, keep: bool) -> None:
        """Stop the client and give the store up. Idempotent."""
        if keep:
            self.keep()
        self.client.close()
        self.keep_rest()
        self._release()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def acknowledge(self, sequence: int) -> None:
        """Release the signals up to this one."""
        with self._word:
            self._acknowledged = max(self._acknowledged, sequence)
            self._word.notify_all()

    def keep(self) -> None:
        """From now on nobody listens: keep signals in the file, also the one that waits."""
        with self._word:
            self._keeping = True
            self._word.notify_all()

    def keep_rest(self) -> None:
        """Keep the history that is still to be handed over, which may be minutes of it."""
        self.keep()
        self._backlog.finish(LAST_HISTORY_SECONDS)

    def post(self, signal: signals.Signal) -> None:
        """Take a signal to the server and wait until it is committed, or kept."""
        with self._posting:
            if self._keeping:
                return self._keep(signal)
            self._sequence += 1
            self._send(Raised(line=self._number, sequence=self._sequence, signal=signal))
            if isinstance(signal, signals.TRANSIENT) or self._is_acknowledged():
                return None
            self._keep(signal)
            if not self._keeping:
                self._give_up()
            return None

    def _is_acknowledged(self) -> bool:
        with self._word:
            self._word.wait_for(
                lambda: self._keeping or self._acknowledged >= self._sequence,
                self._acknowledge_seconds,
            )
            return self._acknowledged >= self._sequence

    def _give_up(self) -> None:
        # Going on would pile up what WhatsApp believes delivered. Offline, it keeps messages.
        self._keeping = True
        detail = "signals were not committed in time"
        stopped = signals.EngineStopped(detail=detail)
        self._sequence += 1
        self._send(Raised(line=self._number, sequence=self._sequence, signal=stopped))
        threading.Thread(target=self.client.close, daemon=True).start()

    def _keep(self, signal: signals.Signal) -> None:
        if not isinstance(signal, KEPT):
            return
        file = os.open(undelivered_path(self._store), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, signal.model_dump_json().encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)


def _take(store: Path) -> int:
    file = os.open(f"{store}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + OWNED_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(file)
                raise StoreInUse from None
            time.sleep(0.05)
