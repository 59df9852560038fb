"""Linking a companion: the offered QR codes, and what the phone does once it has one."""

import asyncio
import base64
import binascii
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import protobuf
from .account import Account, Companion
from .errors import Conflict, Refused
from .iq import Iq
from .node import LID_SERVER, PHONE_SERVER, Jid, Node
from .pairing_code import CodeLink
from .protobuf import Fields
from .stream import Stream
from .xeddsa import DJB_KEY_TYPE, verify

ACCOUNT_SIGNATURE_PREFIX = b"\x06\x00"
DEVICE_SIGNATURE_PREFIX = b"\x06\x01"
PAIRING_TIMEOUT_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class QrCode:
    """What a phone reads from a QR code."""

    ref: str
    noise_key: bytes
    identity: bytes
    adv_secret: bytes

    @classmethod
    def parse(cls, text: str) -> "QrCode":
        """Read `https://...#ref,noise key,identity,ADV secret,platform` (keys in base64)."""
        try:
            ref, *keys, _platform = text.rpartition("#")[2].split(",")
            noise_key, identity, adv_secret = map(base64.b64decode, keys)
        except (ValueError, binascii.Error):
            raise Refused("This is not a QR code of WhatsApp.") from None
        return cls(ref, noise_key, identity, adv_secret)


@dataclass(frozen=True, slots=True)
class PendingLink:
    """A link that waits for the companion's signature."""

    account: Account
    device: int
    details: bytes
    request_id: str


class Candidate:
    """A connected device that is linked to no account yet."""

    def __init__(self, stream: Stream, payload: Fields) -> None:
        keys = payload.message(19)
        self._stream = stream
        self._registration_id = int.from_bytes(keys.data(1), "big")
        self.identity = keys.data(3)
        self._signed_prekey_id = int.from_bytes(keys.data(4), "big")
        self._signed_prekey, self._signature = keys.data(5), keys.data(6)
        if not verify(self.identity, DJB_KEY_TYPE + self._signed_prekey, self._signature):
            raise Refused("The device's signed prekey has a wrong signature.")
        self.refs: list[str] = []
        self.code: CodeLink | None = None
        self._pending: PendingLink | None = None
        self._paired: asyncio.Future[Companion] = asyncio.get_running_loop().create_future()

    def offer(self, count: int) -> None:
        """Send the refs of which the device makes QR codes, one after the other."""
        self.refs = [f"2@{os.urandom(24).hex()}" for _ in range(count)]
        refs = [Node("ref", {}, ref.encode()) for ref in self.refs]
        self._stream.request("md", Node("pair-device", {}, refs))

    def link_by_qr(self, code: QrCode, account: Account) -> None:
        """What the phone does with a scanned code."""
        if code.identity != self.identity or code.noise_key != self._stream.noise_key:
            raise Refused("The QR code carries other keys than the device has.")
        self.link(account, code.adv_secret)

    def link(self, account: Account, adv_secret: bytes) -> None:
        """Send the phone's signature of the device, which the device must countersign."""
        device = account.next_device()
        details = protobuf.encode((1, secrets.randbits(31)), (2, int(time.time())), (3, device))
        phone = account.keys.identity
        signature = phone.sign(ACCOUNT_SIGNATURE_PREFIX + details + self.identity)
        signed = protobuf.encode((1, details), (2, phone.public), (3, signature))
        proof = hmac.digest(adv_secret, signed, "sha256")
        addresses = {
            "jid": Jid(account.phone, PHONE_SERVER, device),
            "lid": Jid(account.lid.user, LID_SERVER, device),
        }
        success = Node(
            "pair-success",
            {},
            [
                Node("device-identity", {}, protobuf.encode((1, signed), (2, proof))),
                Node("device", addresses),
                Node("platform", {"name": "android"}),
            ],
        )
        request_id = self._stream.request("md", success, t=int(time.time()))
        self._pending = PendingLink(account, device, details, request_id)

    async def paired(self) -> Companion:
        """Wait until the device has countersigned."""
        try:
            async with asyncio.timeout(PAIRING_TIMEOUT_SECONDS):
                return await asyncio.shield(self._paired)
        except TimeoutError:
            raise Conflict("The device has not finished linking in time.") from None

    def fail(self, reason: Refused) -> None:
        """End the wait for the device; the human may try again."""
        failed, self._paired = self._paired, asyncio.get_running_loop().create_future()
        if not failed.done():
            failed.set_exception(reason)
            # A device may go while nobody links it: then nobody asks for the reason either.
            failed.exception()

    def handle(self, stanza: Node, on_code: Callable[[str, "Candidate"], None]) -> None:
        """Answer a stanza; `on_code` hears for which phone number a pairing code was asked."""
        if stanza.tag != "iq":
            return None
        if stanza.text("type") in ("result", "error"):
            return self._countersigned(stanza)
        iq = Iq(self._stream, stanza)
        if iq.subject != ("md", "set", "link_code_companion_reg"):
            return iq.result()
        if iq.body.text("stage") == "companion_hello":
            self.code = CodeLink.begin(iq)
            return on_code(iq.body.jid("jid").user, self)
        return self._code_entered(iq)

    def _code_entered(self, iq: Iq) -> None:
        if self.code is None:
            return iq.error(400, "bad-request")
        try:
            account, adv_secret = self.code.finish(iq.body, self.identity)
        except Refused as reason:
            self.fail(reason)
            return iq.error(401, "not-authorized")
        iq.result()
        return self.link(account, adv_secret)

    def _countersigned(self, stanza: Node) -> None:
        pending = self._pending
        if pending is None or stanza.text("id") != pending.request_id:
            return None
        self._pending = None
        signed = Fields(stanza.child("pair-device-sign", "device-identity").data)
        phone = pending.account.keys.identity.public
        statement = DEVICE_SIGNATURE_PREFIX + pending.details + self.identity + phone
        if not verify(self.identity, statement, signed.data(4)):
            return self.fail(Conflict("The device's countersignature is wrong."))
        companion = self._companion(pending)
        pending.account.companions[companion.device] = companion
        if not self._paired.done():
            self._paired.set_result(companion)
        # The device has to log in with its new credentials, on a new stream.
        return self._stream.end(Node("stream:error", {"code": 515}))

    def _companion(self, pending: PendingLink) -> Companion:
        return Companion(
            pending.account,
            pending.device,
            self._registration_id,
            self.identity,
            self._stream.noise_key,
            self._signed_prekey_id,
            self._signed_prekey,
            self._signature,
        )
