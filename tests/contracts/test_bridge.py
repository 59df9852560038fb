"""What every bridge does, on each of them, with a real back end at its other end."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.bridge import Bridge, PermanentFailure, TemporaryFailure
from gateway.event_examples import EXAMPLES
from sessions.clock import SystemClock
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, new_uuid
from sessions.session import Session
from tests.contracts.back_ends import BACK_ENDS, NAME, PHONE, BackEnd, BridgePump, running
from tests.sessions.house import TENANT, House, running_house, until

ANSWER_SECONDS = 20.0
"""A bridge bounds its waits: what is out of reach is known after this."""


@dataclass(frozen=True)
class Crossing:
    """A bridge with a connected session on this side and a back end on the other."""

    house: House
    pump: BridgePump
    back_end: BackEnd
    session: Session

    @property
    def bridge(self) -> Bridge:
        """The one under test."""
        return self.pump.bridge

    async def message(self, text: str) -> SessionEvent:
        """Let someone write; return the event as the log has it."""
        before = len(await self.house.events(NAME, EventType.SESSION_MESSAGE))
        self.house.engine.write(SessionId(self.session.id), text)
        return (await self.house.logged(NAME, EventType.SESSION_MESSAGE, before + 1))[-1]

    async def arrived(self, count: int) -> list[tuple[str | None, str]]:
        """Wait until so many messages came to the back end, copies too."""

        async def look() -> list[tuple[str | None, str]]:
            return self.back_end.messages()

        return await until(look, lambda found: len(found) >= count)

    async def delivered(self, event: SessionEvent) -> None:
        """Deliver, again and again as the pump does."""
        async with asyncio.timeout(2 * ANSWER_SECONDS):
            while True:
                try:
                    return await self.bridge.deliver(event)
                except TemporaryFailure:
                    await asyncio.sleep(0.1)


Beside = Callable[[House, BridgePump], AbstractAsyncContextManager[BackEnd]]


@pytest.fixture(params=BACK_ENDS)
def beside(request: pytest.FixtureRequest) -> Beside:
    """Each back end, with the services that it needs."""
    make, needs = BACK_ENDS[request.param]
    services = [request.getfixturevalue(name) for name in needs]
    return lambda house, pump: make(house, pump, *services)


@pytest.fixture
async def crossing(beside: Beside, tmp_path: Path) -> AsyncIterator[Crossing]:
    """Each bridge, its pump not running."""
    async with running_house(tmp_path) as house:
        pump = BridgePump(house.store, house.bus, SystemClock())
        async with beside(house, pump) as back_end:
            yield Crossing(house, pump, back_end, await house.connected(NAME, phone=PHONE))


async def test_its_name_fits_and_it_wants_what_a_back_end_lives_on(crossing: Crossing) -> None:
    assert re.fullmatch(r"[A-Za-z0-9:-]{1,100}", crossing.bridge.name)
    assert crossing.bridge.wants(EventType.SESSION_MESSAGE)
    assert crossing.bridge.tenant == TENANT


async def test_a_message_arrives_with_the_events_id_each_time(crossing: Crossing) -> None:
    event = await crossing.message("hello")

    await crossing.delivered(event)
    assert await crossing.arrived(1) == [(event.id, "hello")]
    await crossing.delivered(event)
    later = await crossing.message("later")
    await crossing.delivered(later)

    # Its copy is known by its id, if it is let through at all.
    copies = await until_last(crossing, "later")
    assert copies in (
        [(event.id, "hello"), (later.id, "later")],
        [(event.id, "hello"), (event.id, "hello"), (later.id, "later")],
    )


async def until_last(crossing: Crossing, text: str) -> list[tuple[str | None, str]]:
    """Wait until a text came; return all that came."""

    async def look() -> list[tuple[str | None, str]]:
        return crossing.back_end.messages()

    return await until(look, lambda found: bool(found) and found[-1][1] == text)


async def test_the_pump_brings_everything_in_order_across_a_cut(crossing: Crossing) -> None:
    async with running(crossing.pump.run):
        await until_registered(crossing)
        session = SessionId(crossing.session.id)
        crossing.house.engine.burst(session, 20, text="before")
        await crossing.arrived(10)
        crossing.back_end.proxy.close()
        crossing.house.engine.burst(session, 20, text="after")
        await crossing.house.logged(NAME, EventType.SESSION_MESSAGE, 40)
        crossing.back_end.proxy.reopen()
        # A schedule's next step may be minutes away: an operator may ask for it now.
        found = await nudged(crossing, 40)

    texts = list(dict.fromkeys(text for _, text in found))
    assert texts == [f"{when} {n}" for when in ("before", "after") for n in range(1, 21)]
    assert len({id_ for id_, _ in found}) == 40


async def nudged(crossing: Crossing, count: int) -> list[tuple[str | None, str]]:
    """Have the bridge try again until so many different messages came."""

    async def look() -> list[tuple[str | None, str]]:
        crossing.pump.nudge(crossing.bridge.name)
        return crossing.back_end.messages()

    return await until(look, lambda found: len(set(found)) >= count, seconds=2 * ANSWER_SECONDS)


async def until_registered(crossing: Crossing) -> None:
    """Wait until the log knows the bridge."""

    async def look() -> bool:
        return any(task.get_name() == crossing.bridge.name for task in asyncio.all_tasks())

    await until(look, bool)


async def test_what_is_out_of_reach_is_said_in_time_and_taken_later(crossing: Crossing) -> None:
    first, second = await crossing.message("first"), await crossing.message("second")
    await crossing.delivered(first)
    crossing.back_end.proxy.close()

    with pytest.raises(TemporaryFailure) as refusal:
        async with asyncio.timeout(ANSWER_SECONDS):
            await crossing.bridge.deliver(second)
    assert str(refusal.value)
    crossing.back_end.proxy.reopen()
    await crossing.delivered(second)

    assert (second.id, "second") in await crossing.arrived(2)


async def test_who_answers_nothing_holds_nobody_for_ever(crossing: Crossing) -> None:
    event = await crossing.message("hello")
    await crossing.delivered(await crossing.message("first"))
    crossing.back_end.proxy.freeze()

    with pytest.raises(TemporaryFailure):
        async with asyncio.timeout(ANSWER_SECONDS):
            await crossing.bridge.deliver(event)
    crossing.back_end.proxy.cut()
    await crossing.delivered(event)

    assert (event.id, "hello") in await crossing.arrived(2)


async def test_every_type_is_taken_or_left_without_a_crash(crossing: Crossing) -> None:
    for type_ in EventType:
        event = example(type_, crossing.session)
        deliver = crossing.bridge.show if event.seq is None else crossing.bridge.deliver
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await deliver(event)
        except (TemporaryFailure, PermanentFailure) as refusal:
            pytest.fail(f"{type_} is refused by a back end that is well: {refusal}")


UNDOCUMENTED: dict[EventType, dict[str, Any]] = {
    EventType.EVENTS_GAP: {"seq": 3, "from": 1, "to": 3},
    EventType.SESSION_DELETED: {},
}
"""What goes to bridges alone, or is told to clients in other words."""


def example(type_: EventType, session: Session) -> SessionEvent:
    """Return an event as the documents show it."""
    data = dict(UNDOCUMENTED[type_] if type_ in UNDOCUMENTED else EXAMPLES[type_])
    for name in ("id", "sessionId", "cursor", "timestamp"):
        data.pop(name, None)
    return SessionEvent(
        id=new_uuid(),
        type=type_,
        session=SessionId(session.id),
        session_id=session.session_id,
        seq=data.pop("seq", None),
        timestamp=1767603672345,
        data=data,
    )


async def test_its_pauses_grow_and_stay_within_a_day_or_so(crossing: Crossing) -> None:
    pauses = [crossing.bridge.pause_seconds(failures) for failures in (1, 3, 10, 1000)]

    assert all(0 < pause < 30 * 60 * 60 for pause in pauses)
    assert pauses[0] < pauses[-1]
