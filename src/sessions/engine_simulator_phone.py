"""The simulator's far side: a phone, and what WhatsApp remembers of one linked device.

Nothing here waits. What the device has not acknowledged stays in its mailbox until it is.
"""

import hashlib
import heapq
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sessions.clock import Clock, to_ms
from sessions.engine_simulator_script import Fault, Script
from sessions.errors import NotOnWhatsApp
from sessions.messages import (
    GROUP_SERVER,
    LID_SERVER,
    PHONE_SERVER,
    EngineMessage,
    MessageStatus,
    OutgoingText,
    Sent,
    WireModel,
)
from sessions.signals import HistoryReceived, MessageReceived, MessageUndecryptable, Receipt, Signal

Kept = MessageReceived | HistoryReceived | MessageUndecryptable | Receipt
"""What WhatsApp keeps for a device until it is acknowledged."""

ReceiptStatus = Literal[MessageStatus.DELIVERED, MessageStatus.READ, MessageStatus.PLAYED]


class Account(BaseModel):
    """The credentials of a linked device; phone and LID are digits."""

    model_config = ConfigDict(frozen=True)

    phone: str
    lid: str
    push_name: str | None = None

    @property
    def jid(self) -> str:
        """The account's JID by phone number."""
        return f"{self.phone}@{PHONE_SERVER}"


class SentText(WireModel):
    """A text that reached the other side."""

    whatsapp_id: str
    to: str
    text: str
    quoted_message_id: str | None = None
    timestamp_ms: int


@dataclass(order=True)
class Letter:
    """A signal on its way, due at a monotonic moment."""

    due: float
    number: int
    signal: Signal = field(compare=False)


def lid_of(phone: str) -> str:
    """Return the digits of the LID that belongs to a phone number: always the same ones."""
    digest = hashlib.sha256(phone.encode()).digest()
    return str(10**14 + int.from_bytes(digest[:6], "big") % 10**14)


def account_of(phone: str, *, push_name: str | None = None, lid: str | None = None) -> Account:
    """Return the account of a phone number (digits), with the usual names where none is given."""
    return Account(
        phone=phone, lid=lid or lid_of(phone), push_name=push_name or f"Phone {phone[-4:]}"
    )


class SimulatedPhone:
    """One session's phone: its account, who wrote to it, and what it sent."""

    def __init__(self, clock: Clock, script: Script, *, own_number: str) -> None:
        self.clock = clock
        self.script = script
        self.own_number = own_number
        self.account: Account | None = None
        self.corrupted = False
        self.banned_until: datetime | None = None
        self.open_faults: deque[Fault] = deque()
        self.send_faults: deque[Fault] = deque()
        self.sent: deque[SentText] = deque(maxlen=10_000)
        self.read_marks: deque[str] = deque(maxlen=10_000)
        """WhatsApp's ids of the messages that the other sides know to be read."""
        self.shown: deque[str] = deque(maxlen=1_000)
        """What the account let others see: `available`, or a chat with `composing`."""
        self.on_post: Callable[[], None] = lambda: None
        """Called when something comes into the mailbox."""
        self._mailbox: list[Letter] = []
        self._stamps = 0
        self._phones: dict[str, str] = {}

    def own_account(self, *, push_name: str | None = None) -> Account:
        """Return the account of the phone that scans when nobody says which one."""
        return account_of(self.own_number, push_name=push_name)

    def unlink(self) -> None:
        """Remove the device, and what was kept for it."""
        self.account = None
        self.corrupted = False
        self.banned_until = None
        self._mailbox.clear()

    def stamp(self, signal: Signal, *, after_seconds: float = 0.0) -> Letter:
        """Make a letter; those due at the same moment keep the order in which they were made."""
        self._stamps += 1
        return Letter(self.clock.monotonic() + after_seconds, self._stamps, signal)

    def post(self, signal: Kept, *, after_seconds: float = 0.0) -> None:
        """Put something into the device's mailbox."""
        heapq.heappush(self._mailbox, self.stamp(signal, after_seconds=after_seconds))
        self.on_post()

    def put_back(self, letters: Iterable[Letter]) -> None:
        """Keep what a line took and the device did not acknowledge, at its old place."""
        for letter in letters:
            if self.account is not None and isinstance(letter.signal, Kept):
                heapq.heappush(self._mailbox, letter)

    def next_due(self) -> float | None:
        """Return the monotonic moment of the first letter, None if the mailbox is empty."""
        return self._mailbox[0].due if self._mailbox else None

    def take(self) -> Letter:
        """Take the first letter out of the mailbox."""
        return heapq.heappop(self._mailbox)

    def accept(self, text: OutgoingText) -> Sent:
        """Carry a text to its recipient, and schedule the receipts.

        Raises:
            NotOnWhatsApp: the number starts with the script's `unknown_prefix`.
        """
        if text.to.startswith(self.script.unknown_prefix):
            raise NotOnWhatsApp
        sent = SentText(
            whatsapp_id="3EB0" + os.urandom(9).hex().upper(),
            to=text.to,
            text=text.text,
            quoted_message_id=text.quoted_message_id,
            timestamp_ms=to_ms(self.clock.now()),
        )
        self.sent.append(sent)
        self._answer(sent, MessageStatus.DELIVERED, self.script.delivered_after_seconds)
        self._answer(sent, MessageStatus.READ, self.script.read_after_seconds)
        phone, lid = self.names(text.to)
        return Sent(
            whatsapp_id=sent.whatsapp_id, timestamp_ms=sent.timestamp_ms, phone=phone, lid=lid
        )

    def _answer(self, sent: SentText, status: ReceiptStatus, seconds: float | None) -> None:
        if seconds is None:
            return
        receipt = Receipt(
            whatsapp_ids=(sent.whatsapp_id,),
            chat=sent.to,
            status=status,
            timestamp_ms=sent.timestamp_ms + round(seconds * 1000),
        )
        self.post(receipt, after_seconds=seconds)

    def confirm(self, whatsapp_ids: Iterable[str], status: ReceiptStatus) -> None:
        """Post the recipients' receipt for messages of one chat; unknown ids are passed on too."""
        ids = tuple(whatsapp_ids)
        chat = next((sent.to for sent in reversed(self.sent) if sent.whatsapp_id in ids), "")
        now_ms = to_ms(self.clock.now())
        self.post(Receipt(whatsapp_ids=ids, chat=chat, status=status, timestamp_ms=now_ms))

    def names(self, jid: str) -> tuple[str | None, str | None]:
        """Return the digits of a person's phone number and LID, None where they are not known."""
        user, _, server = jid.partition("@")
        if server == LID_SERVER:
            return self._phones.get(user), user
        if server != PHONE_SERVER:
            return None, None
        self._phones[lid_of(user)] = user
        return user, lid_of(user)

    def message(
        self, text: str, *, sender: str, chat: str, from_me: bool, push_name: str | None
    ) -> EngineMessage:
        """Return a message that someone (JID) writes in one of the account's chats (JID)."""
        phone, lid = self.names(chat if from_me else sender)
        return EngineMessage(
            whatsapp_id="3A" + os.urandom(9).hex().upper(),
            chat=chat,
            sender=sender,
            phone=phone,
            lid=lid,
            from_me=from_me,
            is_group=chat.endswith("@" + GROUP_SERVER),
            push_name=push_name,
            text=text,
            timestamp_ms=to_ms(self.clock.now()),
        )
