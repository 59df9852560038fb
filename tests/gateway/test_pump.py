"""The pump: every bridge gets every event, in order, whatever happens to the others."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.bridge import PermanentFailure, TemporaryFailure
from gateway.pump import Pump
from sessions import event_log
from sessions.clock import SystemClock
from sessions.events import EventType, SessionEvent
from sessions.ids import TenantId
from tests.gateway.pumping import RecordingBridge, backlog, gets, head, pumping
from tests.sessions.house import TENANT, House, running_house, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Run a manager on an empty database."""
    async with running_house(tmp_path) as running:
        yield running


async def test_every_bridge_gets_everything_in_order(house: House) -> None:
    first, second = RecordingBridge("first"), RecordingBridge("second")
    async with pumping(house, first, second):
        one = await house.connected("one", phone="15550001111")
        two = await house.connected("two", phone="15550002222")
        house.engine.burst(one.id, 60)
        house.engine.burst(two.id, 60)
        await house.logged("one", EventType.SESSION_MESSAGE, 60)
        await house.logged("two", EventType.SESSION_MESSAGE, 60)

        for bridge in (first, second):
            await gets(bridge, one.id, await head(house))
            await gets(bridge, two.id, await head(house, "two"))
        assert {event.type for event in first.shown} >= {EventType.QR}


async def test_a_bridge_goes_on_where_it_was(tmp_path: Path) -> None:
    bridge = RecordingBridge("kept")
    async with running_house(tmp_path) as house, pumping(house, bridge):
        session = await house.connected()
        before = await head(house)
        await gets(bridge, session.id, before)
        await until(partial(backlog, house, bridge.name), lambda events: events == 0)
    again = RecordingBridge("kept")
    async with running_house(tmp_path) as house:
        await house.logged("one", EventType.SESSION_CONNECTED, 2)
        async with pumping(house, again):
            await gets(again, session.id, await head(house), first=before + 1)


async def test_a_new_bridge_starts_with_what_happens_from_now_on(house: House) -> None:
    old = await house.connected("old", phone="15550001111")
    before = await head(house, "old")
    bridge = RecordingBridge("late")
    async with pumping(house, bridge):
        young = await house.connected("young", phone="15550002222")
        house.engine.write(old.id, "news")

        await gets(bridge, young.id, await head(house, "young"))
        await gets(bridge, old.id, before + 1, first=before + 1)


async def test_a_temporary_failure_repeats_the_event_and_keeps_the_order(house: House) -> None:
    bridge = RecordingBridge("flaky")

    def refuse_twice(event: SessionEvent) -> None:
        if bridge.tries % 3:
            raise TemporaryFailure("not now")

    bridge.judge = refuse_twice
    async with pumping(house, bridge) as pump:
        session = await house.connected()
        await gets(bridge, session.id, await head(house))
        status = (await pump.status())[0]

    assert status.last_error == "not now"
    assert bridge.tries > 2 * len(bridge.taken)


async def test_a_permanent_failure_is_parked_and_the_rest_goes_on(house: House) -> None:
    bridge = RecordingBridge("picky")

    def refuse_connected(event: SessionEvent) -> None:
        if event.type is EventType.SESSION_CONNECTED:
            raise PermanentFailure("never")

    bridge.judge = refuse_connected
    async with pumping(house, bridge) as pump:
        session = await house.connected()
        house.engine.write(session.id, "behind it")
        await house.logged("one", EventType.SESSION_MESSAGE)
        upto = await head(house)

        async def last() -> int | None:
            return bridge.taken[-1].seq if bridge.taken else None

        await until(last, lambda seq: seq == upto)
        await until(partial(parked, pump), lambda count: count == 1)
        assert len(bridge.taken) == upto - 1
        assert (await pump.redeliver("picky")).still_parked == 1
        bridge.judge = lambda _: None
        again = await pump.redeliver("picky")
        assert (again.delivered, again.still_parked) == (1, 0)
        assert bridge.taken[-1].type is EventType.SESSION_CONNECTED


