"""What clients ask, carried out: subscribe, unsubscribe, go on with a newer token."""

import asyncio

from pydantic import BaseModel

from auth.errors import AuthError
from gateway.access import find, may_follow
from gateway.admission import Admission
from gateway.broadcast import Broadcast
from gateway.commands import (
    AuthRefresh,
    CommandRefused,
    Failed,
    Refreshed,
    Subscribed,
    SubscribeSession,
    TimedOut,
    TokenMismatch,
    TooManySubscriptions,
    UnknownEvent,
    Unsubscribed,
    UnsubscribeSession,
    parse,
)
from gateway.connections import Connection, RealtimeLimits
from gateway.feed import Feed
from gateway.feeds import Feeds
from gateway.offsets import Step
from gateway.realtime_metrics import RealtimeMetrics
from gateway.session_state import Sessions
from gateway.socket_door import Command
from sessions.clock import Clock
from sessions.errors import SessionNotFound, SessionsError
from sessions.messages import Problem

_FAILURES = (CommandRefused, AuthError, SessionsError)


class ClientCommands:
    """Carries out the commands of clients, one at a time per connection."""

    def __init__(
        self,
        *,
        manager: Sessions,
        feeds: Feeds,
        broadcast: Broadcast,
        admission: Admission,
        clock: Clock,
        limits: RealtimeLimits,
        metrics: RealtimeMetrics,
    ) -> None:
        self._manager = manager
        self._feeds = feeds
        self._broadcast = broadcast
        self._admission = admission
        self._clock = clock
        self._limits = limits
        self._metrics = metrics

    async def run(self, connection: Connection, command: Command) -> None:
        """Answer a command, whatever it carries."""
        async with connection.turn:
            try:
                connection.bucket.take(self._clock.monotonic())
                async with asyncio.timeout(self._limits.command_seconds):
                    await self._perform(connection, command)
            except _FAILURES as error:
                await self._fail(connection.sid, command, code=error.code, message=error.message)
            except TimeoutError:
                late = TimedOut()
                await self._fail(connection.sid, command, code=late.code, message=late.message)

    async def _perform(self, connection: Connection, command: Command) -> None:
        match command.name:
            case "subscribe:session":
                await self._subscribe(connection, command)
            case "unsubscribe:session":
                await self._unsubscribe(connection, command)
            case "auth:refresh":
                await self._refresh(connection, command)
            case _:
                raise UnknownEvent

    async def _subscribe(self, connection: Connection, command: Command) -> None:
        request = parse(SubscribeSession, command.arguments)
        self._admission.check(connection.principal)
        key = await find(self._manager, connection.principal, request.session_id)
        known = key.session in connection.subscriptions
        if not known and len(self._feeds.of(connection)) >= self._limits.subscriptions:
            raise TooManySubscriptions

        async def reply(answer: Subscribed) -> None:
            if request.after is not None:
                self._metrics.recovery("cursor", recovered=answer.recovered)
            await self._succeed(connection.sid, command, answer)

        async with self._feeds.hold(key) as feed:
            await feed.join(connection, request.after, reply)

    async def _unsubscribe(self, connection: Connection, command: Command) -> None:
        request = parse(UnsubscribeSession, command.arguments)
        for feed in self._feeds.of(connection):
            if request.session_id in (feed.key.session, feed.key.name):
                await self._feeds.leave(connection, feed)
                # The event first, where it carries the client's position: see Feed.
                if connection.positions is not None:
                    await self._send_away(connection, feed, reason="unsubscribed")
                answer = Unsubscribed(session_id=feed.key.name)
                await self._succeed(connection.sid, command, answer)
                if connection.positions is None:
                    await self._send_away(connection, feed, reason="unsubscribed")
                return
        raise SessionNotFound

    async def _refresh(self, connection: Connection, command: Command) -> None:
        request = parse(AuthRefresh, command.arguments)
        previous = connection.principal
        principal = await self._admission.principal(request.token)
        if (principal.subject, principal.tenant) != (previous.subject, previous.tenant):
            raise TokenMismatch
        connection.principal = principal
        connection.expiry_announced = False
        answer = Refreshed(
            subject=principal.subject, tenant=principal.tenant, expires_at=principal.expires_at
        )
        await self._succeed(connection.sid, command, answer)
        for feed in self._feeds.of(connection):
            if not may_follow(principal, feed.key):
                await self._feeds.leave(connection, feed)
                await self._send_away(connection, feed, reason="forbidden")

    async def _succeed(self, sid: str, command: Command, answer: BaseModel) -> None:
        if command.acknowledgement is not None:
            body = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
            await self._broadcast.acknowledge(sid, command.acknowledgement, body)

    async def _fail(self, sid: str, command: Command, *, code: str, message: str) -> None:
        body = Failed(error=Problem(code=code, message=message)).model_dump()
        if command.acknowledgement is None:
            await self._broadcast.to_client(sid, "error", body)
        else:
            await self._broadcast.acknowledge(sid, command.acknowledgement, body)

    async def _send_away(self, connection: Connection, feed: Feed, *, reason: str) -> None:
        payload = {"sessionId": feed.key.name, "reason": reason}
        step = Step(feed.key.session, None)
        await self._broadcast.to_client(connection.sid, "unsubscribed", payload, step)
