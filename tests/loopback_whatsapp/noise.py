"""Noise_XX_25519_AESGCM_SHA256, the responder's side, with WhatsApp's two certificates."""

import hashlib
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import protobuf
from .hkdf import hkdf
from .protobuf import Fields
from .xeddsa import KeyPair

PATTERN = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
# The client's first bytes: "WA", protocol 6, dictionary version 3. They are also the prologue.
PROLOGUE = b"WA\x06\x03"
DAY_SECONDS = 86_400


class Cipher:
    """AES-256-GCM with a counter as nonce."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes, associated: bytes | None = None) -> bytes:
        return self._aead.encrypt(self._nonce(), plaintext, associated)

    def decrypt(self, ciphertext: bytes, associated: bytes | None = None) -> bytes:
        return self._aead.decrypt(self._nonce(), ciphertext, associated)

    def _nonce(self) -> bytes:
        nonce = self._counter.to_bytes(12, "big")
        self._counter += 1
        return nonce


class Handshake:
    """The symmetric state of a handshake: the hash, the chaining key and the current cipher."""

    def __init__(self) -> None:
        self._hash = self._chaining_key = PATTERN
        self._cipher = Cipher(PATTERN)
        self.mix_hash(PROLOGUE)

    def mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        okm = hkdf(secret, salt=self._chaining_key, size=64)
        self._chaining_key, self._cipher = okm[:32], Cipher(okm[32:])

    def encrypt(self, plaintext: bytes) -> bytes:
        ciphertext = self._cipher.encrypt(plaintext, self._hash)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt(self, ciphertext: bytes) -> bytes:
        plaintext = self._cipher.decrypt(ciphertext, self._hash)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[Cipher, Cipher]:
        """The transport ciphers: initiator to responder, responder to initiator."""
        okm = hkdf(b"", salt=self._chaining_key, size=64)
        return Cipher(okm[:32]), Cipher(okm[32:])


class Responder:
    """The server's side of one handshake: first `server_hello`, then `client_finish`."""

    def __init__(self, static: KeyPair, certificate_chain: bytes) -> None:
        self._handshake = Handshake()
        self._static, self._certificate_chain = static, certificate_chain
        self._ephemeral = KeyPair()
        self.client_static = b""

    def server_hello(self, client_hello: bytes) -> bytes:
        """Answer HandshakeMessage{2: ClientHello} with HandshakeMessage{3: ServerHello}."""
        handshake = self._handshake
        client_ephemeral = Fields(client_hello).message(2).data(1)
        handshake.mix_hash(client_ephemeral)
        handshake.mix_hash(self._ephemeral.public)
        handshake.mix_key(self._ephemeral.exchange(client_ephemeral))
        static = handshake.encrypt(self._static.public)
        handshake.mix_key(self._static.exchange(client_ephemeral))
        payload = handshake.encrypt(self._certificate_chain)
        hello = protobuf.encode((1, self._ephemeral.public), (2, static), (3, payload))
        return protobuf.encode((3, hello))

    def client_finish(self, client_finish: bytes) -> Fields:
        """Read HandshakeMessage{4: ClientFinish} and return the ClientPayload in it."""
        finish = Fields(client_finish).message(4)
        self.client_static = self._handshake.decrypt(finish.data(1))
        # The last agreement of the pattern: from here on the client is known by its static key.
        self._handshake.mix_key(self._ephemeral.exchange(self.client_static))
        return Fields(self._handshake.decrypt(finish.data(2)))

    def ciphers(self) -> tuple[Cipher, Cipher]:
        """The transport ciphers for receiving and sending, once the handshake is finished."""
        return self._handshake.split()


def certificate_chain(root: KeyPair, server_static: bytes) -> bytes:
    """CertChain{1: leaf, 2: intermediate}; the root has serial 0 and signs the intermediate."""
    intermediate = KeyPair()
    leaf = _certificate(serial=2, issuer_serial=1, public=server_static, issuer=intermediate)
    middle = _certificate(serial=1, issuer_serial=0, public=intermediate.public, issuer=root)
    return protobuf.encode((1, leaf), (2, middle))


def _certificate(*, serial: int, issuer_serial: int, public: bytes, issuer: KeyPair) -> bytes:
    now = int(time.time())
    details = protobuf.encode(
        (1, serial),
        (2, issuer_serial),
        (3, public),
        (4, now - DAY_SECONDS),
        (5, now + 365 * DAY_SECONDS),
    )
    return protobuf.encode((1, details), (2, issuer.sign(details)))
