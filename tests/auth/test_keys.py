"""Keys too weak to protect anything are refused, with a sentence that says what is expected."""

import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth.errors import UnusableKey
from auth.keys import Algorithm, check_secret, public_key, shared_secret
from tests.auth import keyring


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("", "32 bytes"),
        ("short", "32 bytes"),
        ("x" * 31, "32 bytes"),
        ("x" * 64, "guessed"),
        ("secret" * 8, "guessed"),
        ("changeme" * 4, "guessed"),
        ("change-me-change-me-change-me-change-me", "guessed"),
        ("your-256-bit-secret-your-256-bit-secret", "guessed"),
        ("your-super-secret-jwt-key-change-this-in-production", "guessed"),
        ("PLEASE_CHANGE_THIS_SECRET_PLEASE_CHANGE_THIS", "guessed"),
        ("01234567890123456789012345678901", "guessed"),
        ("abcdefghijklmnopabcdefghijklmnop", "guessed"),
        ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE", "PEM"),
    ],
)
def test_a_weak_secret_is_refused(secret: str, expected: str) -> None:
    with pytest.raises(UnusableKey, match=expected) as refused:
        shared_secret(secret)
    assert not secret or secret not in str(refused.value)


def test_random_secrets_are_accepted_in_every_usual_form() -> None:
    for _ in range(200):
        check_secret(secrets.token_urlsafe(32))
        check_secret(secrets.token_hex(16))
        check_secret(secrets.token_hex(32))


def test_a_secret_shows_in_no_representation() -> None:
    assert keyring.SECRET not in repr(shared_secret(keyring.SECRET))


def test_a_short_rsa_key_is_refused() -> None:
    with pytest.raises(UnusableKey, match="2048 bits"):
        public_key(keyring.public_pem(keyring.rsa_key(1024)), "RS256")


def test_a_private_key_is_refused() -> None:
    pem = keyring.private_pem(keyring.rsa_key())
    with pytest.raises(UnusableKey, match="not a private one") as refused:
        public_key(pem, "RS256")
    assert pem[40:80] not in str(refused.value)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_key_of_another_kind_is_refused(algorithm: Algorithm) -> None:
    keys: dict[str, keyring.PrivateKey] = {
        "RS256": keyring.rsa_key(),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "P-384": ec.generate_private_key(ec.SECP384R1()),
    }
    for kind, key in keys.items():
        if kind == algorithm:
            assert public_key(keyring.public_pem(key), algorithm).algorithm == algorithm
            continue
        with pytest.raises(UnusableKey, match=algorithm):
            public_key(keyring.public_pem(key), algorithm)


def test_a_key_that_cannot_sign_is_refused() -> None:
    key = x25519.X25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(UnusableKey, match="EdDSA"):
        public_key(pem, "EdDSA")


@pytest.mark.parametrize("pem", ["", "garbage", "-----BEGIN PUBLIC KEY-----\nAAAA\n"])
def test_what_is_no_pem_is_refused(pem: str) -> None:
    with pytest.raises(UnusableKey, match="PEM"):
        public_key(pem, "RS256")
