"""Every request has an id, the client's own if it gave a sane one, and its answer carries it."""

import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sessions.ids import new_uuid

HEADER = "X-Request-Id"
# It goes into logs and headers as it is: nothing that could forge a line or a header.
_SAFE = re.compile(r"[A-Za-z0-9._:@/+=-]{1,64}")


class RequestIds:
    """Pure ASGI middleware: `scope["state"]["request_id"]` and the header `X-Request-Id`.

    Put it outermost, so that the answers of every other middleware carry the id as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; for HTTP, with an id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = accepted(Headers(scope=scope).get(HEADER)) or new_uuid()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


def accepted(given: str | None) -> str | None:
    """Return the client's id if it is 1 to 64 characters that are safe in a log and a header."""
    return given if given and _SAFE.fullmatch(given) else None


def request_id(request: Request[Any]) -> str | None:
    """Return the id that `RequestIds` gave to this request, None where it is not installed."""
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found
