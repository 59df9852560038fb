"""The handshake against an initiator that is written here from the Noise specification."""

import hashlib
import hmac
import time

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import protobuf
from .noise import PROLOGUE, Cipher, Responder, certificate_chain
from .protobuf import Fields
from .xeddsa import KeyPair, verify

NAME = b"Noise_XX_25519_AESGCM_SHA256".ljust(32, b"\0")


class Initiator:
    """SymmetricState and CipherState of the specification's chapter 5, initiator's side of XX."""

    def __init__(self, static: KeyPair) -> None:
        self.static, self.ephemeral = static, KeyPair()
        self.h = hashlib.sha256(NAME + PROLOGUE).digest()
        self.ck, self.k, self.n = NAME, b"", 0

    def mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self.ck, self.k = self.hkdf2(secret)
        self.n = 0

    def hkdf2(self, secret: bytes) -> tuple[bytes, bytes]:
        temp = hmac.new(self.ck, secret, "sha256").digest()
        first = hmac.new(temp, b"\x01", "sha256").digest()
        return first, hmac.new(temp, first + b"\x02", "sha256").digest()

    def nonce(self) -> bytes:
        self.n += 1
        return bytes(4) + (self.n - 1).to_bytes(8, "big")

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = AESGCM(self.k).encrypt(self.nonce(), plaintext, self.h)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = AESGCM(self.k).decrypt(self.nonce(), ciphertext, self.h)
        self.mix_hash(ciphertext)
        return plaintext

    def hello(self) -> bytes:
        self.mix_hash(self.ephemeral.public)
        return protobuf.encode((2, protobuf.encode((1, self.ephemeral.public))))

    def finish(self, server_hello: bytes, payload: bytes) -> tuple[bytes, bytes]:
        """The answer to the server's hello, and the certificates in it."""
        hello = Fields(server_hello).message(3)
        server_ephemeral = hello.data(1)
        self.mix_hash(server_ephemeral)
        self.mix_key(self.ephemeral.exchange(server_ephemeral))
        server_static = self.decrypt_and_hash(hello.data(2))
        self.mix_key(self.ephemeral.exchange(server_static))
        certificates = self.decrypt_and_hash(hello.data(3))
        static = self.encrypt_and_hash(self.static.public)
        self.mix_key(self.static.exchange(server_ephemeral))
        finish = protobuf.encode((1, static), (2, self.encrypt_and_hash(payload)))
        return protobuf.encode((4, finish)), certificates

    def transport_keys(self) -> tuple[bytes, bytes]:
        return self.hkdf2(b"")


def test_both_sides_of_a_handshake_agree() -> None:
    root, server_static, initiator = KeyPair(), KeyPair(), Initiator(KeyPair())
    chain = certificate_chain(root, server_static.public)
    responder = Responder(server_static, chain)

    answer = responder.server_hello(initiator.hello())
    finish, certificates = initiator.finish(answer, protobuf.encode((1, 15550001111)))
    payload = responder.client_finish(finish)

    assert certificates == chain
    assert payload.integer(1) == 15550001111
    assert responder.client_static == initiator.static.public
    to_server, to_client = initiator.transport_keys()
    receiving, sending = responder.ciphers()
    for number in range(3):
        nonce = number.to_bytes(12, "big")
        assert receiving.decrypt(AESGCM(to_server).encrypt(nonce, b"up", None)) == b"up"
        assert AESGCM(to_client).decrypt(nonce, sending.encrypt(b"down"), None) == b"down"


def test_the_certificates_lead_from_the_root_to_the_static_key() -> None:
    root, static = KeyPair(), KeyPair()
    chain = Fields(certificate_chain(root, static.public))
    leaf, intermediate = chain.message(1), chain.message(2)
    assert verify(root.public, intermediate.data(1), intermediate.data(2))
    assert verify(intermediate.message(1).data(3), leaf.data(1), leaf.data(2))
    assert leaf.message(1).data(3) == static.public
    assert leaf.message(1).integer(2) == intermediate.message(1).integer(1)
    assert intermediate.message(1).integer(2) == 0
    assert leaf.message(1).integer(4) < time.time() < leaf.message(1).integer(5)


def test_a_changed_finish_is_refused() -> None:
    initiator, responder = Initiator(KeyPair()), Responder(KeyPair(), b"certificates")
    finish, _ = initiator.finish(responder.server_hello(initiator.hello()), b"")
    with pytest.raises(InvalidTag):
        responder.client_finish(finish[:-1] + bytes([finish[-1] ^ 1]))


def test_a_message_out_of_order_is_refused() -> None:
    sender, receiver = Cipher(bytes(32)), Cipher(bytes(32))
    sender.encrypt(b"first")
    with pytest.raises(InvalidTag):
        receiver.decrypt(sender.encrypt(b"second"))
