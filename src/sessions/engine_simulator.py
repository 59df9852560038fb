"""The engine for frontends, tests and benchmarks: a scripted phone per session, no WhatsApp.

It does what the real one does by the same port; the methods below `has_credentials` are the hands
that hold the phones. One event loop runs it all; only credentials are files, written in threads.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

from sessions.clock import Clock
from sessions.engine import Connection
from sessions.engine_simulator_files import Credentials
from sessions.engine_simulator_line import SimulatedConnection
from sessions.engine_simulator_phone import (
    Account,
    Kept,
    ReceiptStatus,
    SentText,
    SimulatedPhone,
    account_of,
)
from sessions.engine_simulator_script import (
    OPEN_FAULTS,
    PASSING_FAULTS,
    SEND_FAULTS,
    Fault,
    FaultKind,
    Script,
)
from sessions.errors import (
    EngineUnavailable,
    NotConnected,
    PairingRefused,
    QrNotAvailable,
    SessionNotActive,
)
from sessions.ids import SessionId
from sessions.messages import EngineMessage, parse_recipient
from sessions.signals import MessageReceived

OPEN_TIMEOUT_SECONDS = 60
FIRST_OWN_NUMBER = 447700900000
STRANGER = "447700960000"


class SimulatorEngine:
    """An `Engine` whose phones are told what to do; in the script None switches a step off.

    Args:
        clock: dates what happens and says when it is due; waits are real.
        directory: keeps credentials, one JSON file per session, over restarts; read (blocking)
            here. None keeps them in memory.
        qr_lifetimes_seconds: how long each code of a login attempt can be scanned.
        login_seconds: from the accepted code to the complete login.
        auto_scan_seconds: a phone scans by itself so long after the first code.
        delivered_after_seconds: when the other side gets a text.
        read_after_seconds: when the other side reads it.
        send_timeout_seconds: how long a send waits for an answer that does not come.
        unknown_prefix: numbers that start so are not on WhatsApp, and get no pairing code.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        directory: Path | None = None,
        qr_lifetimes_seconds: Sequence[float] = (60, 20, 20, 20, 20, 20),
        login_seconds: float = 0.05,
        auto_scan_seconds: float | None = None,
        delivered_after_seconds: float | None = 0.3,
        read_after_seconds: float | None = 1.0,
        send_timeout_seconds: float = 10.0,
        unknown_prefix: str = "000",
    ) -> None:
        self._clock = clock
        self._script = Script(
            qr_lifetimes_seconds=qr_lifetimes_seconds,
            login_seconds=login_seconds,
            auto_scan_seconds=auto_scan_seconds,
            delivered_after_seconds=delivered_after_seconds,
            read_after_seconds=read_after_seconds,
            send_timeout_seconds=send_timeout_seconds,
            unknown_prefix=unknown_prefix,
        )
        self._numbers = count(FIRST_OWN_NUMBER)
        self._phones: dict[SessionId, SimulatedPhone] = {}
        self._lines: dict[SessionId, SimulatedConnection] = {}
        self._serving = asyncio.Event()
        self._credentials = Credentials(directory)
        for session, account in self._credentials.load().items():
            phone = self.phone(session)
            phone.account, phone.corrupted = account, account is None

    async def run(self) -> None:
        """Serve until cancelled; then every open connection ends."""
        self._serving.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._serving.clear()
            for line in self._lines.values():
                line.stop()

    @asynccontextmanager
    async def open(self, session: SessionId) -> AsyncIterator[Connection]:
        """Connect a session's phone."""
        await self._wait_serving()
        if session in self._lines:
            raise RuntimeError(f"session {session} has an open connection already")
        phone = self.phone(session)
        if phone.open_faults and phone.open_faults[0].kind is FaultKind.ENGINE_UNAVAILABLE:
            phone.open_faults.popleft()
            raise EngineUnavailable
        line = SimulatedConnection(phone, partial(self._save, session))
        self._lines[session] = line
        try:
            line.start()
            yield line
        finally:
            del self._lines[session]
            line.close()
            # A phone scanned the code, and nobody was told: the login counts all the same.
            with contextlib.suppress(EngineUnavailable):
                await self._save(session)

    async def forget(self, session: SessionId) -> None:
        """Remove a session's credentials and its phone. Idempotent."""
        if session in self._lines:
            raise RuntimeError(f"session {session} has an open connection")
        await self._credentials.save(session, None)
        self._phones.pop(session, None)

    def has_credentials(self, session: SessionId) -> bool:
        """Tell whether the session has a linked device, or what is left of one."""
        phone = self._phones.get(session)
        return phone is not None and (phone.account is not None or phone.corrupted)

    def scan(
        self,
        session: SessionId,
        *,
        phone: str | None = None,
        push_name: str | None = None,
        lid: str | None = None,
    ) -> Account:
        """Scan the code that the session shows; `phone` and `lid` are digits.

        Raises:
            QrNotAvailable: it shows none.
        """
        line = self._lines.get(session)
        if line is None:
            raise QrNotAvailable
        number = phone or self.phone(session).own_number
        account = account_of(number, push_name=push_name, lid=lid)
        line.scan(account)
        return account

    def enter_code(self, session: SessionId, code: str) -> Account:
        """Type a pairing code, with or without `-`, on the phone that it was made for.

        Raises:
            PairingRefused: it is not the session's current pairing code.
        """
        line = self._lines.get(session)
        if line is None:
            raise PairingRefused("The gateway shows no pairing code now.")
        account = account_of(line.requested_phone(code))
        line.scan(account)
        return account

    def receive(self, session: SessionId, message: EngineMessage) -> None:
        """Let WhatsApp deliver a message, now or when the session's line is open again.

        Raises:
            SessionNotActive: no phone is linked.
        """
        self.post(session, MessageReceived(message=message))

    def write(
        self,
        session: SessionId,
        text: str,
        *,
        sender: str = STRANGER,
        chat: str | None = None,
        push_name: str | None = None,
    ) -> EngineMessage:
        """Let someone write a text: `sender` is a number or JID, `chat` too if it is another one.

        With the account's own number the text comes from its own phone.

        Raises:
            SessionNotActive: no phone is linked.
            InvalidRecipient: the sender or chat is neither a number nor a JID.
        """
        account = self._linked(session)
        author = parse_recipient(sender)
        from_me = author == account.jid
        message = self.phone(session).message(
            text,
            sender=author,
            chat=parse_recipient(chat or (STRANGER if from_me else sender)),
            from_me=from_me,
            push_name=push_name,
        )
        self.receive(session, message)
        return message

    def burst(
        self, session: SessionId, amount: int, *, sender: str = STRANGER, text: str = "message"
    ) -> list[EngineMessage]:
        """Let someone write so many texts at once, numbered from 1."""
        numbers = range(1, amount + 1)
        return [self.write(session, f"{text} {number}", sender=sender) for number in numbers]

    def receipt(
        self, session: SessionId, whatsapp_ids: Iterable[str], status: ReceiptStatus
    ) -> None:
        """Let the other side confirm messages of one chat.

        Raises:
            SessionNotActive: no phone is linked.
        """
        self._linked(session)
        self.phone(session).confirm(whatsapp_ids, status)

    def post(self, session: SessionId, signal: Kept) -> None:
        """Put any signal that WhatsApp keeps for a device into its mailbox.

        Raises:
            SessionNotActive: no phone is linked.
        """
        self._linked(session)
        self.phone(session).post(signal)

    def fault(
        self,
        session: SessionId,
        kind: FaultKind | str,
        *,
        seconds: float | None = None,
        amount: int = 1,
    ) -> None:
        """Make something go wrong: now, or for a closed line at its next `open`.

        `seconds` is how long a passing fault or a ban lasts, `amount` how many sends are hit.

        Raises:
            NotConnected: a fault that passes, and the session is not connected.
            ValueError: there is no such kind.
        """
        fault = Fault(kind=FaultKind(kind), seconds=seconds, count=amount)
        line = self._lines.get(session)
        if fault.kind in SEND_FAULTS:
            self.phone(session).send_faults.extend([fault] * fault.count)
        elif line is not None and not line.ended and fault.kind not in OPEN_FAULTS:
            line.strike(fault)
        elif fault.kind in PASSING_FAULTS:
            raise NotConnected("The session is not connected, so this fault has nothing to hit.")
        else:
            self.phone(session).open_faults.append(fault)

    def sent(self, session: SessionId) -> list[SentText]:
        """Return what arrived from the session at the other side, in order."""
        phone = self._phones.get(session)
        return [] if phone is None else list(phone.sent)

    def phone(self, session: SessionId) -> SimulatedPhone:
        """Return the session's phone, which knows what the other sides were shown."""
        if session not in self._phones:
            number = str(next(self._numbers))
            self._phones[session] = SimulatedPhone(self._clock, self._script, own_number=number)
        return self._phones[session]

    async def _wait_serving(self) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                await self._serving.wait()
        except TimeoutError:
            raise EngineUnavailable from None

    def _linked(self, session: SessionId) -> Account:
        phone = self._phones.get(session)
        if phone is None or phone.account is None:
            raise SessionNotActive("No phone is linked. Activate the session and scan its QR code.")
        return phone.account

    async def _save(self, session: SessionId) -> None:
        phone = self._phones[session]
        if not phone.corrupted:
            await self._credentials.save(session, phone.account)
