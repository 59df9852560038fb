"""What stands before the Socket.IO library as ASGI: tokens leave the URL, broken frames end a line.

The library fails with a stack trace, and keeps the connection for another 45 s, when a WebSocket
frame is no Engine.IO packet. A token in the query string would be written to the access log. And
the library shows nothing of the connection below: how much waits in it, how to end it.
"""

from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.socket_door import Recovery

_WIRE = "wagate.wire"
_QUERY_TOKEN = "wagate.query_token"  # noqa: S105  # the name of a scope entry
_PACKET_TYPES = frozenset("0123456")


class Wire:
    """What carries an Engine.IO connection now: a WebSocket, or one request of long-polling."""

    def __init__(self, receive: Receive, *, websocket: bool) -> None:
        # uvicorn's `receive` is a method of what holds the transport; other servers show none.
        self._transport: Any = getattr(getattr(receive, "__self__", None), "transport", None)
        self.websocket = websocket
        self._farewell: tuple[int, str] | None = None

    @property
    def unsent_bytes(self) -> int:
        """What the server has written and the network has not taken yet."""
        if self._transport is None:
            return 0
        return int(self._transport.get_write_buffer_size())

    def say_why(self, code: int, reason: str) -> None:
        """Let the WebSocket's close frame carry this."""
        self._farewell = code, reason

    def abort(self) -> None:
        """Close at once; what is buffered is lost."""
        if self._transport is not None:
            self._transport.abort()

    def closing(self, message: Message) -> Message:
        """Return what is sent, with the reason if it is the end."""
        if self._farewell is None or message["type"] != "websocket.close":
            return message
        code, reason = self._farewell
        return {"type": "websocket.close", "code": code, "reason": reason}


class Wires(Protocol):
    """Who wants to know what carries a connection that has begun elsewhere."""

    def adopt(self, eio_sid: str, wire: Wire) -> None:
        """Take note: this Engine.IO connection is on that wire now."""
        ...


class SocketGuard:
    """ASGI middleware: what is below `path` passes, checked; everything else passes untouched."""

    def __init__(self, app: ASGIApp, *, path: str, wires: Wires) -> None:
        self._app = app
        self._path = path
        self._wires = wires

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] == "lifespan" or not f"{scope['path']}/".startswith(self._path):
            await self._app(scope, receive, send)
            return
        query = _take_token(scope)
        wire = Wire(receive, websocket=scope["type"] == "websocket")
        scope[_WIRE] = wire
        if "sid" in query and scope.get("method") != "POST":
            self._wires.adopt(query["sid"], wire)
        if not wire.websocket:
            await self._app(scope, receive, send)
            return

        async def send_with_reason(message: Message) -> None:
            await send(wire.closing(message))

        await self._app(scope, _checked(receive), send_with_reason)


def token_of(auth: object, scope: Scope) -> str | None:
    """Return the token of a handshake: from `auth.token`, else the header, else the query."""
    if isinstance(auth, dict) and "token" in auth:
        token = auth["token"]
        return str(token).removeprefix("Bearer ")
    header: str = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return cast("str | None", scope.get(_QUERY_TOKEN))


def recovery_of(auth: object) -> Recovery | None:
    """Return what the stock client carries for connection state recovery, None unless it asks."""
    if not isinstance(auth, dict) or auth.get("recover") is not True:
        return None
    pid, offset = auth.get("pid"), auth.get("offset")
    return Recovery(
        pid=pid if isinstance(pid, str) else None,
        offset=offset if isinstance(offset, str) else None,
    )


def wire_of(scope: Scope) -> Wire | None:
    """Return what carries the connection of this scope, None if it did not pass the guard."""
    return cast("Wire | None", scope.get(_WIRE))


def address_of(scope: Scope) -> str:
    """Return the peer's address; the library's own REMOTE_ADDR is 127.0.0.1 for everyone."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _take_token(scope: Scope) -> dict[str, str]:
    """Move the token out of the URL, before anything logs it, and return the other parameters."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    if "token" in query:
        scope[_QUERY_TOKEN] = query.pop("token")
        # In place: servers log the very scope that they handed out.
        scope["query_string"] = urlencode(query).encode("latin-1")
    return query


def _checked(receive: Receive) -> Receive:
    async def checked() -> Message:
        message = await receive()
        if message["type"] != "websocket.receive" or _is_packet(message):
            return message
        return {"type": "websocket.disconnect", "code": 1002}

    return checked


def _is_packet(message: Message) -> bool:
    text = message.get("text")
    if text is None:
        return message.get("bytes") is not None
    return text[:1] in _PACKET_TYPES and bool(text)
