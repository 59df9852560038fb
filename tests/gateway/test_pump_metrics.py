"""What an operator sees of bridges, and the end of an event that only fails for a fault of ours."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.bridge import PermanentFailure, TemporaryFailure
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId
from tests.gateway.pumping import RecordingBridge, gets, head, pumping
from tests.sessions.house import House, running_house, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Run a manager on an empty database."""
    async with running_house(tmp_path) as running:
        yield running


async def test_what_waits_is_measured_by_kind_and_what_was_taken_is_counted(house: House) -> None:
    registry = CollectorRegistry()
    one, two = RecordingBridge("hook:1"), RecordingBridge("hook:2")

    def refuse(event: SessionEvent) -> None:
        if event.type is EventType.SESSION_CONNECTED:
            raise PermanentFailure("never")
        raise TemporaryFailure("down")

    def figure(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"bridge": "hook", **labels})

    async def backlog() -> float | None:
        return figure("wagate_bridge_backlog_events")

    async with pumping(house, one, two, registry=registry):
        session = await house.connected()
        upto = await head(house)
        for bridge in (one, two):
            await gets(bridge, session.id, upto)
        await until(backlog, lambda events: events == 0)
        assert figure("wagate_bridge_oldest_seconds") == 0
        assert figure("wagate_bridge_events_total", outcome="taken") == 2 * upto

        two.judge = refuse
        house.engine.burst(SessionId(session.id), 5)
        await until(backlog, lambda events: events == 5)
        assert (figure("wagate_bridge_oldest_seconds") or 0) > 0
        assert (figure("wagate_bridge_events_total", outcome="refused") or 0) > 0
        assert figure("wagate_bridge_parked_events") == 0


async def test_an_event_that_breaks_a_bridge_is_parked_at_last(house: House) -> None:
    bridge = RecordingBridge("broken")

    def stumble(event: SessionEvent) -> None:
        if event.type is EventType.SESSION_CONNECTED:
            raise KeyError("fault of ours")

    bridge.judge = stumble
    async with pumping(house, bridge) as pump:
        session = await house.connected()
        house.engine.write(SessionId(session.id), "behind it")
        await house.logged("one", EventType.SESSION_MESSAGE)
        upto = await head(house)

        async def last() -> int | None:
            return bridge.taken[-1].seq if bridge.taken else None

        await until(last, lambda seq: seq == upto)
        status = (await pump.status())[0]
        assert (status.parked, status.last_error) == (1, "KeyError")
        assert bridge.tries - len(bridge.taken) > 10
        bridge.judge = lambda _: None
        assert (await pump.redeliver("broken")).delivered == 1
