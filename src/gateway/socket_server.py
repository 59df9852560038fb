"""python-socketio with the doors shut that it leaves open to a hostile client.

Left to itself it lets a client emit `connect` and `disconnect` and so call those handlers, logs a
stack trace for each malformed packet, collects binary attachments without limit, accepts the
default namespace without a token, and leaves a connection open that it has closed (an Engine.IO
close packet means nothing to the stock JavaScript client on a WebSocket).

Commands run inside the task that reads the connection, with no task or queue of their own: a
client that floods is held back by TCP.
"""

import asyncio
from collections.abc import Collection
from typing import Any, cast

import socketio
from socketio import packet as packets
from socketio.exceptions import ConnectionRefusedError as HandshakeRefused

from gateway.realtime_metrics import EndReason
from gateway.socket_door import Command, Door, Handshake, Refused
from gateway.socket_guard import Wire, address_of, recovery_of, token_of, wire_of
from gateway.socket_library import Engine, Packet, library_logger, origin_check

NAMESPACE = "/ws"
ATTACHMENTS_MAX = 4
SLOW_CODE, SLOW_REASON = 4008, "slow_client"
"""The close frame of a client that leaves too much unread; 4000 to 4999 are an application's."""
CUT_GRACE_SECONDS = 5.0
"""How long a cut client has to read what is on its way, and the close frame behind it."""
_ENDS: dict[str, EndReason] = {
    "client disconnect": "client",
    "ping timeout": "ping_timeout",
}
"""The library's words for ends that were not ours; else the transport has failed."""
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


