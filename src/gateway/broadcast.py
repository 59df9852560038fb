"""The one module that emits: to a room, to a client, in answer to an event.

Each packet is encoded once, whatever the number of its recipients, and handed to each recipient's
queue in the order of the calls. Nothing here waits for a client (but `drained`, on purpose): one
that leaves too much unread is cut, and resumes by its cursor.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.offsets import Positions, Step
from gateway.socket_library import SizedPacket
from gateway.socket_server import NAMESPACE, SocketServer

_DRAIN_POLL_SECONDS = 0.01


class Broadcast:
    """Writes to the clients of one Socket.IO server."""

    def __init__(self, server: SocketServer, *, unsent_bytes_max: int) -> None:
        self._server = server
        self._unsent_bytes_max = unsent_bytes_max
        self._positions: dict[str, Positions] = {}

    def track(self, sid: str, positions: Positions) -> None:
        """Send this client its offset with each of its events."""
        self._positions[sid] = positions

    def forget(self, sid: str) -> None:
        """Forget a client. Idempotent."""
        self._positions.pop(sid, None)

    async def to_room(
        self, room: str, event: str, payload: Mapping[str, Any], step: Step | None = None
    ) -> None:
        """Emit to everyone who is in the room now."""
        members = list(self._server.manager.get_participants(NAMESPACE, room))
        if not members:
            return
        body = orjson.dumps([event, payload])
        packet = _event_packet(body)
        for sid, engine_id in members:
            await self._send(engine_id, self._with_offset(sid, body, step) or packet)
        # In a burst the writers of healthy clients must get their turn, or all seem slow.
        await asyncio.sleep(0)

    async def to_client(
        self, sid: str, event: str, payload: Mapping[str, Any], step: Step | None = None
    ) -> None:
        """Emit to one client; one that is gone is ignored."""
        if engine_id := self._server.engine_id(sid):
            body = orjson.dumps([event, payload])
            packet = self._with_offset(sid, body, step) or _event_packet(body)
            await self._send(engine_id, packet)

    async def acknowledge(self, sid: str, acknowledgement: int, payload: Mapping[str, Any]) -> None:
        """Answer an event through the callback that its client gave."""
        if engine_id := self._server.engine_id(sid):
            head = f"3{NAMESPACE},{acknowledgement}".encode()
            await self._send(engine_id, SizedPacket(head + orjson.dumps([payload])))

    async def drained(self, sid: str) -> None:
        """Wait until a client has read so much that more can be sent to it, or is gone."""
        while engine_id := self._server.engine_id(sid):
            if self._server.unsent_bytes(engine_id) <= self._unsent_bytes_max // 2:
                return
            await asyncio.sleep(_DRAIN_POLL_SECONDS)

    async def enter(self, sid: str, room: str) -> None:
        """Put a client, which must be connected, into a room. Idempotent."""
        await self._server.enter_room(sid, room, namespace=NAMESPACE)

    async def leave(self, sid: str, room: str) -> None:
        """Take a client out of a room. Idempotent."""
        await self._server.leave_room(sid, room, namespace=NAMESPACE)

    async def hang_up(self, sid: str) -> None:
        """End a client's connection behind what is queued for it; it will connect again."""
        if engine_id := self._server.engine_id(sid):
            await self._server.hang_up(engine_id, "lost_position")

    async def _send(self, engine_id: str, packet: SizedPacket) -> None:
        # Before, not after: one packet larger than the limit must still get to who reads.
        if self._server.unsent_bytes(engine_id) > self._unsent_bytes_max:
            await self._server.cut(engine_id)
            return
        await self._server.eio.send_packet(engine_id, packet)

    def _with_offset(self, sid: str, body: bytes, step: Step | None) -> SizedPacket | None:
        """Return the event with the client's own offset as one more argument, if it wants that."""
        positions = self._positions.get(sid)
        if positions is None or step is None:
            return None
        return _event_packet(body[:-1] + b"," + orjson.dumps(positions.move(step)) + b"]")


def _event_packet(body: bytes) -> SizedPacket:
    return SizedPacket(f"2{NAMESPACE},".encode() + body)
