"""A group's sender key: one chain and one signing key per sending device."""

import hmac
import os
import secrets

from . import protobuf
from .double_ratchet import VERSION, Undecryptable, decrypt_cbc, encrypt_cbc
from .hkdf import hkdf
from .protobuf import Fields
from .xeddsa import SIGNATURE_BYTES, KeyPair, verify


class SenderKey:
    """The key by which a device writes to a group, or by which we read what it writes."""

    def __init__(
        self, key_id: int, iteration: int, chain_key: bytes, signing_key: KeyPair | bytes
    ) -> None:
        self._key_id, self._iteration, self._chain_key = key_id, iteration, chain_key
        self._signing_key = signing_key

    @classmethod
    def generate(cls) -> "SenderKey":
        return cls(secrets.randbits(31), 0, os.urandom(32), KeyPair())

    @classmethod
    def from_distribution(cls, message: bytes) -> "SenderKey":
        """Read the SenderKeyDistributionMessage by which a device tells its key."""
        fields = Fields(message[1:])
        return cls(fields.integer(1), fields.integer(2, 0), fields.data(3), fields.data(4)[1:])

    def distribution(self) -> bytes:
        """The SenderKeyDistributionMessage of our own key."""
        return VERSION + protobuf.encode(
            (1, self._key_id),
            (2, self._iteration),
            (3, self._chain_key),
            (4, self._own_key().typed_public),
        )

    def encrypt(self, plaintext: bytes) -> bytes:
        iteration = self._iteration
        iv, key = self._step()
        ciphertext = encrypt_cbc(key, iv, plaintext)
        body = VERSION + protobuf.encode((1, self._key_id), (2, iteration), (3, ciphertext))
        return body + self._own_key().sign(body)

    def decrypt(self, message: bytes) -> bytes:
        body, signature = message[:-SIGNATURE_BYTES], message[-SIGNATURE_BYTES:]
        public = self._signing_key
        if isinstance(public, KeyPair) or not verify(public, body, signature):
            raise Undecryptable("wrong signature of a sender key")
        fields = Fields(body[1:])
        while self._iteration < fields.integer(2, 0):
            self._step()
        iv, key = self._step()
        return decrypt_cbc(key, iv, fields.data(3))

    def _own_key(self) -> KeyPair:
        if not isinstance(self._signing_key, KeyPair):
            raise TypeError("this sender key is somebody else's")
        return self._signing_key

    def _step(self) -> tuple[bytes, bytes]:
        seed = hmac.digest(self._chain_key, b"\x01", "sha256")
        okm = hkdf(seed, info=b"WhisperGroup", size=48)
        self._chain_key = hmac.digest(self._chain_key, b"\x02", "sha256")
        self._iteration += 1
        return okm[:16], okm[16:]
