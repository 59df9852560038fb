"""HKDF-SHA256 (RFC 5869)."""

import hmac

HASH_BYTES = 32


def hkdf(secret: bytes, *, salt: bytes = bytes(HASH_BYTES), info: bytes = b"", size: int) -> bytes:
    """Derive `size` bytes from a secret."""
    key = hmac.digest(salt, secret, "sha256")
    block = okm = b""
    for index in range(1, -(-size // HASH_BYTES) + 1):
        block = hmac.digest(key, block + info + bytes([index]), "sha256")
        okm += block
    return okm[:size]
