"""Bridges and sessions that come and go while events are handed over."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gateway.bridge import PermanentFailure, TemporaryFailure
from gateway.pump import Pump
from sessions import event_log
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId
from tests.gateway.pumping import RecordingBridge, gets, head, pumping
from tests.sessions.house import TENANT, House, running_house, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Run a manager on an empty database."""
    async with running_house(tmp_path) as running:
        yield running


async def failing(pump: Pump) -> int:
    """Return how many sessions of the first bridge wait for another try."""
    return (await pump.status())[0].failing_sessions


def refuse(_: SessionEvent) -> None:
    """Take nothing for now."""
    raise TemporaryFailure("not now")


async def test_bridges_come_and_go_while_their_status_is_asked(house: House) -> None:
    first = [RecordingBridge(f"first:{number}") for number in range(10)]
    async with pumping(house, *first) as pump:
        for number in range(10):
            asking = asyncio.create_task(pump.status())
            await asyncio.sleep(0)
            pump.add(RecordingBridge(f"later:{number}"))
            await pump.remove(f"first:{number}")
            assert len(await asking) >= 10
        session = await house.connected()
        assert len(await pump.status()) == 10
        assert (await house.manager.get(TENANT, session.id)).session_id == "one"


async def test_an_event_that_is_wanted_no_more_is_no_trouble(house: House) -> None:
    bridge = RecordingBridge("changed")
    bridge.judge = refuse
    async with pumping(house, bridge) as pump:
        await house.connected()
        await until(partial(failing, pump), lambda sessions: sessions == 1)
        bridge.wanted = frozenset({EventType.SESSION_MESSAGE})

        await until(partial(failing, pump), lambda sessions: sessions == 0)


async def test_a_session_that_is_deleted_while_it_is_refused_leaves_nothing(house: House) -> None:
    bridge = RecordingBridge("refusing")
    bridge.judge = refuse
    async with pumping(house, bridge) as pump:
        await house.connected()
        await until(partial(failing, pump), lambda sessions: sessions == 1)
        await house.manager.delete(TENANT, "one")

        async def word() -> bool:
            return EventType.SESSION_DELETED in {event.type for event in bridge.shown}

        await until(word, bool)
        await until(partial(failing, pump), lambda sessions: sessions == 0)


async def test_a_session_that_is_deleted_while_its_event_is_parked_stops_nobody(
    house: House,
) -> None:
    bridge = RecordingBridge("parking")
    parking = asyncio.Event()

    async def delete_then_refuse(event: SessionEvent) -> None:
        if event.session_id == "one":
            await house.manager.delete(TENANT, "one")
            parking.set()
            raise PermanentFailure("never")

    bridge.first = delete_then_refuse
    async with pumping(house, bridge) as pump:
        await house.session("one")
        await house.manager.activate(TENANT, "one")
        await asyncio.wait_for(parking.wait(), 10)
        two = await house.connected("two", phone="15550002222")
        await gets(bridge, two.id, await head(house, "two"))
        assert (await pump.status())[0].parked == 0


async def test_the_same_gap_is_the_same_event_each_time(tmp_path: Path) -> None:
    known, again = RecordingBridge("kept"), RecordingBridge("kept")
    ids: list[str] = []
    async with running_house(tmp_path) as house:
        async with pumping(house, known):
            session = await house.connected()
            await gets(known, session.id, await head(house))
        house.engine.burst(SessionId(session.id), 30)
        await house.logged("one", EventType.SESSION_MESSAGE, 30)
        await house.store.write(
            partial(event_log.trim, session=SessionId(session.id), keep=5, older_than_ms=0)
        )

        def refuse_twice(event: SessionEvent) -> None:
            if event.type is EventType.EVENTS_GAP:
                ids.append(event.id)
                if len(ids) < 3:
                    raise TemporaryFailure("not now")

        again.judge = refuse_twice
        async with pumping(house, again):
            upto = await head(house)
            await gets(again, session.id, upto, first=upto - 5)
    assert len(ids) == 3
    assert len(set(ids)) == 1


async def test_a_parked_event_that_the_log_keeps_no_more_is_told_as_lost(house: House) -> None:
    bridge = RecordingBridge("picky")

    def refuse_connected(event: SessionEvent) -> None:
        if event.type is EventType.SESSION_CONNECTED:
            raise PermanentFailure("never")

    bridge.judge = refuse_connected
    async with pumping(house, bridge) as pump:
        session = await house.connected()
        house.engine.burst(SessionId(session.id), 30)
        await house.logged("one", EventType.SESSION_MESSAGE, 30)

        async def last() -> int | None:
            return bridge.taken[-1].seq if bridge.taken else None

        upto = await head(house)
        await until(last, lambda seq: seq == upto)
        await house.store.write(
            partial(event_log.trim, session=SessionId(session.id), keep=5, older_than_ms=0)
        )
        again = await pump.redeliver("picky")
    assert (again.delivered, again.lost, again.still_parked) == (0, 1, 0)
