"""Messages in both directions, and what becomes of them, on the simulator and a real database."""

import asyncio
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from sessions.clock import SystemClock
from sessions.engine_simulator_script import FaultKind
from sessions.errors import (
    IdempotencyConflict,
    MessageNotFound,
    NotCancellable,
    NotUnknown,
    QueueFull,
)
from sessions.events import EventType
from sessions.messages import Message, MessageStatus, OutgoingText, Priority, parse_recipient
from sessions.pace import Pace
from sessions.services import Policy
from sessions.status import Status
from tests.sessions.house import QUICK, TENANT, House, running_house, until

BOB = "447700900123"


async def fate(house: House, message: str, status: MessageStatus) -> Message:
    """Wait until a message has a status."""
    return await until(
        lambda: house.manager.message(TENANT, "one", message), lambda found: found.status is status
    )


async def test_a_message_in_is_stored_and_told_once_in_order(house: House) -> None:
    session = await house.connected()

    for number in range(20):
        house.engine.write(session.id, f"hello {number}", sender=BOB, push_name="Bob")
    events = await house.logged("one", EventType.SESSION_MESSAGE, 20)

    bodies = [event.data["message"] for event in events]
    assert [body["message"] for body in bodies] == [f"hello {number}" for number in range(20)]
    first = bodies[0]
    assert (first["direction"], first["fromMe"], first["status"]) == ("in", False, "received")
    assert (first["phone"], first["chatId"]) == (BOB, f"{BOB}@s.whatsapp.net")
    assert (first["pushName"], first["sessionId"], first["type"]) == ("Bob", "one", "text")
    assert isinstance(first["timestamp"], int)
    page = await house.manager.messages(TENANT, "one", limit=50)
    assert [message.id for message in page.items] == [body["id"] for body in reversed(bodies)]


async def test_a_redelivered_message_is_one_event(house: House) -> None:
    session = await house.connected()
    message = house.engine.write(session.id, "hello", sender=BOB)

    house.engine.receive(session.id, message)
    house.engine.write(session.id, "last", sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE, 2)

    texts = [
        event.data["message"]["message"]
        for event in await house.events("one", EventType.SESSION_MESSAGE)
    ]
    assert texts == ["hello", "last"]
    seqs = [event.seq for event in await house.events("one")]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_text_is_sent_and_its_receipts_fold_into_its_status(house: House) -> None:
    session = await house.connected()

    message_id = await house.send("one", "hi Bob")
    sent = await fate(house, message_id, MessageStatus.SENT)
    assert sent.whatsapp_id is not None
    assert [text.text for text in house.engine.sent(session.id)] == ["hi Bob"]
    house.engine.receipt(session.id, [sent.whatsapp_id], MessageStatus.READ)
    await fate(house, message_id, MessageStatus.READ)
    house.engine.receipt(session.id, [sent.whatsapp_id], MessageStatus.DELIVERED)
    house.engine.write(session.id, "after", sender=BOB)
    await house.logged("one", EventType.SESSION_MESSAGE)

    found = await house.manager.message(TENANT, "one", message_id)
    assert found.status is MessageStatus.READ
    assert found.history is not None
    assert [step.status for step in found.history] == ["queued", "sending", "sent", "read"]
    told = await house.events("one", EventType.MESSAGE_STATUS)
    assert [event.data["status"] for event in told] == ["sent", "read"]
    assert told[0].data["messageId"] == message_id
    assert told[0].data["whatsappId"] == sent.whatsapp_id


async def test_texts_are_sent_in_the_order_in_which_they_were_accepted(house: House) -> None:
    session = await house.connected()

    for number in range(30):
        await house.send("one", f"text {number}")
    await until(
        lambda: _sent_texts(house, session.id),
        lambda texts: texts == [f"text {number}" for number in range(30)],
    )


async def _sent_texts(house: House, session: str) -> list[str]:
    return [text.text for text in house.engine.sent(session)]  # type: ignore[arg-type]  # NewType


async def test_what_is_queued_while_away_goes_out_on_connection(house: House) -> None:
    session = await house.connected()
    await house.manager.deactivate(TENANT, "one")

    message_id = await house.send("one", "later")
    found = await house.manager.message(TENANT, "one", message_id)
    assert found.status is MessageStatus.QUEUED
    await house.manager.activate(TENANT, "one")

    await fate(house, message_id, MessageStatus.SENT)
    assert [text.text for text in house.engine.sent(session.id)] == ["later"]


