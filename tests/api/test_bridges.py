"""Bridges over REST: who may look, and what helps one that refuses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from auth.principal import Scope
from gateway.bridge import PermanentFailure
from gateway.pump import Pump
from sessions.clock import SystemClock
from sessions.events import EventType, SessionEvent
from sessions.ids import TenantId
from tests.api.server import Server, application, issued, serving
from tests.gateway.pumping import RecordingBridge
from tests.sessions.house import TENANT, running_house, until

ADMIN = issued(scopes=[Scope.ADMIN])


@contextlib.asynccontextmanager
async def bridged(directory: Path, *bridges: RecordingBridge) -> AsyncIterator[Server]:
    """Run the edge with a pump and these bridges."""
    async with running_house(directory) as house:
        pump = Pump(house.store, house.bus, SystemClock())
        for bridge in bridges:
            pump.add(bridge)
        task = asyncio.create_task(pump.run())
        async with (
            serving(application(house, pump=pump)) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
        ):
            yield Server(client, house, port, issued())
        task.cancel()
        await asyncio.wait({task})


def never(event: SessionEvent) -> None:
    """Refuse the connection's own event for good."""
    if event.type is EventType.SESSION_CONNECTED:
        raise PermanentFailure("no such queue")


async def test_an_administrator_sees_and_repeats_what_was_refused(tmp_path: Path) -> None:
    bridge = RecordingBridge("queue")
    bridge.judge = never
    async with bridged(tmp_path, bridge, RecordingBridge("theirs", tenant=TenantId("x"))) as server:
        await server.connected()

        async def listed() -> list[dict[str, object]]:
            return list((await server.call("GET", "/bridges", token=ADMIN)).json()["items"])

        items = await until(listed, lambda found: found[0]["parked"] == 1)
        assert [item["name"] for item in items] == ["queue"]
        assert items[0]["lastError"] == "no such queue"
        bridge.judge = lambda _: None
        answer = await server.call("POST", "/bridges/queue/redeliver", token=ADMIN)
        assert answer.json() == {"delivered": 1, "lost": 0, "stillParked": 0}
        assert (await server.call("POST", "/bridges/queue/retry", token=ADMIN)).status_code == 202


@pytest.mark.parametrize("name", ["nobody", "theirs"])
async def test_a_bridge_of_nobodys_or_others_is_not_found(tmp_path: Path, name: str) -> None:
    async with bridged(tmp_path, RecordingBridge("theirs", tenant=TenantId("x"))) as server:
        for call in ("retry", "redeliver"):
            answer = await server.call("POST", f"/bridges/{name}/{call}", token=ADMIN)
            assert (answer.status_code, answer.json()["code"]) == (404, "bridge_not_found")


async def test_only_administrators_see_bridges(tmp_path: Path) -> None:
    async with bridged(tmp_path, RecordingBridge("mine", tenant=TENANT)) as server:
        assert (await server.call("GET", "/bridges")).status_code == 403
