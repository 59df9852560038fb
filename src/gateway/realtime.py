"""The Socket.IO edge: namespace /ws, who may enter it, and what its clients may ask.

Model: commands of one connection run one after the other in the task that reads it; the feeds and
the watch over expiring tokens live in `run`. A connection owns no task, so none can outlive it.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import socketio
from starlette.types import ASGIApp

from auth.errors import AuthError
from auth.principal import Principal
from gateway.admission import Admission, Verifier
from gateway.broadcast import Broadcast
from gateway.client_commands import ClientCommands
from gateway.commands import Failed, TooManyConnections
from gateway.connections import Connection, Connections, RealtimeLimits, TokenBucket
from gateway.feed import Feed
from gateway.feeds import Feeds
from gateway.offsets import Positions, new_pid
from gateway.realtime_metrics import EndReason, RealtimeMetrics
from gateway.restoration import Plan, Restoration
from gateway.session_state import FeedKey, Sessions
from gateway.socket_door import Command, Handshake, Recovery, Refused
from gateway.socket_guard import SocketGuard
from gateway.socket_server import SocketServer
from sessions.bus import Bus
from sessions.clock import Clock, iso
from sessions.messages import Problem

logger = logging.getLogger(__name__)
PATH = "/socket.io/"
EXPIRY_NOTICE = timedelta(seconds=60)
_WATCH_SECONDS = 1.0


class Realtime:
    """Serves Socket.IO clients; give it `run` a task and its `asgi` to the web server."""

    def __init__(
        self,
        *,
        manager: Sessions,
        bus: Bus,
        verifier: Verifier,
        allowed_origins: Collection[str],
        clock: Clock,
        metrics: RealtimeMetrics,
        limits: RealtimeLimits | None = None,
    ) -> None:
        self._manager = manager
        self._bus = bus
        self._admission = Admission(verifier, clock)
        self._clock = clock
        self._metrics = metrics
        self._limits = limits or RealtimeLimits()
        self._connections = Connections(per_subject=self._limits.connections_per_subject)
        self._plans: dict[str, Plan] = {}
        self._closing = False
        self._server = SocketServer(
            self, allowed_origins=allowed_origins, message_max_bytes=self._limits.message_bytes
        )
        self._broadcast = Broadcast(self._server, unsent_bytes_max=self._limits.unsent_bytes)
        self._feeds = Feeds(self._make_feed, poll_seconds=self._limits.poll_seconds)
        self._commands = ClientCommands(
            manager=manager,
            feeds=self._feeds,
            broadcast=self._broadcast,
            admission=self._admission,
            clock=clock,
            limits=self._limits,
            metrics=metrics,
        )
        self._restoration = Restoration(
            sessions=manager,
            feeds=self._feeds,
            broadcast=self._broadcast,
            clock=clock,
            limits=self._limits,
        )

    def asgi(self, other_app: ASGIApp) -> ASGIApp:
        """Return the application that answers /socket.io and passes on everything else."""
        app = socketio.ASGIApp(self._server, other_app, socketio_path=PATH)
        return SocketGuard(app, path=PATH, wires=self._server)

    @property
    def connections(self) -> int:
        """The number of clients inside the namespace."""
        return len(self._connections)

    @property
    def unsent_bytes(self) -> int:
        """What waits for all clients together."""
        return self._server.all_unsent_bytes

    async def run(self) -> None:
        """Carry events and watch over connections until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feeds.run())
            tasks.create_task(self._watch_forever())

    async def close(self) -> None:
        """End every connection; its client connects to another or the next server. Idempotent."""
        if self._closing:
            return
        self._closing = True
        for eio_sid in list(self._server.eio.sockets):
            await self._server.hang_up(eio_sid, "shutdown")
        await self._server.shutdown()

    async def admit(self, sid: str, handshake: Handshake) -> str | None:
        """Decide on a handshake; return the name of the client's state, if it wants it recovered.

        Raises:
            Refused: not with this token, or not now.
        """
        if self._closing:
            raise Refused("draining", "This server is shutting down. Try again.")
        bucket = TokenBucket(
            per_second=self._limits.commands_per_second,
            burst=self._limits.commands_burst,
            now=self._clock.monotonic(),
        )
        try:
            principal = await self._admission.principal(handshake.token)
            plan = await self._plan(principal, handshake.recovery)
            connection = Connection(sid, principal, bucket)
            self._connections.add(connection)
        except (AuthError, TooManyConnections) as error:
            logger.info("handshake refused: %s", error.code, extra={"address": handshake.address})
            raise Refused(error.code, error.message) from None
        self._metrics.clients.set(len(self._connections))
        if handshake.recovery is None:
            return None
        return self._remember(connection, plan, handshake.recovery)

    async def welcome(self, sid: str) -> None:
        """Tell a client who it is, and what it missed if its state is recovered."""
        plan = self._plans.pop(sid, None)
        if connection := self._connections.get(sid):
            await self._broadcast.to_client(sid, "connected", _identity(connection.principal))
            if plan:
                await self._restoration.carry_out(connection, plan)

    def leave(self, sid: str, reason: EndReason) -> None:
        """Forget a client."""
        self._plans.pop(sid, None)
        self._broadcast.forget(sid)
        if connection := self._connections.remove(sid):
            connection.closed = True
            self._feeds.forget(connection)
            self._metrics.clients.set(len(self._connections))
            self._metrics.ends.labels(reason).inc()

    async def command(self, sid: str, command: Command) -> None:
        """Answer an event, whatever it carries."""
        if connection := self._connections.get(sid):
            await self._commands.run(connection, command)

    async def _plan(self, principal: Principal, asked: Recovery | None) -> Plan | None:
        if asked is None or asked.pid is None:
            return None
        plan = await self._restoration.plan(principal, asked)
        self._metrics.recovery("connection", recovered=plan is not None)
        return plan

    def _remember(self, connection: Connection, plan: Plan | None, asked: Recovery) -> str:
        """Note where a client is, and return its `pid`: the same as before says `recovered`."""
        start = {key.session: cursor for key, cursor in (plan or {}).items()}
        connection.positions = Positions(start)
        self._broadcast.track(connection.sid, connection.positions)
        if plan is None or asked.pid is None:
            return new_pid(connection.principal)
        self._plans[connection.sid] = plan
        return asked.pid

    def _make_feed(self, key: FeedKey, on_end: Callable[[Feed], None]) -> Feed:
        return Feed(
            key,
            sessions=self._manager,
            bus=self._bus,
            broadcast=self._broadcast,
            clock=self._clock,
            replayed_events_max=self._limits.replayed_events,
            on_end=on_end,
        )

    async def _watch_forever(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            late = await self._server.hang_up_outsiders(
                self._clock.monotonic(), self._limits.handshake_seconds
            )
            self._metrics.outsiders.inc(late)
            self._metrics.unsent_bytes.set(self.unsent_bytes)
            now = self._clock.now()
            for connection in self._connections.all():
                await self._watch(connection, now)

    async def _watch(self, connection: Connection, now: datetime) -> None:
        try:
            self._admission.check(connection.principal)
        except AuthError as error:
            await self._dismiss(connection, error)
            return
        expires_at = connection.principal.expires_at
        if now >= expires_at - EXPIRY_NOTICE and not connection.expiry_announced:
            connection.expiry_announced = True
            notice = {"expiresAt": iso(expires_at)}
            await self._broadcast.to_client(connection.sid, "auth:expiring", notice)

    async def _dismiss(self, connection: Connection, error: AuthError) -> None:
        body = Failed(error=Problem(code=error.code, message=error.message)).model_dump()
        await self._broadcast.to_client(connection.sid, "error", body)
        await self._server.expel(connection.sid)


def _identity(principal: Principal) -> Mapping[str, Any]:
    return {
        "subject": principal.subject,
        "tenant": principal.tenant,
        "expiresAt": iso(principal.expires_at),
    }
