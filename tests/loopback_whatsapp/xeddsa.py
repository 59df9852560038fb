"""X25519 key pairs that also sign (XEdDSA), as Signal's identity keys do.

Signing is pure Python (about 1.5 ms); verifying uses Ed25519 of `cryptography`, by the
birational map between the two forms of the curve.
"""

import hashlib
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SIGNATURE_BYTES = 64
DJB_KEY_TYPE = b"\x05"

Point = tuple[int, int, int, int]  # extended twisted Edwards coordinates X, Y, Z, T


def _base_point() -> Point:
    y = 4 * pow(5, -1, P) % P
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x_squared, (P + 3) // 8, P)
    if (x * x - x_squared) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    x = P - x if x & 1 else x
    return x, y, 1, x * y % P


def _add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _doublings(point: Point) -> list[Point]:
    table = [point]
    while len(table) < 256:
        table.append(_add(table[-1], table[-1]))
    return table


# 2^i times the base point: with them a multiplication is additions only, which halves its time.
_BASE_POWERS = _doublings(_base_point())


def multiply_base(scalar: int) -> bytes:
    """Compressed Edwards point of scalar times the base point."""
    result: Point = (0, 1, 1, 0)
    for index, power in enumerate(_BASE_POWERS):
        if scalar >> index & 1:
            result = _add(result, power)
    x, y, z, _ = result
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _hash_to_scalar(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def sign(private: bytes, message: bytes) -> bytes:
    """XEdDSA signature (64 bytes) by a clamped X25519 private key."""
    scalar = int.from_bytes(private, "little")
    public = multiply_base(scalar)
    if public[31] & 0x80:
        # XEdDSA fixes the sign bit of the Edwards key to 0 by negating the scalar.
        scalar = -scalar % ORDER
        public = public[:31] + bytes([public[31] & 0x7F])
    secret = b"\xfe" + b"\xff" * 31 + scalar.to_bytes(32, "little")
    # Random besides the message, so that two signatures of one message differ, as libsignal's do.
    nonce = _hash_to_scalar(secret, message, os.urandom(64))
    commitment = multiply_base(nonce)
    challenge = _hash_to_scalar(commitment, public, message)
    return commitment + ((nonce + challenge * scalar) % ORDER).to_bytes(32, "little")


def edwards_public(public: bytes, *, sign_bit: int = 0) -> bytes:
    """Ed25519 form of an X25519 public key: y = (u - 1) / (u + 1)."""
    u = int.from_bytes(public, "little") & (1 << 255) - 1
    y = (u - 1) * pow(u + 1, -1, P) % P
    return (y | sign_bit << 255).to_bytes(32, "little")


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is right; its last bit is the sign bit of the Edwards key."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    key = edwards_public(public, sign_bit=signature[63] >> 7)
    plain = signature[:63] + bytes([signature[63] & 0x7F])
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(plain, message)
    except InvalidSignature:
        return False
    return True


class KeyPair:
    """An X25519 key pair."""

    def __init__(self, private: bytes | None = None) -> None:
        clamped = bytearray(private or os.urandom(32))
        clamped[0] &= 248
        clamped[31] = clamped[31] & 127 | 64
        self.private = bytes(clamped)
        self._key = X25519PrivateKey.from_private_bytes(self.private)
        self.public = self._key.public_key().public_bytes_raw()

    @property
    def typed_public(self) -> bytes:
        """The public key with Signal's key-type byte in front (33 bytes)."""
        return DJB_KEY_TYPE + self.public

    def exchange(self, public: bytes) -> bytes:
        """X25519 shared secret."""
        return self._key.exchange(X25519PublicKey.from_public_bytes(public))

    def sign(self, message: bytes) -> bytes:
        """XEdDSA signature by this key."""
        return sign(self.private, message)
