"""Keys from an identity provider's JWKS URL, cached so that its outages are not ours.

One fetch at a time, in a thread because PyJWKClient blocks, and at most one per cooldown. A known
key is served from the cache at once, however old, while a refresh runs beside; only a token with an
unknown key waits for one.
"""

import asyncio
import ipaddress
import logging
import time
from urllib.parse import urlsplit

from jwt import PyJWKClient
from jwt.exceptions import PyJWTError

from auth.errors import InvalidToken, KeysUnavailable, UnusableKey
from auth.keys import Algorithm, PublicKey, check_public_key

logger = logging.getLogger(__name__)


class JwksKeys:
    """Public keys by `kid`. A key that left the set is refused once a refresh has seen that."""

    def __init__(
        self,
        url: str,
        algorithm: Algorithm,
        *,
        fresh_seconds: float = 300,
        cooldown_seconds: float = 10,
        timeout_seconds: float = 5,
    ) -> None:
        check_jwks_url(url)
        self.algorithm: Algorithm = algorithm
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=timeout_seconds)
        self._fresh_seconds = fresh_seconds
        self._cooldown_seconds = cooldown_seconds
        self._timeout_seconds = timeout_seconds
        self._keys: dict[str | None, PublicKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> PublicKey:
        """Return the key named `key_id`; without a name, the only key of the set.

        Raises:
            InvalidToken: the set has no such key.
            KeysUnavailable: it is not known, and the last fetch failed.
        """
        if time.monotonic() - self._fetched_at > self._fresh_seconds:
            self._start_refresh()
        if key := self._known(key_id):
            return key
        await self._refreshed()
        if key := self._known(key_id):
            return key
        if self._fetched_at < self._tried_at:
            raise KeysUnavailable
        message = "The token is signed with a key that its issuer does not publish. Get a new one."
        raise InvalidToken(message)

    def _known(self, key_id: str | None) -> PublicKey | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refreshed(self) -> None:
        refresh = self._start_refresh()
        if refresh is not None:
            # Shielded: a caller that gives up must not take the fetch from the others.
            await asyncio.shield(refresh)

    def _start_refresh(self) -> asyncio.Task[None] | None:
        if self._refreshing is not None and not self._refreshing.done():
            return self._refreshing
        if time.monotonic() - self._tried_at < self._cooldown_seconds:
            return None
        self._refreshing = asyncio.create_task(self._refresh())
        return self._refreshing

    async def _refresh(self) -> None:
        started_at = time.monotonic()
        try:
            # The client's own limit is per socket operation; a server that drips has no end.
            async with asyncio.timeout(self._timeout_seconds):
                keys = await asyncio.to_thread(self._fetch)
        except (PyJWTError, OSError, ValueError, RecursionError, TimeoutError) as error:
            logger.warning(
                "The keys for tokens could not be fetched; known keys stay in use",
                extra={"error": str(error) or type(error).__name__},
            )
            self._tried_at = time.monotonic()
            return
        self._keys = keys
        self._tried_at = self._fetched_at = started_at

    def _fetch(self) -> dict[str | None, PublicKey]:
        keys: dict[str | None, PublicKey] = {}
        for published in self._client.get_jwk_set().keys:
            if published.public_key_use not in {"sig", None}:
                continue
            try:
                keys[published.key_id] = check_public_key(published.key, self.algorithm)
            except UnusableKey:
                # Providers publish keys of several kinds in one set; ours is fixed.
                continue
        return keys


def check_jwks_url(url: str) -> None:
    """Let a URL pass that nobody on the way can answer: https, or http on this machine.

    Raises:
        UnusableKey: keys from it could be anyone's.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        message = "expected a JWKS URL without user name and password"
        raise UnusableKey(message)
    local_http = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if parts.hostname and (parts.scheme == "https" or local_http):
        return
    message = "expected a JWKS URL that begins with https:// (http:// only for this machine)"
    raise UnusableKey(message)


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
