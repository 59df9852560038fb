"""The door for back ends that have a key instead of tokens, on the paths that are made for them."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest

from starlette.datastructures import Headers

from auth.errors import InvalidToken
from auth.principal import ORDINARY_SCOPES, Principal

HEADER = "X-API-Key"
SUBJECT = "backend-api-key"


class ApiKeyDoor:
    """Knows one key; who has it is the tenant's back end, with every scope but `admin`.

    `opens` gets a request's path and tells whether the key is of any use there.
    """

    def __init__(self, key: str, *, tenant: str, opens: Callable[[str], bool]) -> None:
        self._digest = _digest(key)
        self._opens = opens
        self._principal = Principal(
            subject=SUBJECT,
            tenant=tenant,
            scopes=ORDINARY_SCOPES,
            sessions=None,
            expires_at=datetime.max.replace(tzinfo=UTC),
            token_id=None,
        )

    def by_header(self, path: str, headers: Headers) -> Principal | None:
        """Return who sent the key in the header; None: no key was sent, or it is of no use there.

        Raises:
            InvalidToken: it is another key, or there are several.
        """
        given = headers.getlist(HEADER)
        if not given or not self._opens(path):
            return None
        if len(given) == 1 and self._fits(given[0].strip()):
            return self._principal
        message = f"The key in {HEADER} is not valid here. Send the one of the server's settings."
        raise InvalidToken(message)

    def by_token(self, path: str, token: str) -> Principal | None:
        """Return who sent the key in a token's place; None: it is a token, or nothing."""
        return self._principal if self._opens(path) and self._fits(token) else None

    def _fits(self, given: str) -> bool:
        # Of the digests: neither the key's length nor its beginning shows in the time it takes.
        return compare_digest(_digest(given), self._digest)


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
