"""The keys that verify tokens: one algorithm, fixed by the operator, never by a token."""

import re
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from auth.errors import UnusableKey

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

SECRET_MIN_BYTES = 32
RSA_MIN_BITS = 2048
_DISTINCT_MIN = 8
_UNGUESSABLE_MIN = 12
_DEFAULT_WORDS = re.compile(
    "secret|change|password|passwort|passphrase|default|example|sample|insecure|secure|private|"
    "super|please|token|replace|wagate|whatsapp|admin|test|development|production|"
    "your|this|that|must|least|long|characters|bytes|bits?|keys?|here|jwt|hs256|sha256|256|"
    "0123456789|123456789|12345678|1234567|123456|12345|qwerty|abcdef"
)


class VerificationKeys(Protocol):
    """Where a verifier finds the key of a token."""

    @property
    def algorithm(self) -> Algorithm:
        """The only algorithm that a token may be signed with."""
        ...

    async def find(self, key_id: str | None) -> bytes | PublicKey:
        """Return the key that a token's header names by `kid` (None: it names none).

        Raises:
            InvalidToken: there is no such key.
            KeysUnavailable: it may exist, but can't be fetched now.
        """
        ...


@dataclass(frozen=True)
class FixedKey:
    """One key for every token, whatever its header says."""

    algorithm: Algorithm
    key: bytes | PublicKey = field(repr=False)

    async def find(self, key_id: str | None) -> bytes | PublicKey:
        """Return the key."""
        return self.key


def shared_secret(secret: str) -> FixedKey:
    """Make the key for HS256.

    Raises:
        UnusableKey: the secret is short, a key file's text, or could be guessed.
    """
    check_secret(secret)
    return FixedKey("HS256", secret.encode())


def check_secret(secret: str) -> None:
    """Let a secret pass that nobody can guess.

    Raises:
        UnusableKey: anyone who guesses it could issue tokens.
    """
    size_bytes = len(secret.encode())
    if size_bytes < SECRET_MIN_BYTES:
        message = f"expected a random secret of {SECRET_MIN_BYTES} bytes or more, not {size_bytes}"
        raise UnusableKey(message)
    if "-----BEGIN" in secret:
        message = "expected a random secret, not a key in PEM form: a public key is no secret"
        raise UnusableKey(message)
    if _guessable(secret):
        message = "expected a random secret, not words or a pattern that can be guessed"
        raise UnusableKey(message)


def _guessable(secret: str) -> bool:
    text = re.sub(r"[^a-z0-9]", "", secret.lower())
    repeats = secret in (secret + secret)[1:-1]
    remainder = _DEFAULT_WORDS.sub("", text)
    return repeats or len(set(secret)) < _DISTINCT_MIN or len(remainder) < _UNGUESSABLE_MIN


def public_key(pem: str, algorithm: Algorithm) -> FixedKey:
    """Read a public key in PEM form for RS256, ES256 or EdDSA.

    Raises:
        UnusableKey: it is no public key, weak, or for another algorithm.
    """
    if "PRIVATE KEY" in pem:
        message = "expected a public key, not a private one: who verifies must not be able to sign"
        raise UnusableKey(message)
    try:
        key = load_pem_public_key(pem.strip().encode())
    except (ValueError, UnsupportedAlgorithm):
        message = "expected a public key in PEM form, beginning with -----BEGIN PUBLIC KEY-----"
        raise UnusableKey(message) from None
    return FixedKey(algorithm, check_public_key(key, algorithm))


def check_public_key(key: object, algorithm: Algorithm) -> PublicKey:
    """Return a key that verifies this algorithm and is strong enough for it.

    Raises:
        UnusableKey: it is another kind of key, or weak.
    """
    match algorithm, key:
        case "RS256", RSAPublicKey():
            if key.key_size >= RSA_MIN_BITS:
                return key
            message = f"expected an RSA key of {RSA_MIN_BITS} bits or more, not {key.key_size}"
            raise UnusableKey(message)
        case "ES256", EllipticCurvePublicKey() if isinstance(key.curve, SECP256R1):
            return key
        case "EdDSA", Ed25519PublicKey() | Ed448PublicKey():
            return key
    message = f"expected a public key for {algorithm}, not one of another kind"
    raise UnusableKey(message)
