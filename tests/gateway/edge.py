"""The Socket.IO edge as clients meet it: a real uvicorn, the real domain, the simulator."""

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import socketio
import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from auth.keys import shared_secret
from auth.principal import Scope
from auth.revocations import RevocationList
from auth.tokens import TokenIssuer, TokenVerifier
from gateway.connections import RealtimeLimits
from gateway.realtime import Realtime
from gateway.realtime_metrics import RealtimeMetrics
from sessions import event_log
from sessions.bus import Bus
from sessions.clock import SystemClock
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId
from sessions.session import Session
from tests.sessions.house import House, running_house

NAMESPACE = "/ws"
QUICK = RealtimeLimits(poll_seconds=0.2, handshake_seconds=1)
WAIT_SECONDS = 8


class MovableClock(SystemClock):
    """The machine's clock, set forward at will."""

    ahead = timedelta()

    def now(self) -> datetime:
        """Return the moment, as far ahead as it was set."""
        return super().now() + self.ahead


class LossyBus:
    """A bus that loses what passes while `losing` is set, as a bus may."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.losing = False
        self.lost = 0

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand on to the bus behind."""
        await self._bus.publish(topic, payload)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Receive what is not lost."""
        async with self._bus.subscribe(topic) as payloads:
            yield self._filtered(payloads)

    async def _filtered(self, payloads: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for payload in payloads:
            if self.losing:
                self.lost += 1
            else:
                yield payload


@dataclass
class Client:
    """A python-socketio client that remembers everything it was told, in order."""

    io: socketio.AsyncClient
    heard: list[tuple[str, Any]] = field(default_factory=list)

    def names(self) -> list[str]:
        """Return the names of the events so far."""
        return [name for name, _ in self.heard]

    def payloads(self, *names: str) -> list[Any]:
        """Return the payloads of these events so far."""
        return [payload for name, payload in self.heard if name in names]

    def seqs(self) -> list[int]:
        """Return the numbers of the durable events so far."""
        return [body["seq"] for _, body in self.heard if isinstance(body, dict) and "seq" in body]

    async def ask(self, event: str, *arguments: object) -> Any:
        """Emit and return the acknowledgement."""
        data = arguments if len(arguments) != 1 else arguments[0]
        return await self.io.call(event, data, namespace=NAMESPACE, timeout=WAIT_SECONDS)

    async def subscribe(self, ref: str, **more: object) -> Any:
        """Subscribe to a session and return the acknowledgement."""
        return await self.ask("subscribe:session", {"sessionId": ref, **more})

    async def hears(self, name: str, count: int = 1) -> Any:
        """Wait for the so-manieth event of this name and return its payload."""
        await eventually(lambda: len(self.payloads(name)) >= count, f"{name}, {count} of them")
        return self.payloads(name)[count - 1]


async def eventually(true: Callable[[], bool], what: str, *, seconds: float = WAIT_SECONDS) -> None:
    """Look until it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            message = f"not within {seconds} s: {what}"
            raise AssertionError(message)
        await asyncio.sleep(0.01)


