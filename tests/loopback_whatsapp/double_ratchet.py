"""A Signal session: X3DH key agreement and the double ratchet (message version 3)."""

import hmac
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from . import protobuf
from .hkdf import hkdf
from .protobuf import Fields
from .xeddsa import DJB_KEY_TYPE, KeyPair

VERSION = b"\x33"
MAC_BYTES = 8
X3DH_PREFIX = b"\xff" * 32

EncryptionType = Literal["pkmsg", "msg", "skmsg"]


class Undecryptable(ValueError):
    """No session can read the message."""


class ReadBefore(Undecryptable):
    """The same ciphertext has been read before: a copy of a message, which is not lost."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The public keys by which a session with a device is begun."""

    registration_id: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes
    prekey_id: int | None = None
    prekey: bytes | None = None


class MessageKeys(NamedTuple):
    cipher_key: bytes
    mac_key: bytes
    iv: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """A symmetric chain: the key, the number of its next message, keys of messages left out."""

    key: bytes
    counter: int = 0
    skipped: dict[int, MessageKeys] = field(default_factory=dict)

    def step(self) -> tuple["Chain", MessageKeys]:
        """The chain behind its next message, and that message's keys."""
        seed = hmac.digest(self.key, b"\x01", "sha256")
        okm = hkdf(seed, info=b"WhisperMessageKeys", size=80)
        keys = MessageKeys(okm[:32], okm[32:64], okm[64:])
        key = hmac.digest(self.key, b"\x02", "sha256")
        return replace(self, key=key, counter=self.counter + 1), keys

    def keys_of(self, counter: int) -> tuple["Chain", MessageKeys]:
        """The chain without a message, and that message's keys."""
        chain = replace(self, skipped=dict(self.skipped))
        while chain.counter <= counter:
            number = chain.counter
            chain, keys = chain.step()
            chain.skipped[number] = keys
        if counter not in chain.skipped:
            raise ReadBefore(f"message {counter} of the chain was read before")
        return chain, chain.skipped.pop(counter)


class Session:
    """One session of our identity key with another device; made by `initiate` or `respond`."""

    def __init__(
        self, identity: KeyPair, their_identity: bytes, ratchet: KeyPair, secret: bytes
    ) -> None:
        okm = hkdf(X3DH_PREFIX + secret, info=b"WhisperText", size=64)
        self._identity, self._their_identity = identity, their_identity
        self._ratchet = ratchet
        self._root, self._sending = okm[:32], Chain(okm[32:])
        self._receiving: dict[bytes, Chain] = {}
        self._previous_counter = 0
        self._pending_prekey: bytes | None = None

    @classmethod
    def initiate(cls, identity: KeyPair, registration_id: int, bundle: Bundle) -> "Session":
        """Begin a session with a device from its published bundle."""
        base = KeyPair()
        secret = identity.exchange(bundle.signed_prekey)
        secret += base.exchange(bundle.identity) + base.exchange(bundle.signed_prekey)
        if bundle.prekey is not None:
            secret += base.exchange(bundle.prekey)
        session = cls(identity, bundle.identity, KeyPair(), secret)
        session._start_sending_chain(bundle.signed_prekey)
        session._pending_prekey = protobuf.encode(
            (5, registration_id),
            (1, bundle.prekey_id),
            (6, bundle.signed_prekey_id),
            (2, base.typed_public),
            (3, identity.typed_public),
        )
        return session

    @classmethod
    def respond(
        cls,
        identity: KeyPair,
        their_identity: bytes,
        base: bytes,
        signed_prekey: KeyPair,
        prekey: KeyPair | None,
    ) -> "Session":
        """Take up the session that another device has begun with our bundle."""
        secret = signed_prekey.exchange(their_identity)
        secret += identity.exchange(base) + signed_prekey.exchange(base)
        if prekey is not None:
            secret += prekey.exchange(base)
        return cls(identity, their_identity, signed_prekey, secret)

    def encrypt(self, plaintext: bytes) -> tuple[EncryptionType, bytes]:
        """Encrypt; a `pkmsg` until the other side has answered in this session."""
        counter = self._sending.counter
        self._sending, keys = self._sending.step()
        body = VERSION + protobuf.encode(
            (1, self._ratchet.typed_public),
            (2, counter),
            (3, self._previous_counter),
            (4, encrypt_cbc(keys.cipher_key, keys.iv, plaintext)),
        )
        body += self._mac(keys, body, from_us=True)
        if self._pending_prekey is None:
            return "msg", body
        return "pkmsg", VERSION + self._pending_prekey + protobuf.encode((4, body))

    def decrypt(self, message: bytes) -> bytes:
        """Decrypt a `msg`; the state only changes when its authentication holds."""
        body, mac = message[:-MAC_BYTES], message[-MAC_BYTES:]
        fields = Fields(body[1:])
        their_ratchet = fields.data(1)[1:]
        root, chain = self._receiving_chain(their_ratchet)
        chain, keys = chain.keys_of(fields.integer(2, 0))
        if not hmac.compare_digest(mac, self._mac(keys, body, from_us=False)):
            raise Undecryptable("wrong authentication code")
        plaintext = decrypt_cbc(keys.cipher_key, keys.iv, fields.data(4))
        # Only now: a forged message must not move the ratchet, or the true one would be lost.
        is_new = their_ratchet not in self._receiving
        self._receiving[their_ratchet] = chain
        self._pending_prekey = None
        if is_new:
            self._root = root
            self._previous_counter, self._ratchet = self._sending.counter, KeyPair()
            self._start_sending_chain(their_ratchet)
        return plaintext

    def _receiving_chain(self, their_ratchet: bytes) -> tuple[bytes, Chain]:
        known = self._receiving.get(their_ratchet)
        if known is not None:
            return self._root, known
        return self._ratchet_step(their_ratchet)

    def _start_sending_chain(self, their_ratchet: bytes) -> None:
        self._root, self._sending = self._ratchet_step(their_ratchet)

    def _ratchet_step(self, their_ratchet: bytes) -> tuple[bytes, Chain]:
        secret = self._ratchet.exchange(their_ratchet)
        okm = hkdf(secret, salt=self._root, info=b"WhisperRatchet", size=64)
        return okm[:32], Chain(okm[32:])

    def _mac(self, keys: MessageKeys, body: bytes, *, from_us: bool) -> bytes:
        ours, theirs = self._identity.typed_public, DJB_KEY_TYPE + self._their_identity
        sender_first = ours + theirs if from_us else theirs + ours
        return hmac.digest(keys.mac_key, sender_first + body, "sha256")[:MAC_BYTES]


def encrypt_cbc(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """AES-256-CBC with PKCS #7 padding."""
    padder, cipher = PKCS7(128).padder(), Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(plaintext) + padder.finalize()) + cipher.finalize()


def decrypt_cbc(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Reverse of `encrypt_cbc`."""
    unpadder, cipher = PKCS7(128).unpadder(), Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return unpadder.update(cipher.update(ciphertext) + cipher.finalize()) + unpadder.finalize()
