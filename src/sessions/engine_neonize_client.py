"""One session's client of the neonize library, inside a worker process.

Threads: `_run` sits in the library's connect(), which starts another thread inside Go. Events come
on that one, one after another, and stay there until the server has committed them. Commands come on
the worker's threads. Whatever enters the library passes the process's `Gate`.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from neonize import events
from neonize.exc import GetJIDFromStoreError
from neonize.utils.enum import ClientName, ClientType

from sessions import signals
from sessions.engine_neonize_binding import Binding, NotRunning, bind, make_jid
from sessions.engine_neonize_directory import Account
from sessions.engine_neonize_endings import login_end
from sessions.engine_neonize_events import TRANSLATED, Translator
from sessions.engine_neonize_gate import Gate, InFlight
from sessions.engine_neonize_history import read_history
from sessions.messages import LID_SERVER, PHONE_SERVER

ENTERED_SECONDS = 1.0
"""The library enters its maps within milliseconds of a start; dialling after that may take long."""
QUIET_SECONDS = 0.1
DRAIN_SECONDS = 3.0
LAST_CALLS_SECONDS = 3.0
RETURN_SECONDS = 1.0
RESTART_SECONDS = 30.0
FIRST_CODE_SECONDS, NEXT_CODE_SECONDS = 60, 20
PAIRING_CODE_SECONDS = 160

_TELL_PHONE = True

_log = logging.getLogger(__name__)


class Client:
    """A client on one store, from `start` to `close`, or to its final signal.

    `post` takes its signals and blocks until they are taken care of; it is called by one thread at
    a time. `put_history` takes older messages and does not block.
    """

    def __init__(
        self,
        store: str,
        *,
        pairing: bool,
        gate: Gate,
        post: Callable[[signals.Signal], None],
        put_history: Callable[[signals.HistoryReceived], None],
    ) -> None:
        self._store = store
        self._pairing = pairing
        self._gate = gate
        self._post = post
        self._put_history = put_history
        self._translator = Translator(self)
        self._entered = threading.Event()
        self._connected = threading.Event()
        self._changes = threading.Lock()
        self._calls = InFlight()
        self._events = 0
        self._event_at = time.monotonic()
        self._running = False
        self._closed = False
        self._ended = False
        self._codes = 0
        self._first_code_at = self._last_code_at = 0.0
        self._threads: list[threading.Thread] = []
        self._library = self._make()

    @property
    def stuck(self) -> int:
        """How many connections never came back from Go, asked after `close`."""
        for thread in self._threads:
            thread.join(RETURN_SECONDS)
        return sum(thread.is_alive() for thread in self._threads)

    @property
    def has_logged_in(self) -> bool:
        """Whether it ever did; before that, the library ends the process on some calls."""
        return self._connected.is_set()

    @property
    def quiet_seconds(self) -> float:
        """How long no event came; 0 while one is being taken care of."""
        return 0.0 if self._events else time.monotonic() - self._event_at

    def start(self) -> None:
        """Connect, in a thread of its own; returns once the client may be used.

        Raises:
            NotRunning: it was closed before.
        """
        with self._changes, self._gate.changing():
            if self._closed:
                raise NotRunning
            self._running = True
            thread = threading.Thread(target=self._run, args=(self._library,), daemon=True)
            self._threads.append(thread)
            thread.start()
            self._entered.wait(ENTERED_SECONDS)

    def disconnect(self) -> None:
        """Leave WhatsApp; events that came before may still follow."""
        with self._gate.calling():
            if self._running and not self._ended:
                self._library.disconnect()
        # What was being decrypted as the line was cut is still to come.
        self._event_at = time.monotonic()

    def close(self) -> None:
        """Disconnect, wait for the events under way, stop. Idempotent."""
        self.disconnect()
        # To stop with events under way would send on a closed Go channel, which is a panic.
        self.wait_until_quiet(DRAIN_SECONDS)
        with self._changes, self._gate.changing():
            self._closed = True
            if self._running:
                self._running = False
                self._calls.wait_for_none(LAST_CALLS_SECONDS)
                self._library.stop()

    def wait_until_quiet(self, seconds: float) -> None:
        """Wait until no event came for a moment, at most so long."""
        deadline = time.monotonic() + seconds
        while self.quiet_seconds < QUIET_SECONDS and time.monotonic() < deadline:
            time.sleep(QUIET_SECONDS / 4)

    @contextmanager
    def using(self) -> Iterator[Binding]:
        """Give the library's client for one call.

        Raises:
            NotRunning: it is not started, stopped, or WhatsApp ended it.
        """
        with self._gate.calling():
            if not self._running:
                raise NotRunning
            with self._calls.one():
                yield self._library

    def account(self) -> Account:
        """Return the account that is logged in. Part of `Directory`."""
        with self.using() as library:
            me = library.get_me()
        return Account(me.JID.User, me.LID.User or None, me.PushName or None)

    def phone_of(self, lid: str) -> str | None:
        """Return the phone number behind a LID user if known. Part of `Directory`."""
        try:
            with self.using() as library:
                return library.get_pn_from_lid(make_jid(lid, LID_SERVER)).User or None
        except (GetJIDFromStoreError, NotRunning):
            return None

    def lid_of(self, phone: str) -> str | None:
        """Return the LID user behind a phone number if known."""
        try:
            with self.using() as library:
                return library.get_lid_from_pn(make_jid(phone, PHONE_SERVER)).User or None
        except (GetJIDFromStoreError, NotRunning):
            return None

    def pairing_code(self, phone: str) -> tuple[str, int]:
        """Ask for a pairing code; return it and the Unix milliseconds of its end.

        Raises:
            NotRunning: no QR code was shown yet, or the client has ended.
            PairPhoneError: WhatsApp gave none.
        """
        if not self._codes:
            raise NotRunning
        with self.using() as library:
            code = library.PairPhone(phone, _TELL_PHONE, ClientName.LINUX, ClientType.CHROME)
        return code, round((self._first_code_at + PAIRING_CODE_SECONDS) * 1000)

    def logout(self) -> None:
        """Unlink the device at WhatsApp and stop.

        Raises:
            NotRunning: there is no client.
            LogoutError: WhatsApp did not confirm it.
        """
        with self.using() as library:
            library.logout()
        self.close()

    def _make(self) -> Binding:
        library = bind(self._store, self._on_login_status)
        library.event.qr(self._on_qr)
        for event in TRANSLATED:
            library.event(event)(self._on_event)
        library.event(events.HistorySyncEv)(self._on_history)
        return library

    def _run(self, library: Binding) -> None:
        try:
            library.connect()
        except Exception as error:  # noqa: BLE001 - whatever ended it, the session must be told
            self._on_end(library, str(error))
        finally:
            self._entered.set()

    def _on_end(self, library: Binding, detail: str) -> None:
        if library is not self._library or not self._running or self._ended:
            return None
        self._entered.set()
        if "TemporaryBan" in detail:
            # A ban with a code that the library does not know ends it with this text.
            return self._raise(signals.TemporaryBan(code=0))
        if self._connected.is_set():
            return self._raise(signals.EngineStopped(detail=detail))
        return self._raise(signals.ConnectFailed(detail=detail))

    def _on_event(self, library: Binding, event: Any) -> None:
        self._entered.set()
        if library is not self._library:
            return
        with self._busy():
            if signal := self._translator.translate(event):
                self._raise(signal)

    def _on_history(self, _: Binding, event: Any) -> None:
        # Read whole, as it may need the client, which is stopped when the line is left.
        with self._busy():
            for batch in read_history(event.Data, self):
                self._put_history(batch)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._events += 1
        try:
            yield
        except NotRunning:
            _log.info("an event came as its client was being stopped")
        finally:
            self._event_at = time.monotonic()
            self._events -= 1

    def _on_qr(self, library: Binding, code: bytes) -> None:
        self._entered.set()
        if not self._pairing:
            # Nobody may pair in a shared worker: connect() would never return from Go.
            return self._raise(signals.EngineStopped(detail="the stored device is gone"))
        now = time.time()
        seconds = NEXT_CODE_SECONDS if self._codes else FIRST_CODE_SECONDS
        self._first_code_at, self._last_code_at = self._first_code_at or now, now
        self._codes += 1
        expires_at_ms = round((now + seconds) * 1000)
        return self._raise(signals.QrCode(code=code.decode(), expires_at_ms=expires_at_ms))

    def _on_login_status(self, status: str) -> None:
        self._entered.set()
        if status == "success":
            return self._expect_login(self._restart)
        shown_seconds = time.time() - self._last_code_at if self._codes else 0.0
        return self._raise(login_end(status, shown_seconds=shown_seconds))

    def _expect_login(self, otherwise: Callable[[], None]) -> None:
        timer = threading.Timer(RESTART_SECONDS, self._unless_connected, args=(otherwise,))
        timer.daemon = True
        timer.start()

    def _unless_connected(self, otherwise: Callable[[], None]) -> None:
        if not self._connected.is_set() and self._running and not self._ended:
            otherwise()

    def _restart(self) -> None:
        """Start again on the device just paired: WhatsApp's restart request may have been lost."""
        self.disconnect()
        with self._changes, self._gate.changing():
            old, self._library = self._library, self._make()
            old.stop()
        self._entered.clear()
        with contextlib.suppress(NotRunning):
            self.start()
        self._expect_login(lambda: self._raise(signals.RestartTimedOut()))

    def _raise(self, signal: signals.Signal) -> None:
        if self._ended:
            return
        if isinstance(signal, signals.Connected):
            self._connected.set()
        if isinstance(signal, signals.FINAL):
            self._ended = True
        self._post(signal)
        if self._ended:
            # Not from here: this may be the thread that the stop waits for.
            threading.Thread(target=self.close, daemon=True).start()
