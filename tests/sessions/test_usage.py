"""The usage log: exactly what came in and went out, whatever repeats, crashes or is deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import col

from sessions import usage
from sessions.engine_simulator_script import FaultKind
from sessions.events import EventType
from sessions.ids import SessionId
from sessions.messages import EngineMessage, MessageStatus
from sessions.models import MessageRow, UsageRow
from sessions.session import SessionUsage, UsagePage, UsageQuery
from sessions.signals import HistoryReceived
from sessions.store import Unit
from tests.sessions.house import TENANT, House, running_house, until

BOB = "447700900123"
TODAY = date(2026, 3, 31)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Return the address of an empty database of each kind, None for the file."""
    if request.param == "sqlite":
        return None
    address: str = request.getfixturevalue("postgres_copy")
    return address


@pytest.fixture
async def house(tmp_path: Path, url: str | None) -> AsyncIterator[House]:
    """Run a manager on an empty database of each kind."""
    async with running_house(tmp_path, url=url) as running:
        yield running


async def counted(house: House) -> list[tuple[str, int, int]]:
    """Return what is in the log, the day left out: a test may run over midnight."""
    page = await house.manager.usage(TENANT, UsageQuery())
    return [(item.session_id, item.messages_in, item.messages_out) for item in page.items]


async def sent(house: House, message: str) -> None:
    """Wait until a text was sent."""
    await reaches(house, message, MessageStatus.SENT)


async def reaches(house: House, message: str, status: MessageStatus) -> None:
    """Wait until a text has a status."""
    await until(
        partial(house.manager.message, TENANT, "one", message),
        lambda found: found.status is status,
    )


async def test_each_message_counts_once_whatever_repeats(house: House) -> None:
    session = await house.connected()
    bobs = house.engine.burst(session.id, 20, sender=BOB)
    for message in bobs:
        house.engine.receive(session.id, message)
    # Its own phone's, which nobody sent through this gateway, and the history.
    house.engine.write(session.id, "typed on the phone", sender="15550001111", chat=BOB)
    old = old_message("old")
    house.engine.post(session.id, HistoryReceived(messages=(old,)))
    await sent(house, await house.send("one", "first"))
    await sent(house, await house.send("one", "second"))
    house.engine.write(session.id, "the end", sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE, 22)

    found = await until(partial(counted, house), lambda rows: rows == [("one", 21, 2)])
    assert found == [("one", 21, 2)]


def old_message(text: str) -> EngineMessage:
    """Return a message of years ago."""
    jid = f"{BOB}@s.whatsapp.net"
    return EngineMessage(
        whatsapp_id="OLD",
        chat=jid,
        sender=jid,
        phone=BOB,
        text=text,
        timestamp_ms=1_500_000_000_000,
    )


async def test_what_was_in_doubt_counts_once_it_is_known_to_be_sent(house: House) -> None:
    session = await house.connected()
    house.engine.fault(session.id, FaultKind.SEND_HANG, seconds=0.1, amount=3)
    named, again, given_up = [await house.send("one", text) for text in ("a", "b", "c")]
    for message in (named, again, given_up):
        await reaches(house, message, MessageStatus.UNKNOWN)
    assert await counted(house) == []

    # As engines leave it behind that know the id before WhatsApp has answered.
    await house.store.write(partial(name, message=named, whatsapp_id="IN-DOUBT"))
    for status in (MessageStatus.DELIVERED, MessageStatus.DELIVERED, MessageStatus.READ):
        house.engine.receipt(session.id, ["IN-DOUBT"], status)
    await reaches(house, named, MessageStatus.READ)
    assert await counted(house) == [("one", 0, 1)]
    await house.manager.resolve(TENANT, "one", given_up, "failed")
    await house.manager.resolve(TENANT, "one", again, "resend")
    await sent(house, again)
    assert await counted(house) == [("one", 0, 2)]


async def name(unit: Unit, message: str, whatsapp_id: str) -> None:
    """Set which of WhatsApp's ids a message has."""
    changed = update(MessageRow).where(col(MessageRow.id) == message)
    await unit.db.execute(changed.values(whatsapp_id=whatsapp_id))


async def test_what_was_not_committed_is_not_counted(house: House) -> None:
    session = await house.connected()

    async def count_and_fail(unit: Unit) -> None:
        await usage.count(unit, session.id, received=5)
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await house.store.write(count_and_fail)
    assert await counted(house) == []


async def test_usage_outlives_its_session_and_a_successor_has_its_own(house: House) -> None:
    session = await house.connected()
    house.engine.burst(session.id, 3, sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE, 3)
    await house.manager.delete(TENANT, "one")
    assert await counted(house) == [("one", 3, 0)]

    again = await house.connected()
    house.engine.burst(again.id, 2, sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE, 2)
    assert sorted(await counted(house)) == [("one", 2, 0), ("one", 3, 0)]


async def test_days_are_summed_up_and_paged(house: House) -> None:
    for number, name in enumerate(("one", "two")):
        session = await house.session(name)
        for days in (0, 1, 40):
            row = used(session.id, name, TODAY - timedelta(days=days), number + 1)
            await house.store.write(partial(keep, row=row))
    await house.store.write(partial(keep, row=used("x", "one", TODAY, 100, tenant="others")))

    both = await read(house, UsageQuery())
    assert [(item.day, item.session_id) for item in both.items] == [
        (TODAY - timedelta(days=1), "one"), (TODAY - timedelta(days=1), "two"),
        (TODAY, "one"), (TODAY, "two"),
    ]  # fmt: skip
    assert (both.total, both.totals.messages_in, both.totals.messages_out) == (4, 6, 12)
    pages = [await read(house, UsageQuery(limit=3, offset=offset)) for offset in (0, 3)]
    assert [item for page in pages for item in page.items] == both.items
    assert [page.totals for page in pages] == [both.totals] * 2

    longer = await read(house, UsageQuery(first=date.min, last=TODAY, ref="two"))
    assert [item.messages_in for item in longer.items] == [2, 2, 2]
    narrowed = await read(house, UsageQuery(only=frozenset({"two"}), ref="one"))
    assert (narrowed.items, narrowed.total, narrowed.totals.messages_in) == ([], 0, 0)
    later = await read(house, UsageQuery(first=TODAY + timedelta(days=1)))
    assert later.total == 0
    assert (await read(house, UsageQuery(last=date.min))).total == 0


async def keep(unit: Unit, row: UsageRow) -> None:
    """Store a row."""
    unit.db.add(row)


def used(session: str, name: str, day: date, count: int, *, tenant: str = TENANT) -> UsageRow:
    """Return a day on which so many came in, and twice as many went out."""
    return UsageRow(
        session=session, day=day, tenant=tenant, name=name,
        messages_in=count, messages_out=2 * count,
    )  # fmt: skip


async def read(house: House, query: UsageQuery) -> UsagePage:
    """Return a page as it was on a certain day."""
    async with house.store.read() as db:
        return await usage.page(db, TENANT, query, today=TODAY)


async def test_the_day_is_that_of_the_record_in_utc(house: House) -> None:
    session = await house.connected()
    before = datetime.now(UTC).date()
    house.engine.receive(session.id, old_message("kept for a long time"))
    await house.logged("one", EventType.SESSION_MESSAGE, 1)

    (item,) = (await house.manager.usage(TENANT, UsageQuery())).items
    assert before <= item.day <= datetime.now(UTC).date()
    assert item == SessionUsage(
        id=SessionId(session.id), session_id=session.session_id, day=item.day,
        messages_in=1, messages_out=0,
    )  # fmt: skip
