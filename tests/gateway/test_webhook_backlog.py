"""Row 37: a webhook that is dead while much happens; its hour is leapt, the sockets are real."""

import asyncio
import contextlib
import gc
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.pump import Pump
from gateway.webhook_client import WebhookClient
from gateway.webhooks import Webhooks
from sessions.bus import announce
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, SessionName, TenantId, new_uuid
from sessions.session import Session
from tests.api.server import serving
from tests.gateway.edge import Client, Edge, running_edge
from tests.gateway.leaping_clock import LeapingClock
from tests.sessions.house import TENANT, until

SESSIONS = 2
AT_ONCE = 100
PROMPT_SECONDS = 5
HOUR = 3_600


@dataclass
class Seqs:
    """The numbers of each session's events, as something takes them; it keeps nothing else."""

    taken: dict[str, list[int]] = field(default_factory=partial(defaultdict, list))

    async def count(self) -> int:
        """Return how many there are."""
        return sum(map(len, self.taken.values()))


@dataclass
class Endpoint(Seqs):
    """A receiver of webhooks that is dead, or takes everything."""

    port: int = 0
    dead: bool = True
    refused: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def receive(self, request: Request) -> Response:
        """Take an event, or not."""
        event = from_json(await request.body())
        if self.dead:
            self.refused += 1
            return Response(status_code=500)
        self.taken[event["sessionId"]].append(event["seq"])
        return Response()


class SwiftBridge(Seqs):
    """Another back end, which takes everything at once."""

    name = "swift"
    tenant: TenantId | None = None
    session: SessionId | None = None

    def wants(self, type_: EventType) -> bool:
        """Everything."""
        return True

    async def deliver(self, event: SessionEvent) -> None:
        """Take it."""
        self.taken[event.session_id].append(event.seq or 0)

    async def show(self, event: SessionEvent) -> None:
        """Nothing is shown here."""

    def pause_seconds(self, failures: int) -> float:
        """Never asked for."""
        return 1


@dataclass
class Site:
    """A gateway with a dead webhook, another bridge and a client that follows one session."""

    edge: Edge
    clock: LeapingClock
    endpoint: Endpoint
    bridge: SwiftBridge
    client: Client
    live: Session
    worst_seconds: float = 0

    async def look_again(self) -> None:
        """Let the lines look at the clock."""
        event = SessionEvent(
            id=new_uuid(), type=EventType.SESSION_STATUS, session=SessionId(new_uuid()),
            session_id=SessionName("nobody"), seq=1, timestamp=0, data={},
        )  # fmt: skip
        await announce(self.edge.house.bus, event)

    async def fill(self, sessions: list[Session], first: int, last: int, padding: int) -> None:
        """Let so much happen, as fast as the database takes it."""
        for start in range(first, last + 1, AT_ONCE):
            count = min(AT_ONCE, last + 1 - start)
            for session in sessions:
                await self.edge.append(session, count, first=start, padding=padding)

    async def see_that_sockets_are_prompt(self) -> None:
        """Let something happen in the session that the client follows, and wait for it."""
        started, heard = time.monotonic(), len(self.client.payloads("session:status"))
        await self.edge.append(self.live, 1)
        await self.client.hears("session:status", heard + 1)
        self.worst_seconds = max(self.worst_seconds, time.monotonic() - started)


@contextlib.asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    """Run it until the block is left."""
    clock, endpoint, bridge = LeapingClock(), Endpoint(), SwiftBridge()
    app = Starlette(routes=[Route("/hook", endpoint.receive, methods=["POST"])])
    async with running_edge(directory) as edge, serving(app) as endpoint.port:
        house = edge.house
        pump = Pump(house.store, house.bus, clock)
        client = WebhookClient(allow_http=True, allow_private=True)
        webhooks = Webhooks(house.store, house.bus, pump, client, clock)
        pump.add(bridge)
        tasks = [asyncio.create_task(run()) for run in (pump.run, webhooks.run)]
        try:
            live = await house.session("live")
            await webhooks.create(TENANT, url=endpoint.url, events=["*"], session=None)
            async with edge.client() as socket:
                await socket.subscribe("live")
                yield Site(edge, clock, endpoint, bridge, socket, live)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await webhooks.close()


def memory_bytes() -> int:
    """Return what this process has in memory now."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize(
    ("events", "padding", "growth_bytes", "drain_seconds"),
    [
        pytest.param(2_000, 20_000, 25_000_000, 55, marks=pytest.mark.timeout(150)),
        pytest.param(
            100_000, 2_000, 60_000_000, 2_400, marks=[pytest.mark.slow, pytest.mark.timeout(3_600)]
        ),
    ],
)
async def test_a_dead_webhook_costs_neither_memory_nor_others_and_is_drained_in_order(
    tmp_path: Path, events: int, padding: int, growth_bytes: int, drain_seconds: float
) -> None:
    async with site(tmp_path) as here:
        sessions = [await here.edge.house.session(f"s{number}") for number in range(SESSIONS)]
        each, endpoint = events // SESSIONS, here.endpoint
        await here.fill(sessions, 1, each // 10, padding)
        await until(here.bridge.count, lambda count: count >= events // 10)
        before_bytes = memory_bytes()

        await here.fill(sessions, each // 10 + 1, each, padding)
        for seconds in (7, 7 * 60, 36 * 60, HOUR - 43 * 60):
            here.clock.leap(seconds)
            await here.look_again()
            await here.see_that_sockets_are_prompt()
        everything = {session.session_id: list(range(1, each + 1)) for session in sessions}
        await until(here.bridge.count, lambda count: count >= events, seconds=drain_seconds)
        assert {name: here.bridge.taken[name] for name in everything} == everything
        # Each session's first event, and no storm of those behind it.
        assert 0 < endpoint.refused <= 6 * (SESSIONS + 1)
        assert endpoint.taken == {}
        grown_bytes = [memory_bytes() - before_bytes]

        endpoint.dead = False
        here.clock.leap(3 * HOUR)
        await here.look_again()
        await until(endpoint.count, bool)
        await here.see_that_sockets_are_prompt()
        await until(endpoint.count, lambda count: count >= events // 2, seconds=drain_seconds)
        grown_bytes.append(memory_bytes() - before_bytes)
        await here.see_that_sockets_are_prompt()
        await until(endpoint.count, lambda count: count >= events + 6, seconds=drain_seconds)
        grown_bytes.append(memory_bytes() - before_bytes)

        assert {name: endpoint.taken[name] for name in everything} == everything
        assert endpoint.taken["live"] == sorted(endpoint.taken["live"])
        assert max(grown_bytes) < growth_bytes < 0.65 * events * padding
        assert here.worst_seconds < PROMPT_SECONDS
