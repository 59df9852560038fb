"""Linking by an eight-character code that the human types into the phone."""

import asyncio
import hashlib
import os
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .account import Account
from .errors import Conflict
from .hkdf import hkdf
from .iq import Iq
from .node import SERVER, Attributes, Node
from .stream import Stream
from .xeddsa import KeyPair

REG = "link_code_companion_reg"
PBKDF2_ITERATIONS = 1 << 17
SALT_BYTES, IV_BYTES, NONCE_BYTES = 32, 16, 12
BUNDLE_INFO = b"link_code_pairing_key_bundle_encryption_key"


class CodeLink:
    """One attempt: `begin` when the companion shows a code, `enter` it, `finish` by its answer."""

    def __init__(self, stream: Stream, wrapped_companion_key: bytes) -> None:
        self._stream = stream
        self._wrapped_companion_key = wrapped_companion_key
        self._ref = os.urandom(16)
        self._ephemeral = KeyPair()
        self._companion_ephemeral = b""
        self._account: Account | None = None

    @classmethod
    def begin(cls, iq: Iq) -> "CodeLink":
        """Answer the companion's hello, in which its key is wrapped by the code."""
        wrapped = iq.body.child("link_code_pairing_wrapped_companion_ephemeral_pub").data
        link = cls(iq.stream, wrapped)
        ref = Node("link_code_pairing_ref", {}, link._ref)
        iq.result(Node(REG, {"stage": "companion_hello"}, [ref]))
        return link

    async def enter(self, code: str, account: Account) -> None:
        """What the phone does when the human has typed the code."""
        # PBKDF2 takes 50 ms: in a thread, so that other streams are not held up.
        salt, iv = os.urandom(SALT_BYTES), os.urandom(IV_BYTES)
        wrapped = self._wrapped_companion_key
        self._companion_ephemeral = await asyncio.to_thread(_unwrap, code, wrapped)
        primary = await asyncio.to_thread(_wrap, code, salt, iv, self._ephemeral.public)
        self._account = account
        children = [
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, salt + iv + primary),
            Node("primary_identity_pub", {}, account.keys.identity.public),
            Node("link_code_pairing_ref", {}, self._ref),
        ]
        hello = Node(REG, {"stage": "primary_hello"}, children)
        stanza_id, now = os.urandom(8).hex(), int(time.time())
        attrs: Attributes = {"from": SERVER, "type": REG, "id": stanza_id, "t": now}
        self._stream.send(Node("notification", attrs, [hello]))

    def finish(self, answer: Node, identity: bytes) -> tuple[Account, bytes]:
        """The account to link to and the ADV secret, from the companion's key bundle."""
        if self._account is None:
            raise Conflict("The device finishes a pairing for which nobody has entered a code.")
        phone = self._account.keys.identity
        shared = self._ephemeral.exchange(self._companion_ephemeral)
        wrapped = answer.child("link_code_pairing_wrapped_key_bundle").data
        bundle = _open_bundle(shared, wrapped)
        if bundle[:64] != identity + phone.public:
            raise Conflict("The device's key bundle names other identities.")
        secret = shared + phone.exchange(identity) + bundle[64:96]
        return self._account, hkdf(secret, info=b"adv_secret", size=32)


def _open_bundle(shared: bytes, wrapped: bytes) -> bytes:
    salt, nonce = wrapped[:SALT_BYTES], wrapped[SALT_BYTES : SALT_BYTES + NONCE_BYTES]
    key = hkdf(shared, salt=salt, info=BUNDLE_INFO, size=32)
    try:
        return AESGCM(key).decrypt(nonce, wrapped[SALT_BYTES + NONCE_BYTES :], None)
    except InvalidTag:
        raise Conflict("The pairing code is wrong.") from None


def _unwrap(code: str, wrapped: bytes) -> bytes:
    head = SALT_BYTES + IV_BYTES
    return _wrap(code, wrapped[:SALT_BYTES], wrapped[SALT_BYTES:head], wrapped[head:])


def _wrap(code: str, salt: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-CTR under the code's key, which is its own reverse."""
    typed = code.replace("-", "").upper().encode()
    key = hashlib.pbkdf2_hmac("sha256", typed, salt, PBKDF2_ITERATIONS, 32)
    return Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update(data)