async def test_the_same_key_is_one_message_and_another_body_is_refused(house: House) -> None:
    await house.connected()
    text = OutgoingText(to=parse_recipient(BOB), text="once")

    answers = await asyncio.gather(
        *(house.manager.send(TENANT, "one", text, idempotency_key="k1") for _ in range(5))
    )

    assert len({answer.id for answer in answers}) == 1
    other = OutgoingText(to=parse_recipient(BOB), text="twice")
    with pytest.raises(IdempotencyConflict):
        await house.manager.send(TENANT, "one", other, idempotency_key="k1")
    fresh = await house.manager.send(TENANT, "one", other, idempotency_key="k2")
    assert fresh.id != answers[0].id


async def test_a_number_that_is_not_on_whatsapp_fails_and_the_next_goes_on(house: House) -> None:
    await house.connected()

    lost = await house.send("one", "nobody", to="00012345678")
    good = await house.send("one", "somebody")

    failed = await fate(house, lost, MessageStatus.FAILED)
    assert failed.error is not None
    assert failed.error.code == "not_on_whatsapp"
    await fate(house, good, MessageStatus.SENT)


async def test_a_send_without_an_answer_is_unknown_and_not_repeated(tmp_path: Path) -> None:
    quick = Policy(send_timeout_seconds=0.2, blip_seconds=0.1, stop_timeout_seconds=0.2)
    async with running_house(tmp_path, policy=quick) as house:
        session = await house.connected()
        house.engine.fault(session.id, FaultKind.SEND_HANG)

        hung = await house.send("one", "perhaps")
        await house.send("one", "next")

        unknown = await fate(house, hung, MessageStatus.UNKNOWN)
        assert unknown.error is not None
        assert unknown.error.code == "send_uncertain"
        await until(lambda: _sent_texts(house, session.id), lambda texts: texts.count("next") == 1)
        assert (await house.manager.message(TENANT, "one", hung)).status is MessageStatus.UNKNOWN


async def test_a_send_in_flight_at_a_crash_is_unknown_after_the_restart(tmp_path: Path) -> None:
    async with running_house(tmp_path) as house:
        session = await house.connected()
        house.engine.fault(session.id, FaultKind.SEND_HANG)
        hung = await house.send("one", "perhaps")
        await fate(house, hung, MessageStatus.SENDING)
    async with running_house(tmp_path) as house:
        await house.reaches("one", Status.CONNECTED)
        await fate(house, hung, MessageStatus.UNKNOWN)
        assert house.engine.sent(session.id) == []


async def test_what_waits_too_long_expires(tmp_path: Path) -> None:
    short = Policy(message_lifetime=timedelta(milliseconds=1))
    async with running_house(tmp_path, policy=short) as house:
        await house.connected()
        await house.manager.deactivate(TENANT, "one")
        message_id = await house.send("one", "too late")
        await asyncio.sleep(0.01)
        await house.manager.activate(TENANT, "one")
        await house.reaches("one", Status.CONNECTED)

        from sessions import outbox  # noqa: PLC0415 - the upkeep's step, without its pause

        assert await house.store.write(outbox.expire) == 1
        expired = await house.manager.message(TENANT, "one", message_id)
        assert expired.status is MessageStatus.EXPIRED
        told = await house.events("one", EventType.MESSAGE_STATUS)
        assert [event.data["status"] for event in told] == ["expired"]


async def test_own_messages_from_the_phone_are_told_as_outgoing(house: House) -> None:
    session = await house.connected(phone="15550001111")

    house.engine.write(session.id, "from my phone", sender="15550001111", chat=BOB)
    told = (await house.logged("one", EventType.SESSION_MESSAGE))[0].data["message"]

    assert (told["direction"], told["fromMe"], told["status"]) == ("out", True, "sent")
    assert told["chatId"] == f"{BOB}@s.whatsapp.net"


