"""One log line per HTTP request, and its id on every line that is written while it is answered."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.logs import request_id

logger = logging.getLogger(__name__)

_QUIET_PATHS = ("/health/", "/metrics")
"""Asked every few seconds by machines; their lines would bury the others."""


class AccessLog:
    """Pure ASGI middleware; put it inside of the one that gives requests their ids."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; for HTTP, with a line at the end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started_at = time.perf_counter()
        mark = request_id.set(scope.get("state", {}).get("request_id"))
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            _write(scope, status, time.perf_counter() - started_at)
            request_id.reset(mark)


def _write(scope: Scope, status: int, seconds: float) -> None:
    quiet = status < 400 and scope["path"].startswith(_QUIET_PATHS)
    logger.log(
        logging.DEBUG if quiet else logging.INFO,
        "request",
        extra={
            "method": scope["method"],
            "path": scope["path"],
            # 0: the client left before there was an answer.
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "client": (scope.get("client") or ("",))[0],
        },
    )