async def parked(pump: Pump) -> int:
    """Return how many events the first bridge has parked."""
    return (await pump.status())[0].parked


async def test_a_dead_bridge_does_not_slow_a_live_one(house: House) -> None:
    dead, live = RecordingBridge("dead"), RecordingBridge("live")

    def refuse(_: SessionEvent) -> None:
        raise TemporaryFailure("down", retry_seconds=3600, of_all=True)

    dead.judge = refuse
    async with pumping(house, dead, live) as pump:
        session = await house.connected()
        house.engine.burst(session.id, 100)
        await house.logged("one", EventType.SESSION_MESSAGE, 100)
        await gets(live, session.id, await head(house))
        assert dead.tries <= 1
        waiting = {status.name: status.backlog for status in await pump.status()}
        assert waiting["dead"] == await head(house)

        dead.judge = lambda _: None
        pump.nudge("dead")
        await gets(dead, session.id, await head(house))


async def test_what_was_forgotten_before_it_was_read_is_told(house: House) -> None:
    bridge = RecordingBridge("slow")
    async with pumping(house, bridge):
        session = await house.connected()
        await gets(bridge, session.id, before := await head(house))
        await until(partial(backlog, house, "slow"), lambda events: events == 0)
    house.engine.burst(session.id, 20)
    await house.logged("one", EventType.SESSION_MESSAGE, 20)
    trim = partial(event_log.trim, session=session.id, keep=5, older_than_ms=0)
    await house.store.write(trim)
    again = RecordingBridge("slow")

    async with pumping(house, again):
        upto = await head(house)
        await gets(again, session.id, upto, first=upto - 5)

    gap = again.taken[0]
    assert (gap.type, gap.data) == (EventType.EVENTS_GAP, {"from": before + 1, "to": upto - 5})


async def test_what_a_bridge_has_not_read_is_kept_longer(house: House) -> None:
    session = await house.connected()
    house.engine.burst(session.id, 30)
    await house.logged("one", EventType.SESSION_MESSAGE, 30)
    trim = partial(event_log.trim, session=session.id, keep=10, older_than_ms=0, unread_from=4)

    assert await house.store.write(trim) == 4
    assert await house.store.write(trim) == 0


async def test_a_bridge_of_one_tenant_gets_nothing_of_another(house: House) -> None:
    mine = RecordingBridge("mine", tenant=TENANT)
    other = RecordingBridge("other", tenant=TenantId("other"))
    async with pumping(house, mine, other):
        session = await house.connected()
        await gets(mine, session.id, await head(house))
        assert other.taken == []


async def test_a_removed_bridge_gets_nothing_more(house: House) -> None:
    bridge = RecordingBridge("gone")
    async with pumping(house, bridge) as pump:
        session = await house.connected()
        await gets(bridge, session.id, before := await head(house))
        await pump.remove("gone")
        house.engine.write(session.id, "not for it")
        await house.logged("one", EventType.SESSION_MESSAGE)
        assert await pump.status() == []
        assert len(bridge.taken) == before
        pump.add(RecordingBridge("twice"))
        with pytest.raises(ValueError, match="already"):
            pump.add(RecordingBridge("twice"))


async def test_it_ends_when_it_is_told_to_even_in_the_moment_of_news(house: House) -> None:
    for ticks in range(12):
        pump = Pump(house.store, house.bus, SystemClock())
        pump.add(RecordingBridge("idle"))
        task = asyncio.create_task(pump.run())
        await until(is_waiting, bool)
        pump.nudge("idle")
        # In whichever step the two meet, the end must win.
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done, f"it goes on when it is cancelled {ticks} steps after news"


async def is_waiting() -> bool:
    """Tell whether the one line has found no work and waits for news."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    inner = next((each for each in coroutines if "Drain.run" in repr(each)), None)
    names = set()
    while (inner := getattr(inner, "cr_await", None)) is not None:
        names.add(getattr(inner, "__name__", ""))
    return bool({"wait", "wait_for"} & names)
