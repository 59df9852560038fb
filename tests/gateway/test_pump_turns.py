"""Sessions of one bridge side by side: each in order, none in the other's way, none repeated."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from gateway.bridge import TemporaryFailure
from sessions.errors import StorageUnavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId
from tests.gateway.pumping import RecordingBridge, backlog, gets, head, pumping
from tests.sessions.house import House, running_house, until


class SlowBridge(RecordingBridge):
    """Takes the events of some sessions only when it may."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.held: set[SessionId] = set()
        self.holding: list[SessionEvent] = []
        self.may_go_on = asyncio.Event()

    async def deliver(self, event: SessionEvent) -> None:
        """Take it, when it may."""
        if event.session in self.held and event.type is EventType.SESSION_MESSAGE:
            self.holding.append(event)
            await self.may_go_on.wait()
        await super().deliver(event)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Run a manager on an empty database."""
    async with running_house(tmp_path) as running:
        yield running


async def holds(bridge: SlowBridge, count: int) -> None:
    """Wait until a bridge hangs on so many events."""

    async def look() -> int:
        return len(bridge.holding)

    await until(look, lambda found: found >= count)


async def test_a_session_on_which_a_back_end_hangs_keeps_no_other_waiting(house: House) -> None:
    bridge = SlowBridge("slow")
    async with pumping(house, bridge):
        one = await house.connected("one", phone="15550001111")
        two = await house.connected("two", phone="15550002222")
        await gets(bridge, one.id, await head(house))
        bridge.held = {SessionId(one.id)}
        house.engine.write(SessionId(one.id), "hangs")
        await holds(bridge, 1)

        for number in range(3):
            house.engine.write(SessionId(two.id), f"passes {number}")
            await house.logged("two", EventType.SESSION_MESSAGE, number + 1)
            await gets(bridge, two.id, await head(house, "two"))

        bridge.may_go_on.set()
        await gets(bridge, one.id, await head(house))


async def test_what_was_taken_before_an_orderly_stop_comes_no_second_time(tmp_path: Path) -> None:
    async with running_house(tmp_path) as house:
        bridge, again = SlowBridge("kept"), RecordingBridge("kept")
        async with pumping(house, bridge):
            session = await house.connected()
            before = await head(house)
            await gets(bridge, session.id, before)
            await until(partial(backlog, house, bridge.name), lambda events: events == 0)

            def hold_the_fourth(event: SessionEvent) -> None:
                if len(bridge.holding) == 0 and event.seq == before + 3:
                    bridge.held = {event.session}

            bridge.judge = hold_the_fourth
            house.engine.burst(SessionId(session.id), 10)
            await holds(bridge, 1)
        async with pumping(house, again):
            await gets(again, session.id, await head(house), first=before + 4)


async def test_a_cursor_that_can_not_be_kept_lets_nothing_overtake(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge, write = RecordingBridge("patient"), house.store.write
    failing = True

    async def fail_to_advance(work: object) -> object:
        if failing and "advance" in repr(work):
            raise StorageUnavailable
        return await write(work)  # type: ignore[arg-type]

    monkeypatch.setattr(house.store, "write", fail_to_advance)
    async with pumping(house, bridge):
        session = await house.connected()
        house.engine.burst(SessionId(session.id), 20)
        await house.logged("one", EventType.SESSION_MESSAGE, 20)
        upto = await head(house)

        async def tries() -> int:
            return bridge.tries

        await until(tries, lambda count: count > upto)
        failing = False

        async def last() -> bool:
            return await backlog(house, bridge.name) == 0

        await until(last, bool)

    # Again and again from the start, but each time in order: never two turns at once.
    seqs = bridge.seqs(session.id)
    starts = [place for place, seq in enumerate(seqs) if seq == 1]
    for start, end in zip(starts, [*starts[1:], len(seqs)], strict=True):
        assert seqs[start:end] == list(range(1, end - start + 1))


async def test_a_database_that_fails_cuts_no_pause_short(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge, write = RecordingBridge("pausing"), house.store.write
    refused: list[str] = []
    failed: list[str] = []

    def refuse_the_second(event: SessionEvent) -> None:
        if event.data.get("message", {}).get("message") == "message 2":
            refused.append(event.id)
            raise TemporaryFailure("in an hour", retry_seconds=3600)

    async def fail_once(work: object) -> object:
        if refused and not failed and "advance" in repr(work):
            failed.append("advance")
            raise StorageUnavailable
        return await write(work)  # type: ignore[arg-type]

    async with pumping(house, bridge):
        one = await house.connected("one", phone="15550001111")
        two = await house.connected("two", phone="15550002222")
        await gets(bridge, one.id, await head(house))
        await gets(bridge, two.id, await head(house, "two"))
    # In one turn: the first is taken, the second refused, and then the cursor can't be kept.
    house.engine.burst(SessionId(one.id), 2)
    await house.logged("one", EventType.SESSION_MESSAGE, 2)
    bridge.judge = refuse_the_second
    monkeypatch.setattr("gateway.bridge_drain._STORAGE_SECONDS", 0.01)
    monkeypatch.setattr(house.store, "write", fail_once)
    async with pumping(house, bridge):

        async def failures() -> int:
            return len(failed)

        await until(failures, bool)
        # Whoever could have its turn has had it meanwhile.
        for number in range(5):
            house.engine.write(SessionId(two.id), f"passes {number}")
            await house.logged("two", EventType.SESSION_MESSAGE, number + 1)
            await gets(bridge, two.id, await head(house, "two"))
        assert len(refused) == 1