async def test_pages_of_a_chat_follow_each_other(house: House) -> None:
    session = await house.connected()
    for number in range(7):
        house.engine.write(session.id, f"b{number}", sender=BOB)
        house.engine.write(session.id, f"c{number}", sender="447700900456")
    await house.logged("one", EventType.SESSION_MESSAGE, 14)

    chat, seen, before = f"{BOB}@s.whatsapp.net", [], None
    while True:
        page = await house.manager.messages(TENANT, "one", chat_id=chat, before=before, limit=3)
        seen += [message.message for message in page.items]
        before = page.before
        if before is None:
            break

    assert seen == [f"b{number}" for number in reversed(range(7))]
    with pytest.raises(MessageNotFound):
        await house.manager.messages(TENANT, "one", before="nope", limit=3)


async def test_messages_of_another_session_are_not_found(house: House) -> None:
    await house.connected("one")
    await house.session("two")
    message_id = await house.send("one", "hello")

    with pytest.raises(MessageNotFound):
        await house.manager.message(TENANT, "two", message_id)


@pytest.mark.parametrize("policy", [QUICK])
async def test_bursts_of_two_sessions_keep_their_orders(tmp_path: Path, policy: Policy) -> None:
    async with running_house(tmp_path, policy=policy) as house:
        one = await house.connected("one", phone="15550001111")
        two = await house.connected("two", phone="15550002222")

        house.engine.burst(one.id, 200, sender=BOB)
        house.engine.burst(two.id, 200, sender=BOB)

        for name in ("one", "two"):
            events = await house.logged(name, EventType.SESSION_MESSAGE, 200)
            texts = [event.data["message"]["message"] for event in events]
            assert texts == [f"message {number}" for number in range(1, 201)]


async def test_an_urgent_text_overtakes_a_bulk(house: House) -> None:
    session = await house.connected()
    await house.manager.deactivate(TENANT, "one")
    for number in range(20):
        await house.send("one", f"bulk {number}")
    text = OutgoingText(to=parse_recipient(BOB), text="urgent")
    await house.manager.send(TENANT, "one", text, priority=Priority.HIGH)

    await house.manager.activate(TENANT, "one")

    texts = await until(lambda: _sent_texts(house, session.id), lambda texts: len(texts) == 21)
    assert texts == ["urgent", *(f"bulk {number}" for number in range(20))]


async def test_a_full_queue_refuses_more(tmp_path: Path) -> None:
    async with running_house(tmp_path, policy=Policy(queue_limit=3)) as house:
        await house.session()
        for number in range(3):
            await house.send("one", f"text {number}")

        with pytest.raises(QueueFull):
            await house.send("one", "one too many")


async def test_a_gap_is_kept_between_two_texts(tmp_path: Path) -> None:
    async with running_house(tmp_path, policy=Policy(send_gap_seconds=0.3)) as house:
        session = await house.connected()
        started = time.monotonic()
        for number in range(3):
            await house.send("one", f"text {number}")
        await until(lambda: _sent_texts(house, session.id), lambda texts: len(texts) == 3)

        assert time.monotonic() - started >= 0.6


def test_a_rate_holds_over_any_minute() -> None:
    clock = HandClock()
    pace = Pace(Policy(sends_per_minute=2), clock)

    waits = []
    for seconds in (0, 10, 10, 40, 0):
        clock.seconds += seconds
        waits.append(pace.wait_seconds())
        if not waits[-1]:
            pace.sent()

    assert waits == [0, 0, 40, 0, 10]


class HandClock(SystemClock):
    """Monotonic seconds by hand."""

    seconds = 0.0

    def monotonic(self) -> float:
        """Return what was set."""
        return self.seconds


async def test_a_queued_text_can_be_cancelled_and_a_sent_one_not(house: House) -> None:
    session = await house.connected()
    sent = await house.send("one", "sent")
    await fate(house, sent, MessageStatus.SENT)
    await house.manager.deactivate(TENANT, "one")
    queued = await house.send("one", "never mind")

    cancelled = await house.manager.cancel(TENANT, "one", queued)
    assert cancelled.status is MessageStatus.CANCELLED
    assert (await house.manager.cancel(TENANT, "one", queued)).status is MessageStatus.CANCELLED
    with pytest.raises(NotCancellable):
        await house.manager.cancel(TENANT, "one", sent)
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.CONNECTED)
    last = await house.send("one", "last")
    await fate(house, last, MessageStatus.SENT)
    assert [text.text for text in house.engine.sent(session.id)] == ["sent", "last"]


