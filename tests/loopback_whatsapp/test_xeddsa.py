"""Keys and signatures against RFC 7748, RFC 8032, libsignal's own vector, and Ed25519."""

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .xeddsa import KeyPair, edwards_public, multiply_base, verify

# The identity key, the signed message and the signature of libsignal's test of its curve.
LIBSIGNAL_PRIVATE = "c097248412e58bf05df487968205132794178e367637f5818f81e0e6ce73e865"
LIBSIGNAL_PUBLIC = "ab7e717d4a163b7d9a1d8071dfe9dcf8cdcd1cea3339b6356be84d887e322c64"
LIBSIGNAL_MESSAGE = "05edce9d9c415ca78cb7252e72c2c4a554d3eb29485a0e1d503118d1a82d99fb4a"
LIBSIGNAL_SIGNATURE = (
    "5de88ca9a89b4a115da79109c67c9c7464a3e4180274f1cb8c63c2984e286dfb"
    "ede82deb9dcd9fae0bfbb821569b3d9001bd8130cd11d486cef047bd60b86e88"
)


def test_key_agreement_gives_the_vector_of_rfc_7748() -> None:
    bob = KeyPair(bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    alice_public = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert bob.public.hex() == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert bob.exchange(alice_public).hex() == (
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    )


def test_multiplying_the_base_point_gives_the_public_key_of_rfc_8032() -> None:
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    # Ed25519's secret scalar is the hash of the secret, clamped as X25519 keys are.
    scalar = KeyPair(hashlib.sha512(secret).digest()[:32]).private
    assert multiply_base(int.from_bytes(scalar, "little")).hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )


def test_the_signature_of_libsignal_is_verified() -> None:
    public, message = bytes.fromhex(LIBSIGNAL_PUBLIC), bytes.fromhex(LIBSIGNAL_MESSAGE)
    signature = bytes.fromhex(LIBSIGNAL_SIGNATURE)
    assert KeyPair(bytes.fromhex(LIBSIGNAL_PRIVATE)).public == public
    assert verify(public, message, signature)


@pytest.mark.parametrize("position", [0, 31, 32, 63])
def test_a_changed_signature_is_refused(position: int) -> None:
    signature = bytearray.fromhex(LIBSIGNAL_SIGNATURE)
    signature[position] ^= 1
    public, message = bytes.fromhex(LIBSIGNAL_PUBLIC), bytes.fromhex(LIBSIGNAL_MESSAGE)
    assert not verify(public, message, bytes(signature))
    assert not verify(public, message, b"")


def test_our_signatures_are_ed25519_signatures_by_the_converted_key() -> None:
    for _ in range(20):  # half of all keys need the negated scalar
        pair, message = KeyPair(), b"message"
        signature = pair.sign(message)
        key = Ed25519PublicKey.from_public_bytes(edwards_public(pair.public))
        key.verify(signature, message)
        assert verify(pair.public, message, signature)
        with pytest.raises(InvalidSignature):
            key.verify(signature, b"another message")
