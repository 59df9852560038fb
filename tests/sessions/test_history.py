"""Looking back: conversations, what was read, and how much of the log is kept."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from sessions import event_log
from sessions.errors import MessageNotFound, UnrecoverablePosition
from sessions.events import EventType
from sessions.ids import SessionId
from sessions.messages import MessageStatus
from sessions.signals import HistoryReceived, MessageUndecryptable
from tests.sessions.house import QUICK, TENANT, House, running_house

BOB, CAROL = "447700900123", "447700900456"


async def test_conversations_show_the_newest_message_and_what_is_unread(house: House) -> None:
    session = await house.connected()
    house.engine.write(session.id, "first", sender=BOB, push_name="Bob")
    house.engine.write(session.id, "second", sender=BOB, push_name="Bob")
    house.engine.write(session.id, "hello", sender=CAROL, push_name="Carol")
    await house.logged("one", EventType.SESSION_MESSAGE, 3)

    page = await house.manager.conversations(TENANT, "one")

    shown = [(chat.name, chat.unread_count, chat.last_message.message) for chat in page.items]
    assert shown == [("Carol", 1, "hello"), ("Bob", 2, "second")]
    assert page.items[1].phone == BOB
    assert page.before is None
    await house.send("one", "answer", to=BOB)
    page = await house.manager.conversations(TENANT, "one")
    shown = [(chat.name, chat.unread_count, chat.last_message.message) for chat in page.items]
    assert shown == [("Bob", 0, "answer"), ("Carol", 1, "hello")]


async def test_conversations_are_paged(house: House) -> None:
    session = await house.connected()
    for number in range(5):
        house.engine.write(session.id, "hello", sender=f"44770090010{number}")
    await house.logged("one", EventType.SESSION_MESSAGE, 5)

    seen, before = [], None
    while True:
        page = await house.manager.conversations(TENANT, "one", before=before, limit=2)
        seen += [chat.phone for chat in page.items]
        before = page.before
        if before is None:
            break

    assert seen == [f"44770090010{number}" for number in reversed(range(5))]
    with pytest.raises(MessageNotFound):
        await house.manager.conversations(TENANT, "one", before="nobody")


async def test_reading_a_message_reads_those_before_it(house: House) -> None:
    session = await house.connected()
    for number in range(3):
        house.engine.write(session.id, f"text {number}", sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE, 3)
    page = await house.manager.messages(TENANT, "one")
    second = next(message for message in page.items if message.message == "text 1")

    read = await house.manager.mark_read(TENANT, "one", second.id)

    assert read.status is MessageStatus.READ
    page = await house.manager.messages(TENANT, "one")
    assert [message.status for message in page.items] == ["received", "read", "read"]
    assert (await house.manager.conversations(TENANT, "one")).items[0].unread_count == 1


async def test_the_log_forgets_what_is_too_much_and_says_so(house: House) -> None:
    session = await house.connected()
    house.engine.burst(session.id, 30)
    await house.logged("one", EventType.SESSION_MESSAGE, 30)
    head = (await house.manager.get(TENANT, "one")).cursor
    log_id, _, last = head.partition(":")
    trim = partial(event_log.trim, session=session.id, keep=10, older_than_ms=0, most=15)

    forgotten = [await house.store.write(trim) for _ in range(3)]

    assert forgotten == [15, int(last) - 10 - 15, 0]
    kept = await house.events("one")
    assert [event.seq for event in kept] == list(range(int(last) - 9, int(last) + 1))
    with pytest.raises(UnrecoverablePosition) as refusal:
        await house.manager.events(TENANT, "one", after=f"{log_id}:3")
    assert (refusal.value.reason, refusal.value.oldest) == ("too_old", f"{log_id}:{int(last) - 10}")
    whole = await house.manager.events(TENANT, "one", after=refusal.value.oldest, limit=100)
    assert len(whole.items) == 10


async def test_what_the_log_forgot_is_no_news_when_it_comes_again(house: House) -> None:
    session = await house.connected()
    written = house.engine.burst(session.id, 20)
    await house.logged("one", EventType.SESSION_MESSAGE, 20)
    trim = partial(event_log.trim, session=session.id, keep=5, older_than_ms=0)
    await house.store.write(trim)

    for message in written:
        house.engine.receive(session.id, message)
    house.engine.write(session.id, "news")
    events = await house.logged("one", EventType.SESSION_MESSAGE, 6)

    assert [event.data["message"]["message"] for event in events[-2:]] == ["message 20", "news"]
    page = await house.manager.messages(TENANT, "one")
    assert len(page.items) == 21


async def test_the_log_forgets_what_is_too_old(tmp_path: Path) -> None:
    async with running_house(tmp_path, policy=QUICK) as house:
        session = await house.connected()
        now_ms = (await house.events("one"))[-1].timestamp

        async with house.store.read() as db:
            young = await event_log.trimmable(db, keep=1000, older_than_ms=now_ms - 60_000)
            old = await event_log.trimmable(db, keep=1000, older_than_ms=now_ms + 1)
        assert (young, old) == ([], [SessionId(session.id)])
        trim = partial(event_log.trim, session=session.id, keep=1000, older_than_ms=now_ms + 1)
        await house.store.write(trim)

        assert await house.events("one") == []
        house.engine.write(session.id, "goes on")
        event = (await house.logged("one", EventType.SESSION_MESSAGE))[0]
        assert event.seq is not None
        assert event.seq > 5


def test_a_week_is_kept_by_default() -> None:
    assert QUICK.event_retention == timedelta(days=7)


async def test_history_from_the_phone_is_stored_in_its_place_and_is_no_news(house: House) -> None:
    session = await house.connected()
    news = house.engine.write(session.id, "news", sender=BOB, push_name="Bob")
    await house.logged("one", EventType.SESSION_MESSAGE)
    before = await house.events("one")
    old = [
        news.model_copy(
            update={
                "whatsapp_id": f"OLD{number}",
                "text": f"old {number}",
                "timestamp_ms": news.timestamp_ms - 3_600_000 + number,
            }
        )
        for number in range(3)
    ]

    house.engine.post(session.id, HistoryReceived(messages=(*old, news)))
    house.engine.post(session.id, HistoryReceived(messages=tuple(old)))
    house.engine.write(session.id, "more news", sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE, 2)

    page = await house.manager.messages(TENANT, "one")
    texts = [message.message for message in page.items]
    assert texts == ["more news", "news", "old 2", "old 1", "old 0"]
    assert len(await house.events("one")) == len(before) + 1
    chat = (await house.manager.conversations(TENANT, "one")).items[0]
    assert (chat.unread_count, chat.last_message.message) == (2, "more news")


async def test_a_message_that_cannot_be_read_is_told_once(house: House) -> None:
    session = await house.connected()
    unreadable = MessageUndecryptable(whatsapp_id="X1", chat=f"{BOB}@s.whatsapp.net")

    house.engine.post(session.id, unreadable)
    house.engine.post(session.id, unreadable)
    house.engine.write(session.id, "readable", sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE)

    told = await house.events("one", EventType.SESSION_ERROR)
    assert [event.data["error"]["code"] for event in told] == ["message_undecryptable"]
    assert told[0].data["userAction"] == "open_phone"


async def test_in_a_group_each_member_is_told_that_his_messages_were_read(house: House) -> None:
    session = await house.connected()
    group = "120363000000000001@g.us"
    house.engine.write(session.id, "from Bob", sender=BOB, chat=group)
    house.engine.write(session.id, "from Carol", sender=CAROL, chat=group)
    await house.logged("one", EventType.SESSION_MESSAGE, 2)
    newest = (await house.manager.messages(TENANT, "one")).items[0]

    await house.manager.mark_read(TENANT, "one", newest.id)

    marks = house.engine.phone(session.id).read_marks
    known = {message.whatsapp_id for message in (await house.manager.messages(TENANT, "one")).items}
    assert set(marks) == known
    chat = (await house.manager.conversations(TENANT, "one")).items[0]
    assert (chat.is_group, chat.unread_count) == (True, 0)