def refusal(code: str, message: str) -> dict[str, object]:
    """Return what `connect_error` carries.

    The stock JavaScript client shows `message` as `err.message` and `data` as `err.data`, other
    clients show the whole object: so it has `{code, message}` at both levels.
    """
    problem = {"code": code, "message": message}
    return {**problem, "data": problem}


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]  # the library is not typed
    """The Socket.IO server of one namespace, whose clients' events go to a `Door`."""

    def __init__(
        self, door: Door, *, allowed_origins: Collection[str], message_max_bytes: int
    ) -> None:
        logger = library_logger()
        super().__init__(
            async_mode="asgi",
            async_handlers=False,
            namespaces=[NAMESPACE],
            serializer=Packet,
            cors_allowed_origins=origin_check(allowed_origins),
            max_http_buffer_size=message_max_bytes,
            http_compression=False,
            logger=logger,
            engineio_logger=logger,
        )
        self._door = door
        self._wires: dict[str, Wire] = {}
        self._reasons: dict[str, EndReason] = {}
        self._pids: dict[str, str] = {}
        self._outside: dict[str, float] = {}
        self.on("connect", self._admit, namespace=NAMESPACE)
        self.on("disconnect", self._leave, namespace=NAMESPACE)

    def adopt(self, eio_sid: str, wire: Wire) -> None:
        """Note what carries a connection now: its next poll, or what it was upgraded to."""
        known = self._wires.get(eio_sid)
        if known is not None and (wire.websocket or not known.websocket):
            self._wires[eio_sid] = wire

    def unsent_bytes(self, eio_sid: str) -> int:
        """Return how much of what was sent to a client has not reached the network yet."""
        line, wire = self.eio.sockets.get(eio_sid), self._wires.get(eio_sid)
        if line is None:
            return 0
        on_the_wire = 0 if wire is None else wire.unsent_bytes
        return int(line.queue.unsent_bytes) + on_the_wire

    @property
    def all_unsent_bytes(self) -> int:
        """What waits for all clients together."""
        return sum(self.unsent_bytes(eio_sid) for eio_sid in self.eio.sockets)

    def engine_id(self, sid: str) -> str | None:
        """Return the Engine.IO connection of a client, None if it is gone."""
        return cast("str | None", self.manager.eio_sid_from_sid(sid, NAMESPACE))

    async def expel(self, sid: str) -> None:
        """Disconnect a client for good: it must not come back by itself with the same token."""
        eio_sid = self.engine_id(sid)
        if eio_sid is not None:
            self._reasons[eio_sid] = "token"
        await self.disconnect(sid, namespace=NAMESPACE)
        if eio_sid is not None:
            await self.hang_up(eio_sid, "token")

    async def hang_up(self, eio_sid: str, reason: EndReason) -> None:
        """End a connection behind what is queued for it; its client will connect again."""
        if eio_sid in self._wires:
            self._reasons[eio_sid] = reason
        await self.eio.disconnect(eio_sid)

    async def cut(self, eio_sid: str) -> None:
        """End a connection without what waits for it: its client reads too slowly, or not at all.

        One that still reads finds the reason in the close frame of its WebSocket.
        """
        line, wire = self.eio.sockets.get(eio_sid), self._wires.get(eio_sid)
        if line is None:
            return
        line.queue.drop()
        if wire is not None:
            wire.say_why(SLOW_CODE, SLOW_REASON)
            asyncio.get_running_loop().call_later(CUT_GRACE_SECONDS, _abort, wire)
        await self.hang_up(eio_sid, "slow")

    async def hang_up_outsiders(self, now: float, patience_seconds: float) -> int:
        """End the connections that have not entered the namespace in time (monotonic seconds).

        Returns how many there were.
        """
        outside = [
            eio_sid
            for eio_sid in self.eio.sockets
            if self.manager.sid_from_eio_sid(eio_sid, NAMESPACE) is None
        ]
        self._outside = {eio_sid: self._outside.get(eio_sid, now) for eio_sid in outside}
        late = [sid for sid, since in self._outside.items() if now - since >= patience_seconds]
        for eio_sid in late:
            await self.hang_up(eio_sid, "transport")
        return len(late)

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    async def _admit(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        scope = environ["asgi.scope"]
        handshake = Handshake(token_of(auth, scope), address_of(scope), recovery_of(auth))
        try:
            pid = await self._door.admit(sid, handshake)
        except Refused as error:
            refused = HandshakeRefused()
            refused.error_args = refusal(error.code, str(error))
            raise refused from None
        if pid is not None:
            self._pids[sid] = pid

    def _leave(self, sid: str, reason: str) -> None:
        ours = self._reasons.get(self.engine_id(sid) or "")
        self._door.leave(sid, ours or _ENDS.get(reason, "transport"))

    async def _send_packet(self, eio_sid: str, pkt: packets.Packet) -> None:
        if pkt.packet_type == packets.CONNECT and pkt.data["sid"] in self._pids:
            pkt.data["pid"] = self._pids.pop(pkt.data["sid"])
        await super()._send_packet(eio_sid, pkt)

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        if wire := wire_of(environ["asgi.scope"]):
            self._wires[eio_sid] = wire

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._binary_packet.pop(eio_sid, None)
        try:
            await super()._handle_eio_disconnect(eio_sid, reason)
        finally:
            if line := self.eio.sockets.get(eio_sid):
                # The library leaves the last poll of a client that has gone waiting for 45 s.
                self.eio.release(line)
            self._wires.pop(eio_sid, None)
            self._reasons.pop(eio_sid, None)

    async def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        try:
            packet = self._decode(eio_sid, data)
        except _MALFORMED:
            await self.hang_up(eio_sid, "malformed")
            return
        if packet is None:
            return
        try:
            await self._dispatch(eio_sid, packet)
        except BaseException:
            await self.hang_up(eio_sid, "transport")
            raise

    async def _dispatch(self, eio_sid: str, packet: packets.Packet) -> None:
        match packet.packet_type:
            case packets.CONNECT:
                await self._handle_connect(eio_sid, packet.namespace, packet.data)
            case packets.DISCONNECT:
                reason = self.reason.CLIENT_DISCONNECT
                await self._handle_disconnect(eio_sid, packet.namespace, reason)
            case packets.EVENT | packets.BINARY_EVENT:
                await self._handle_event(eio_sid, packet.namespace, packet.id, packet.data)

    def _decode(self, eio_sid: str, data: object) -> packets.Packet | None:
        """Return a whole packet, None while its attachments are on their way."""
        if packet := self._binary_packet.get(eio_sid):
            if not isinstance(data, bytes):
                raise ValueError(type(data))
            if not packet.add_attachment(data):
                return None
            del self._binary_packet[eio_sid]
            return packet
        packet = self.packet_class(encoded_packet=data)
        if not packet.attachment_count:
            return packet
        sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if packet.attachment_count > ATTACHMENTS_MAX or not self.manager.is_connected(
            sid, NAMESPACE
        ):
            raise ValueError(packet.attachment_count)
        self._binary_packet[eio_sid] = packet
        return None

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: object) -> None:
        if namespace != NAMESPACE:
            message = f"There is no such namespace here. Connect to {NAMESPACE}."
            packet = self.packet_class(
                packets.CONNECT_ERROR, refusal("unknown_namespace", message), namespace
            )
            await self._send_packet(eio_sid, packet)
            return
        if self.manager.sid_from_eio_sid(eio_sid, NAMESPACE) is not None:
            return
        try:
            await super()._handle_connect(eio_sid, namespace, data)
        except BaseException:
            await self._forget_pending(eio_sid)
            raise
        sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        if sid is None:
            return
        if eio_sid not in self.environ:
            # It was lost while its token was verified, when the library does not look for it.
            await self._forget_pending(eio_sid)
            self._door.leave(sid, "transport")
            return
        await self._door.welcome(sid)

    async def _forget_pending(self, eio_sid: str) -> None:
        """Remove a client that is not yet connected, which the library only does on a refusal."""
        if sid := self.manager.sid_from_eio_sid(eio_sid, NAMESPACE):
            self._pids.pop(sid, None)
            await self.manager.disconnect(sid, NAMESPACE, ignore_queue=True)

    async def _handle_event(
        self, eio_sid: str, namespace: str | None, id_: int | None, data: object
    ) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, namespace)
        if namespace != NAMESPACE or not self.manager.is_connected(sid, NAMESPACE):
            return
        name, arguments = (data[0], data[1:]) if isinstance(data, list) and data else (None, [])
        await self._door.command(sid, Command(name, arguments, id_))


def _abort(wire: Wire) -> None:
    """End what is left of a connection that was cut."""
    # A request of long-polling that was answered leaves its connection to other requests.
    if wire.websocket or wire.unsent_bytes:
        wire.abort()