@dataclass
class Edge:
    """The edge, running."""

    house: House
    bus: LossyBus
    clock: MovableClock
    issuer: TokenIssuer
    realtime: Realtime
    port: int
    revoked: RevocationList
    registry: CollectorRegistry

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    def token(
        self,
        *,
        subject: str = "frontend",
        tenant: str = "acme",
        scopes: Collection[Scope] = (Scope.SESSIONS_READ, Scope.MESSAGES_READ),
        sessions: Collection[str] | None = None,
        lifetime: timedelta = timedelta(hours=1),
    ) -> str:
        """Return a token for a frontend."""
        return self.issuer.issue(
            subject=subject, tenant=tenant, scopes=scopes, sessions=sessions, lifetime=lifetime
        )

    def counted(self, name: str, **labels: str) -> float:
        """Return a metric's value, 0 if there is none."""
        return self.registry.get_sample_value(name, labels) or 0

    @asynccontextmanager
    async def client(
        self, token: str | None = None, *, transports: list[str] | None = None
    ) -> AsyncIterator[Client]:
        """Connect a client, and disconnect it at the end of the block."""
        io = socketio.AsyncClient(reconnection=False)
        client = Client(io)
        io.on("*", _recorder(client), namespace=NAMESPACE)
        io.on("disconnect", _farewell(client), namespace=NAMESPACE)
        await io.connect(
            self.url,
            auth={"token": token or self.token()},
            namespaces=[NAMESPACE],
            transports=transports or ["websocket"],
            wait_timeout=WAIT_SECONDS,
        )
        try:
            yield client
        finally:
            await io.disconnect()

    def plain_client(self) -> socketio.AsyncClient:
        """Return a client that is not connected yet."""
        return socketio.AsyncClient(reconnection=False)

    async def refused(self, **connect: Any) -> Any:
        """Connect, be refused, and return what `connect_error` carries."""
        io = socketio.AsyncClient(reconnection=False)
        refusals: list[Any] = []
        io.on("connect_error", refusals.append, namespace=NAMESPACE)
        connect = {"namespaces": [NAMESPACE], "transports": ["websocket"], **connect}
        url = connect.pop("url", self.url)
        with contextlib.suppress(socketio.exceptions.ConnectionError):
            await io.connect(url, wait_timeout=WAIT_SECONDS, **connect)
            raise AssertionError("the handshake was not refused")
        await io.disconnect()
        return refusals[0]

    async def append(
        self, session: Session, count: int, *, first: int = 1, padding: int = 0
    ) -> list[SessionEvent]:
        """Write so many events into a session's log, as its runner would."""

        async def work(unit: Any) -> list[SessionEvent | None]:
            return [
                await event_log.append(
                    unit,
                    SessionId(session.id),
                    EventType.SESSION_STATUS,
                    {"status": "CONNECTING", "number": number, "padding": "x" * padding},
                )
                for number in range(first, first + count)
            ]

        return [event for event in await self.house.store.write(work) if event]


def _recorder(client: Client) -> Callable[..., Any]:
    async def record(name: str, *arguments: Any) -> None:
        client.heard.append((name, arguments[0] if arguments else None))

    return record


def _farewell(client: Client) -> Callable[..., Any]:
    async def record(reason: str) -> None:
        client.heard.append(("disconnect", reason))

    return record


@asynccontextmanager
async def running_edge(
    directory: Path,
    *,
    limits: RealtimeLimits = QUICK,
    allowed_origins: Collection[str] = (),
    qr_lifetimes_seconds: tuple[float, ...] = (60,),
    secret: str | None = None,
) -> AsyncIterator[Edge]:
    """Serve the edge on a free port until the block is left; `secret` signs tokens."""
    secret = secret or secrets.token_urlsafe(48)
    async with running_house(directory, qr_lifetimes_seconds=qr_lifetimes_seconds) as house:
        bus, clock, registry = LossyBus(house.bus), MovableClock(), CollectorRegistry()
        verifier = TokenVerifier(shared_secret(secret))
        realtime = Realtime(
            manager=house.manager,
            bus=bus,
            verifier=verifier,
            allowed_origins=allowed_origins,
            clock=clock,
            metrics=RealtimeMetrics(registry),
            limits=limits,
        )
        async with _serving(realtime) as port:
            issuer = TokenIssuer(secret)
            revoked = verifier.revocations
            yield Edge(house, bus, clock, issuer, realtime, port, revoked, registry)


@asynccontextmanager
async def _serving(realtime: Realtime) -> AsyncIterator[int]:
    ordinary = Starlette(routes=[Route("/ordinary", lambda _: PlainTextResponse("other"))])
    config = uvicorn.Config(
        realtime.asgi(ordinary),
        lifespan="off",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=QUICK.message_bytes,
        ws_ping_interval=None,
        log_config=None,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    tasks = [
        asyncio.create_task(realtime.run()),
        asyncio.create_task(server._serve([listener])),
    ]
    try:
        await eventually(lambda: server.started, "uvicorn started")
        yield int(listener.getsockname()[1])
    finally:
        await realtime.close()
        server.should_exit = True
        await asyncio.wait({tasks[1]}, timeout=5)
        tasks[0].cancel()
        await asyncio.wait(tasks, timeout=5)
        listener.close()
