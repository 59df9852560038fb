"""The port to WhatsApp: an engine opens one connection per session."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from sessions.ids import SessionId
from sessions.messages import OutgoingText, Sent
from sessions.signals import Signal

ChatState = Literal["composing", "recording", "paused"]


@dataclass(frozen=True)
class PairingCode:
    """A code that a person types into the phone instead of scanning a QR code."""

    code: str = field(repr=False)
    expires_at: datetime


class Connection(Protocol):
    """One session's line to WhatsApp, from `open` until a final signal or the end of its block."""

    def signals(self) -> AsyncIterator[Sequence[Signal]]:
        """Yield what happened, in WhatsApp's order, in batches of one or more.

        Asking for the next batch acknowledges the previous one: only ask once it is committed.
        Unacknowledged signals (but `signals.TRANSIENT`) hold the line back, so WhatsApp keeps what
        follows. Called once. Ends after a signal in `signals.FINAL`, which is the last of its
        batch; it does not raise for anything WhatsApp or the engine process does.
        """
        ...

    async def send(self, message: OutgoingText) -> Sent:
        """Send one text and return what WhatsApp answered. One at a time per connection.

        Raises:
            NotOnWhatsApp, SendFailed: certainly not sent, and would not be on another try.
            NotConnected: certainly not sent; try again after `Connected`.
            SendUncertain: no answer in time, or the engine died meanwhile.
        """
        ...

    async def pair_phone(self, phone: str) -> PairingCode:
        """Ask for a pairing code for the account with this number (digits), after a `QrCode`.

        Raises:
            PairingRefused: WhatsApp gave none; the QR code stays usable.
        """
        ...

    async def logout(self) -> None:
        """Unlink this device at WhatsApp. `LoggedOut` need not follow.

        Raises:
            NotConnected: there is no line now; the phone's owner must unlink it there.
        """
        ...


@runtime_checkable
class Receipts(Protocol):
    """A power that a connection may have: telling senders that their messages were read."""

    async def mark_read(self, chat: str, sender: str | None, whatsapp_ids: Sequence[str]) -> None:
        """Tell that messages of one sender in one chat were read; `sender` for groups only.

        Raises:
            NotConnected: there is no line now.
            SendFailed: WhatsApp refused it.
        """
        ...


@runtime_checkable
class Presence(Protocol):
    """A power that a connection may have: showing that somebody is there, or is typing."""

    async def show_presence(self, *, available: bool) -> None:
        """Show the account as online or not.

        Raises:
            NotConnected: there is no line now.
            SendFailed: WhatsApp refused it, as it does for an account without a name.
        """
        ...

    async def show_typing(self, chat: str, state: ChatState) -> None:
        """Show in a chat that somebody is typing or recording, or has stopped.

        Raises:
            NotConnected: there is no line now.
            SendFailed: WhatsApp refused it.
        """
        ...


class Engine(Protocol):
    """Talks to WhatsApp for many sessions, each with credentials in a store of its own."""

    async def run(self) -> None:
        """Serve until cancelled; `open` waits for it. Leaves no process behind."""
        ...

    def open(self, session: SessionId) -> AbstractAsyncContextManager[Connection]:
        """Connect a session: with its stored credentials, or if it has none by `QrCode` signals.

        Entering may wait for its turn, as connections start one by one, but at most for 60 s.
        Leaving closes the line in order and keeps the credentials; whatever it held is freed. One
        open connection per session at a time.

        Raises:
            EngineUnavailable: no engine process could be had.
        """
        ...

    async def forget(self, session: SessionId) -> None:
        """Remove a session's credentials: every row and file. Idempotent.

        No connection of the session may be open.

        Raises:
            EngineUnavailable: the store can't be changed now.
        """
        ...

    def has_credentials(self, session: SessionId) -> bool:
        """Tell whether the session's store holds a linked device, without connecting. Blocks."""
        ...
