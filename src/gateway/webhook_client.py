"""Posts to addresses that strangers chose, without letting them reach into our own network.

A name is resolved once, every address that it has is checked, and the connection goes to a checked
address: a name that changes between check and use changes nothing. Redirects are not followed, no
proxy of the environment is used, and an answer that drips ends with the same time limit as any.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpcore

from gateway.certificates import trusted
from gateway.webhook_addresses import is_public
from gateway.webhook_lookups import Lookups, asking_for
from gateway.webhook_sockets import CheckedSockets, Resolve

TOTAL_SECONDS = 15.0
RESPONSE_BYTES = 1024
_URL_CHARACTERS = 2048
_RETRY_AFTER_MOST_SECONDS = 24.0 * 60 * 60
_IDLE_SECONDS = 30.0
_IDLE_CONNECTIONS = 64


class UnfitUrl(ValueError):
    """The URL can't be posted to; the text says what was expected."""


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt: an HTTP status, else an error; `response` is its beginning."""

    latency_ms: int
    status: int | None = None
    error: str | None = None
    response: bytes = field(default=b"", repr=False)
    retry_after: str | None = None

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def refusal(self) -> str:
        """Why the receiver has it not, in words."""
        return self.error or f"the endpoint answered {self.status}"

    def pause_asked_seconds(self, now: datetime) -> float | None:
        """Return how long the receiver asks not to be called, if it does; a day at most."""
        text = (self.retry_after or "").strip()
        if self.status not in {429, 503} or not text:
            return None
        if text.isascii() and text.isdecimal():
            seconds = float(text[:9])
        else:
            try:
                until = parsedate_to_datetime(text)
            except ValueError:
                return None
            aware = until if until.tzinfo else until.replace(tzinfo=UTC)
            seconds = (aware - now).total_seconds()
        return min(max(seconds, 1.0), _RETRY_AFTER_MOST_SECONDS)


class WebhookClient:
    """One pool of connections for every endpoint; a line to an endpoint bounds its own share.

    Constructing the first reads files.
    """

    def __init__(
        self,
        *,
        allow_http: bool = False,
        allow_private: bool = False,
        total_seconds: float = TOTAL_SECONDS,
        resolve: Resolve | None = None,
        sockets: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._total_seconds = total_seconds
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._allow_private = allow_private
        self._lookups = Lookups()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=None,
            max_keepalive_connections=_IDLE_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=CheckedSockets(
                resolve or self._lookups.addresses,
                sockets or httpcore.AnyIOBackend(),
                allow_private=allow_private,
                total_seconds=total_seconds,
            ),
        )

    def check(self, url: str) -> None:
        """Refuse a URL that could never be posted to; where its name leads is checked at each use.

        Raises:
            UnfitUrl: with what was expected.
        """
        if len(url) > _URL_CHARACTERS or not all("!" <= c <= "~" and c != "\\" for c in url):
            message = f"Give at most {_URL_CHARACTERS} visible ASCII characters"
            raise UnfitUrl(message)
        try:
            parts = urlsplit(url)
            host, fits = parts.hostname, parts.port != 0
        except ValueError:
            host, fits, parts = None, False, urlsplit("")
        if parts.scheme not in self._schemes or not host or not fits:
            message = f"Give a URL such as {self._schemes[0]}://example.com/hook"
            raise UnfitUrl(message)
        if "@" in parts.netloc or parts.fragment:
            message = "Give it without user, password and fragment"
            raise UnfitUrl(message)
        if not self._allow_private and _is_private_literal(host):
            message = "Give a public address; WAGATE_WEBHOOK_ALLOW_PRIVATE=true lets others pass"
            raise UnfitUrl(message)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, asker: str = ""
    ) -> Outcome:
        """Post JSON and return what came of it; never raises for what the other side does.

        `asker` is for whom: looking names up has a share for each.
        """
        started = time.monotonic()
        try:
            self.check(url)
            with asking_for(asker):
                async with asyncio.timeout(self._total_seconds):
                    return await self._post(url, body, headers, started)
        except TimeoutError:
            error = f"no answer within {self._total_seconds:g} seconds"
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            OSError,
            ValueError,
        ) as fault:
            error = f"{type(fault).__name__}: {fault}"
        return Outcome(_elapsed_ms(started), error=error[:500])

    async def close(self) -> None:
        """Close every connection, and look up nothing more."""
        self._lookups.close()
        await self._pool.aclose()

    async def _post(
        self, url: str, body: bytes, headers: Mapping[str, str], started: float
    ) -> Outcome:
        sent = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "user-agent": "wagate",
            "accept-encoding": "identity",
            **headers,
        }
        sent["host"] = urlsplit(url).netloc
        stream = self._pool.stream(
            "POST",
            url,
            headers=list(sent.items()),
            content=body,
        )
        async with stream as answer:
            content = b""
            async for chunk in answer.aiter_stream():
                content += chunk[: RESPONSE_BYTES - len(content)]
                if len(content) == RESPONSE_BYTES:
                    break
        fields = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
        return Outcome(
            _elapsed_ms(started),
            status=answer.status,
            response=content,
            retry_after=fields.get(b"retry-after"),
        )


def _is_private_literal(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:
        return False


def _elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
