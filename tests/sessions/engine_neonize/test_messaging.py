"""Messages and receipts over the real library, and what holds them back."""

import asyncio
from pathlib import Path

import pytest

from sessions.errors import NotConnected, NotOnWhatsApp
from sessions.messages import MessageStatus, OutgoingText
from sessions.signals import Connected, MessageReceived, QrCode, Receipt
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.sessions.engine_neonize.watching import (
    ALICE,
    BOB,
    CAROL,
    Bench,
    eventually,
    new_session,
    running,
)


async def test_an_incoming_message_is_told_by_phone_number(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        sent = await bench.whatsapp.send_text(sender=BOB, to=ALICE, text="hello", name="Bob")

        message = (await watched.wait_for(MessageReceived)).message

    assert (message.whatsapp_id, message.text, message.type) == (sent, "hello", "text")
    assert message.chat == message.sender == f"{BOB}@s.whatsapp.net"
    assert (message.phone, message.lid) == (BOB, (await bench.whatsapp.account(BOB)).lid)
    assert (message.from_me, message.is_group, message.push_name) == (False, False, "Bob")
    assert message.timestamp_ms > 1_700_000_000_000


async def test_what_the_own_phone_writes_is_told_as_ours(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        await bench.whatsapp.send_text(sender=BOB, to=ALICE, text="known from now on")
        await bench.whatsapp.send_text(sender=ALICE, to=BOB, text="from my phone")

        message = (await watched.wait_for(MessageReceived, count=2)).message

    assert message.from_me
    assert (message.chat, message.phone) == (f"{BOB}@s.whatsapp.net", BOB)
    assert message.sender == f"{ALICE}@s.whatsapp.net"


async def test_a_group_message_comes_once_with_its_sender(bench: Bench) -> None:
    group = await bench.whatsapp.create_group("friends", [ALICE, BOB])

    async with bench.pair(ALICE, new_session()) as watched:
        await bench.whatsapp.send_group_text(group, sender=BOB, text="one")
        await bench.whatsapp.send_group_text(group, sender=BOB, text="two")
        message = (await watched.wait_for(MessageReceived, count=2)).message

        assert watched.texts == ["one", "two"]

    assert (message.chat, message.is_group) == (f"{group}@g.us", True)
    assert (message.sender, message.phone) == (f"{BOB}@s.whatsapp.net", BOB)


async def test_a_sent_text_arrives_and_its_receipts_come_back(bench: Bench) -> None:
    text = "hi @447700900999 see https://example.org"

    async with bench.pair(ALICE, new_session()) as watched:
        sent = await watched.connection.send(OutgoingText(to=f"{BOB}@s.whatsapp.net", text=text))
        assert (await bench.whatsapp.wait_until_received(BOB, text)).id == sent.whatsapp_id
        assert (sent.phone, sent.lid) == (BOB, (await bench.whatsapp.account(BOB)).lid)
        assert sent.timestamp_ms > 1_700_000_000_000

        delivered = await watched.wait_for(Receipt)
        await bench.whatsapp.send_receipt([sent.whatsapp_id], sender=BOB, to=ALICE, type="read")
        read = await watched.wait_for(Receipt, count=2)

    assert (delivered.status, read.status) == (MessageStatus.DELIVERED, MessageStatus.READ)
    assert delivered.whatsapp_ids == read.whatsapp_ids == (sent.whatsapp_id,)
    assert read.chat == f"{BOB}@s.whatsapp.net"


async def test_a_quoting_text_and_one_to_a_group_arrive(bench: Bench) -> None:
    group = await bench.whatsapp.create_group("friends", [ALICE, BOB])

    async with bench.pair(ALICE, new_session()) as watched:
        for to in (f"{BOB}@s.whatsapp.net", f"{group}@g.us"):
            text = f"about that, {to}"
            await watched.connection.send(
                OutgoingText(to=to, text=text, quoted_message_id="3EB0AAAABBBBCCCC")
            )
            await bench.whatsapp.wait_until_received(BOB, text)


async def test_a_number_that_is_not_on_whatsapp_is_said_so(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        with pytest.raises(NotOnWhatsApp):
            await watched.connection.send(
                OutgoingText(to=f"{CAROL}@s.whatsapp.net", text="anyone?")
            )


async def test_sending_without_a_line_is_certainly_not_sent(bench: Bench) -> None:
    async with bench.open(new_session()) as watched:
        with pytest.raises(NotConnected):
            await watched.connection.send(OutgoingText(to=f"{BOB}@s.whatsapp.net", text="early"))


async def test_signals_wait_until_the_previous_batch_is_committed(bench: Bench) -> None:
    session = await bench.linked(ALICE)

    async with bench.engine.open(session) as connection:
        signals = connection.signals()
        assert [type(signal) for signal in await anext(signals)] == [Connected]
        for text in ("one", "two", "three"):
            await bench.whatsapp.send_text(sender=BOB, to=ALICE, text=text)

        texts = []
        for _ in range(3):
            (signal,) = await anext(signals)
            assert isinstance(signal, MessageReceived)
            texts.append(signal.message.text)

    assert texts == ["one", "two", "three"]


async def test_what_was_not_committed_comes_again_with_the_next_line(bench: Bench) -> None:
    session = await bench.linked(ALICE)
    async with bench.engine.open(session) as connection:
        signals = connection.signals()
        await anext(signals)
        for text in ("one", "two", "three"):
            await bench.whatsapp.send_text(sender=BOB, to=ALICE, text=text)
        (first,) = await anext(signals)
        assert isinstance(first, MessageReceived)
        assert first.message.text == "one"
        # WhatsApp believes all three delivered, as the library acknowledges first.
        await bench.whatsapp.wait_until(ALICE, lambda account: not account.companions[0].queued)

    async with bench.open(session) as watched:
        await watched.wait_for(MessageReceived, count=3)
        await watched.wait_for(Connected)
        assert watched.texts == ["one", "two", "three"]
        # The end of the block is no commit: it may cut off the word that they are taken.
        await eventually(lambda: not list(bench.store.glob("*.redelivered")), "they are taken")

    async with bench.open(session) as watched:
        await watched.wait_for(Connected)
        assert watched.texts == []


async def test_a_line_whose_signals_nobody_commits_leaves_whatsapp(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    async with running(tmp_path / "engine", whatsapp, acknowledge_seconds=1.0) as bench:
        session = await bench.linked(ALICE)
        async with bench.engine.open(session) as connection:
            signals = connection.signals()
            await anext(signals)
            await whatsapp.send_text(sender=BOB, to=ALICE, text="one")
            await anext(signals)

            await whatsapp.wait_until_offline(ALICE)

            assert [signal.kind for signal in await anext(signals)] == ["engine_stopped"]
            with pytest.raises(StopAsyncIteration):
                await anext(signals)


async def test_messages_survive_the_move_to_a_shared_worker(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    async with (
        running(tmp_path / "engine", whatsapp, settle_seconds=0.3) as bench,
        bench.pair(ALICE, new_session()) as watched,
    ):
        sent, logins = 0, 1
        while logins == 1 or sent < 30:
            await whatsapp.send_text(sender=BOB, to=ALICE, text=f"{sent}")
            await watched.connection.send(
                OutgoingText(to=f"{BOB}@s.whatsapp.net", text=f"answer {sent}")
            )
            sent += 1
            # The line must be quiet to be moved.
            await asyncio.sleep(0.4 if sent == 10 else 0)
            logins = (await whatsapp.account(ALICE)).companions[0].logins
        await eventually(lambda: len(watched.texts) >= sent, "all messages are in")

        assert watched.texts == [f"{number}" for number in range(sent)]
        assert watched.kinds.count("connected") == 1
        assert "disconnected" not in watched.kinds
        received = [message.text for message in await whatsapp.received(BOB)]
        assert received == [f"answer {number}" for number in range(sent)]


async def test_leaving_in_the_middle_of_the_move_loses_nothing(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    async with running(
        tmp_path / "engine", whatsapp, settle_seconds=0.1, settle_at_most_seconds=2.0
    ) as bench:
        session = new_session()
        async with bench.engine.open(session) as connection:
            signals = connection.signals()
            (code,) = await anext(signals)
            assert isinstance(code, QrCode)
            await whatsapp.scan(code.code, ALICE)
            while not isinstance((await anext(signals))[-1], Connected):
                pass
            taking = asyncio.ensure_future(anext(signals))
            for text in ("one", "two", "three"):
                await whatsapp.send_text(sender=BOB, to=ALICE, text=text)
            await taking
            # Not committed, so the line is busy; it is moved all the same, and leaves WhatsApp.
            await whatsapp.wait_until_offline(ALICE)

        async with bench.open(session) as watched:
            await watched.wait_for(MessageReceived, count=3)
            assert watched.texts == ["one", "two", "three"]
