"""Standard Webhooks: secrets, and the headers by which a receiver knows who sent a body."""

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a fresh secret: `whsec_` and base64 of 32 random bytes."""
    return _PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()


def signed_headers(
    id_: str, body: bytes, *, at_seconds: int, secrets: Sequence[str]
) -> dict[str, str]:
    """Return the three headers; one signature for each secret, so that rotation has no gap.

    `at_seconds`: Unix time of this attempt; receivers refuse what is older than some minutes.
    """
    content = f"{id_}.{at_seconds}.".encode() + body
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": " ".join(_signature(secret, content) for secret in secrets),
    }


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
