"""The whole of the loopback WhatsApp's state: one event loop owns it, so that it needs no locks."""

import asyncio
from collections.abc import Callable
from typing import Any

from .account import Account, Companion, Directory
from .errors import NotFound, Refused
from .faults import Faults
from .groups import Groups
from .noise import certificate_chain
from .pairing import Candidate, QrCode
from .stream import Stream
from .xeddsa import KeyPair


class Network:
    """Accounts, groups, devices that want to be linked, and faults."""

    def __init__(self) -> None:
        self.root, self.static = KeyPair(), KeyPair()
        self.certificate_chain = certificate_chain(self.root, self.static.public)
        self.directory = Directory()
        self.groups = Groups(self.directory)
        self.faults = Faults()
        self.media: dict[str, bytes] = {}
        self.streams: set[Stream] = set()
        self._by_ref: dict[str, Candidate] = {}
        self._by_phone: dict[str, Candidate] = {}

    @property
    def connections(self) -> int:
        """How many streams are in use; one that the server has ended is not."""
        return sum(not stream.ending for stream in self.streams)

    def offer_pairing(self, candidate: Candidate) -> None:
        """Offer QR codes to a device, by which a phone will find it."""
        candidate.offer(self.faults.qr_refs)
        self._by_ref.update(dict.fromkeys(candidate.refs, candidate))

    def offer_code(self, phone: str, candidate: Candidate) -> None:
        """Let the phone of a number link a device by a pairing code."""
        self._by_phone[phone] = candidate

    def withdraw_pairing(self, candidate: Candidate) -> None:
        """Forget a device that has gone."""
        for ref in candidate.refs:
            self._by_ref.pop(ref, None)
        for phone in [phone for phone, other in self._by_phone.items() if other is candidate]:
            del self._by_phone[phone]
        candidate.fail(Refused("The device has gone while it was linked."))

    async def scan(self, qr: str, account: Account) -> Companion:
        """Scan a QR code with a phone; return when the device is linked."""
        code = QrCode.parse(qr)
        candidate = self._by_ref.get(code.ref)
        if candidate is None:
            raise NotFound("This QR code is unknown or no longer valid.")
        # A code may be scanned as long as its device is connected, though it shows the next one.
        candidate.link_by_qr(code, account)
        return await candidate.paired()

    async def enter_code(self, code: str, account: Account) -> Companion:
        """Type a pairing code into a phone; return when the device is linked."""
        candidate = self._by_phone.get(account.phone)
        if candidate is None or candidate.code is None:
            raise NotFound(f"No device has asked for a pairing code for {account.phone}.")
        await candidate.code.enter(code, account)
        return await candidate.paired()

    def later(self, action: Callable[..., object], *args: Any) -> None:
        """Do something now, or after the delay of a slow server."""
        delay_seconds = self.faults.ack_delay_seconds
        if delay_seconds:
            asyncio.get_running_loop().call_later(delay_seconds, action, *args)
        else:
            action(*args)

    def drop(self, phone: str | None) -> int:
        """Break the connections of an account, or all; return how many."""
        streams = self._streams_of(phone)
        for stream in streams:
            stream.abort()
        return len(streams)

    def silence(self, phone: str | None, seconds: float) -> int:
        """Let nothing through on the connections of an account, or on any; return how many."""
        streams = self._streams_of(phone)
        for stream in streams:
            stream.hush(seconds)
        if phone is None:
            self.faults.be_silent(seconds)
        return len(streams)

    def end_silence(self) -> None:
        """Let through what was held back."""
        for stream in list(self.streams):
            stream.speak()

    def _streams_of(self, phone: str | None) -> list[Stream]:
        if phone is None:
            return list(self.streams)
        companions = self.directory.get(phone).companions.values()
        return [c.stream for c in companions if c.stream is not None]
