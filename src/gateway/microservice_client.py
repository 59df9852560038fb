"""Calls the QR microservice that the operator named: one origin, and the key it knows us by.

Nothing that a client chose decides where a request goes, so addresses are not checked as those of
webhooks are. Redirects are not followed, and no proxy of the environment is used: the key and the
texts go to that origin alone.
"""

import asyncio
from typing import Literal

import httpcore
import orjson

from gateway.certificates import trusted
from sessions.microservice import JsonObject, NotAnswered, NotReached, Reply

_CONNECT_SECONDS = 5.0
_ANSWER_BYTES_MOST = 1024 * 1024
_CONNECTIONS_MOST = 200
# Shorter than what servers grant: one that hangs up while a text is on its way leaves it unknown.
_IDLE_SECONDS = 2.0

_NOT_REACHED = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.LocalProtocolError,
    httpcore.UnsupportedProtocol,
)
_NOT_ANSWERED = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError)


class MicroserviceClient:
    """A `Microservice` over HTTP; `url` has no slash at its end.

    Constructing the first reads files.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {
            "x-api-key": key,
            "authorization": f"Bearer {key}",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "wagate",
        }
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=_CONNECTIONS_MOST,
            keepalive_expiry=_IDLE_SECONDS,
        )

    async def call(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: JsonObject | None = None,
        *,
        timeout_seconds: float,
    ) -> Reply:
        """Call once and return the answer, whatever its status.

        Raises:
            NotReached: no connection could be had.
            NotAnswered: no answer within the time, or one of over a megabyte.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._call(method, path, body)
        except TimeoutError:
            message = f"no answer within {timeout_seconds:g} seconds"
            raise NotAnswered(message) from None
        except _NOT_REACHED as fault:
            raise NotReached(_name(fault)) from fault
        except _NOT_ANSWERED as fault:
            raise NotAnswered(_name(fault)) from fault

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _call(self, method: str, path: str, body: JsonObject | None) -> Reply:
        content = b"" if body is None else orjson.dumps(body)
        headers = dict(self._headers)
        if body is not None:
            headers |= {"content-type": "application/json", "content-length": str(len(content))}
        timeouts = {"connect": _CONNECT_SECONDS, "pool": _CONNECT_SECONDS}
        stream = self._pool.stream(
            method,
            self._url + path,
            headers=list(headers.items()),
            content=content,
            extensions={"timeout": timeouts},
        )
        async with stream as answer:
            received = bytearray()
            async for chunk in answer.aiter_stream():
                received += chunk
                if len(received) > _ANSWER_BYTES_MOST:
                    message = "an answer of over a megabyte"
                    raise NotAnswered(message)
        return Reply(answer.status, _object(bytes(received)))


def _object(content: bytes) -> JsonObject:
    try:
        document = orjson.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _name(fault: Exception) -> str:
    return f"{type(fault).__name__} {fault}".strip()[:200]
