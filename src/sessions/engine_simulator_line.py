"""A simulated connection: pairing, login, faults and the end of a session's line."""

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import partial
from itertools import accumulate

from sessions.clock import from_ms, to_ms
from sessions.engine import ChatState, PairingCode
from sessions.engine_simulator_phone import Account, SimulatedPhone
from sessions.engine_simulator_script import REFUSALS, Fault, FaultKind, ban_until, ending
from sessions.engine_simulator_wire import Wire
from sessions.errors import (
    EngineUnavailable,
    NotConnected,
    PairingRefused,
    QrNotAvailable,
    SendUncertain,
)
from sessions.messages import OutgoingText, Sent
from sessions.signals import (
    FINAL,
    Connected,
    CredentialsCorrupted,
    Disconnected,
    EngineStopped,
    KeepAliveRestored,
    LoggedOut,
    Paired,
    QrCode,
    QrExhausted,
    Signal,
    TemporaryBan,
)

_CODE_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
_QR_PREFIX = "https://wa.me/settings/linked_devices#"


class State(Enum):
    """Where a connection stands."""

    LOGGING_IN = auto()
    SHOWING_QR = auto()
    ONLINE = auto()
    AWAY = auto()
    ENDED = auto()


class SimulatedConnection:
    """A `Connection` to a simulated phone; `save` stores its credentials before they are told."""

    def __init__(self, phone: SimulatedPhone, save: Callable[[], Awaitable[None]]) -> None:
        self._phone = phone
        self._clock = phone.clock
        self._script = phone.script
        self._save = save
        self._wire = Wire(phone)
        self._state = State.LOGGING_IN
        self._pairing: tuple[str, str] | None = None
        self._over = asyncio.Event()

    def start(self) -> None:
        """Log in with the phone's credentials, or show the first QR code."""
        phone = self._phone
        if phone.open_faults:
            self._end(ending(phone.open_faults.popleft(), self._clock.now()))
        elif phone.corrupted:
            self._end(CredentialsCorrupted(detail="the stored credentials can't be used"))
        elif phone.account is None:
            self._show_codes()
        elif phone.banned_until is not None and self._clock.now() < phone.banned_until:
            self._end(ban_until(phone.banned_until))
        else:
            self._log_in(phone.account)

    def close(self) -> None:
        """Hang up: whoever waits here ends."""
        self._enter(State.ENDED)
        self._wire.close()

    async def signals(self) -> AsyncIterator[Sequence[Signal]]:
        """Yield what happened; asking for the next batch acknowledges the previous one."""
        while batch := await self._wire.next_batch():
            if (failure := await self._stored()) is not None:
                self._enter(State.ENDED)
                yield [failure]
                return
            yield [letter.signal for letter in batch]
            self._wire.acknowledge()
            if isinstance(batch[-1].signal, FINAL):
                return

    async def _stored(self) -> EngineStopped | None:
        # A login that is told before its credentials are on disk would be lost by a restart.
        try:
            await self._save()
        except EngineUnavailable as error:
            return EngineStopped(detail=error.message)
        return None

    async def send(self, message: OutgoingText) -> Sent:
        """Send one text; a stream restart (515) is waited for."""
        self._wire.advance()
        while self.online and (seconds := self._wire.held_until - self._clock.monotonic()) > 0:
            await self._wait_over(seconds)
        if not self.online:
            raise NotConnected
        if not self._phone.send_faults:
            return self._phone.accept(message)
        fault = self._phone.send_faults.popleft()
        if fault.kind in REFUSALS:
            raise REFUSALS[fault.kind]
        # The worse of the two cases: the text arrives, only the answer does not.
        self._phone.accept(message)
        await self._wait_over(fault.lasts(self._script.send_timeout_seconds))
        raise SendUncertain

    async def mark_read(self, chat: str, sender: str | None, whatsapp_ids: Sequence[str]) -> None:
        """Let the other side's phone show that its messages were read."""
        self._wire.advance()
        self._require_online()
        self._phone.read_marks.extend(whatsapp_ids)

    async def show_presence(self, *, available: bool) -> None:
        """Show the account as online or not."""
        self._wire.advance()
        self._require_online()
        self._phone.shown.append("available" if available else "unavailable")

    async def show_typing(self, chat: str, state: ChatState) -> None:
        """Show in a chat that somebody is typing."""
        self._wire.advance()
        self._require_online()
        self._phone.shown.append(f"{chat} {state}")

    async def pair_phone(self, phone: str) -> PairingCode:
        """Return a code that `enter` accepts until this login attempt's last QR code expires."""
        self._wire.advance()
        if self._state is not State.SHOWING_QR or phone.startswith(self._script.unknown_prefix):
            raise PairingRefused
        code = "".join(secrets.choice(_CODE_ALPHABET) for _ in range(8))
        self._pairing = (code, phone)
        rest = timedelta(seconds=self._wire.seconds_to_last_step())
        return PairingCode(f"{code[:4]}-{code[4:]}", self._clock.now() + rest)

    async def logout(self) -> None:
        """Unlink this device; no signal follows."""
        self._wire.advance()
        if not self.online:
            raise NotConnected
        self._phone.unlink()
        self._wire.drop()
        self._enter(State.ENDED)
        await self._save()

    @property
    def online(self) -> bool:
        """Whether messages flow."""
        return self._state is State.ONLINE

    @property
    def ended(self) -> bool:
        """Whether nothing can happen on this line any more."""
        return self._state is State.ENDED

    def scan(self, account: Account) -> None:
        """Scan the QR code that is shown now.

        Raises:
            QrNotAvailable: there is none.
        """
        self._wire.advance()
        if self._state is not State.SHOWING_QR:
            raise QrNotAvailable
        self._link(account)

    def requested_phone(self, code: str) -> str:
        """Return the number that a pairing code was made for.

        Raises:
            PairingRefused: it is not the current code.
        """
        self._wire.advance()
        typed = code.replace("-", "").strip().upper()
        if self._state is not State.SHOWING_QR or self._pairing is None:
            raise PairingRefused("The gateway shows no pairing code now.")
        if not secrets.compare_digest(typed.encode(), self._pairing[0].encode()):
            raise PairingRefused("This is not the pairing code that the gateway shows now.")
        return self._pairing[1]

    def strike(self, fault: Fault) -> None:
        """Make a fault happen now; one that passes needs a connection that is online.

        Raises:
            NotConnected: there is nothing to disturb.
        """
        self._wire.advance()
        match fault.kind:
            case FaultKind.RESTART:
                self._require_online()
                self._wire.held_until = self._clock.monotonic() + fault.lasts(0.2)
            case FaultKind.SERVICE_UNAVAILABLE | FaultKind.STREAM_LOST:
                self._lose(Disconnected(detail=fault.kind), fault.lasts(2.0), self._log_in_again)
            case FaultKind.KEEPALIVE_LOST:
                lost = Disconnected(reason="keepalive_lost")
                self._lose(lost, fault.lasts(2.0), self._restore)
            case _:
                self._end(ending(fault, self._clock.now()))

    def stop(self) -> None:
        """End the line because its engine stops."""
        if not self.ended:
            self._end(EngineStopped(planned=True))

    def _require_online(self) -> None:
        if not self.online:
            raise NotConnected("The session is not connected, so this fault has nothing to hit.")

    def _enter(self, state: State) -> None:
        self._state = state
        self._wire.flowing = state is State.ONLINE
        if state is State.ENDED:
            self._wire.cancel_steps()
            self._over.set()

    async def _wait_over(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return

    def _show_codes(self) -> None:
        self._enter(State.SHOWING_QR)
        ends = list(accumulate(self._script.qr_lifetimes_seconds))
        opened_at = self._clock.now()
        for start, end in zip([0.0, *ends], ends, strict=False):
            expires_at = opened_at + timedelta(seconds=end)
            self._wire.after(start, partial(self._show, expires_at))
        self._wire.after(ends[-1], partial(self._end, QrExhausted()))
        if self._script.auto_scan_seconds is not None:
            self._wire.after(self._script.auto_scan_seconds, self._scan_by_itself)

    def _show(self, expires_at: datetime) -> None:
        secret = [base64.b64encode(os.urandom(32)).decode() for _ in range(4)]
        code = _QR_PREFIX + ",".join(["2@" + secret[0], *secret[1:], "1"])
        self._wire.tell(QrCode(code=code, expires_at_ms=to_ms(expires_at)))

    def _scan_by_itself(self) -> None:
        self._link(self._phone.own_account())

    def _link(self, account: Account) -> None:
        self._phone.account = account
        self._wire.cancel_steps()
        self._enter(State.LOGGING_IN)
        self._wire.tell(Paired(jid=account.jid, lid=account.lid, platform="simulator"))
        self._wire.after(self._script.login_seconds, partial(self._log_in, account))

    def _log_in(self, account: Account) -> None:
        self._wire.tell(
            Connected(
                jid=account.jid,
                phone=account.phone,
                lid=account.lid,
                push_name=account.push_name,
            )
        )
        self._enter(State.ONLINE)

    def _lose(self, signal: Signal, seconds: float, back: Callable[[], None]) -> None:
        self._require_online()
        self._wire.tell(signal)
        self._enter(State.AWAY)
        self._wire.after(seconds, back)

    def _log_in_again(self) -> None:
        if self._phone.account is not None:
            self._log_in(self._phone.account)

    def _restore(self) -> None:
        self._wire.tell(KeepAliveRestored())
        self._enter(State.ONLINE)

    def _end(self, signal: Signal) -> None:
        self._wire.tell(signal)
        match signal:
            case LoggedOut():
                self._phone.unlink()
            case CredentialsCorrupted():
                self._phone.corrupted = True
            case TemporaryBan(until_ms=int(until_ms)):
                self._phone.banned_until = from_ms(until_ms)
        self._enter(State.ENDED)