@pytest.mark.parametrize(
    ("decision", "status"), [("resend", MessageStatus.SENT), ("failed", MessageStatus.FAILED)]
)
async def test_an_unknown_text_is_resolved_by_a_person(
    tmp_path: Path, decision: Literal["resend", "failed"], status: MessageStatus
) -> None:
    quick = Policy(send_timeout_seconds=0.2, stop_timeout_seconds=0.2)
    async with running_house(tmp_path, policy=quick) as house:
        session = await house.connected()
        house.engine.fault(session.id, FaultKind.SEND_HANG)
        hung = await house.send("one", "perhaps")
        await fate(house, hung, MessageStatus.UNKNOWN)

        await house.manager.resolve(TENANT, "one", hung, decision)

        await fate(house, hung, status)
        with pytest.raises(NotUnknown):
            await house.manager.resolve(TENANT, "one", hung, decision)


async def test_typing_is_seen_before_a_text_that_asks_for_it(house: House) -> None:
    session = await house.connected()
    text = OutgoingText(to=parse_recipient(BOB), text="typed")

    plain = await house.send("one", "plain")
    typed = await house.manager.send(TENANT, "one", text, typing=True)
    await fate(house, plain, MessageStatus.SENT)
    await fate(house, typed.id, MessageStatus.SENT)

    shown = list(house.engine.phone(session.id).shown)
    assert shown == [f"{BOB}@s.whatsapp.net composing"]


async def test_a_send_that_a_stop_cuts_off_is_unknown(tmp_path: Path) -> None:
    async with running_house(tmp_path, policy=Policy(stop_timeout_seconds=0.2)) as house:
        session = await house.connected()
        house.engine.fault(session.id, FaultKind.SEND_HANG, seconds=60)
        hung = await house.send("one", "perhaps")
        await fate(house, hung, MessageStatus.SENDING)

        await house.manager.deactivate(TENANT, "one")

        assert (await house.manager.message(TENANT, "one", hung)).status is MessageStatus.UNKNOWN


async def test_a_stop_with_many_busy_sessions_is_bounded(tmp_path: Path) -> None:
    policy = Policy(stop_timeout_seconds=0.3, drain_seconds=3)
    async with running_house(tmp_path, policy=policy) as house:
        for number in range(20):
            session = await house.connected(f"s{number}", phone=f"1555000{number:04}")
            house.engine.fault(session.id, FaultKind.SEND_HANG, seconds=60)
            await house.send(f"s{number}", "perhaps")
        await until(partial(_sending, house, 20), bool)
        started = time.monotonic()

        await house.manager.drain()

        assert time.monotonic() - started < 5


async def _sending(house: House, wanted: int) -> bool:
    """Tell whether so many sessions are sending."""
    found = 0
    for number in range(wanted):
        page = await house.manager.messages(TENANT, f"s{number}")
        found += page.items[0].status is MessageStatus.SENDING
    return found == wanted


async def test_what_was_queued_for_another_account_does_not_leave_from_this_one(
    house: House,
) -> None:
    session = await house.connected(phone="15550001111")
    await house.manager.deactivate(TENANT, "one")
    queued = await house.send("one", "from the first account")
    await house.manager.reset_auth(TENANT, "one")
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.QR_READY)

    house.engine.scan(session.id, phone="15550009999")

    cancelled = await fate(house, queued, MessageStatus.CANCELLED)
    assert cancelled.error is not None
    assert cancelled.error.code == "account_changed"


async def test_a_text_queued_before_the_first_login_says_whom_it_came_from(house: House) -> None:
    session = await house.session()
    queued = await house.send("one", "early")
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.QR_READY)

    house.engine.scan(session.id, phone="15550001111")

    sent = await fate(house, queued, MessageStatus.SENT)
    assert sent.from_ == "15550001111@s.whatsapp.net"


async def test_a_key_stands_for_urgency_too(house: House) -> None:
    await house.session()
    text = OutgoingText(to=parse_recipient(BOB), text="once")
    await house.manager.send(TENANT, "one", text, idempotency_key="k")

    with pytest.raises(IdempotencyConflict):
        await house.manager.send(TENANT, "one", text, idempotency_key="k", priority=Priority.HIGH)
