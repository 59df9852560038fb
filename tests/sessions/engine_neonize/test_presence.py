"""What others are shown of the account, as it arrives at WhatsApp."""

import asyncio
from collections.abc import Callable

import pytest

from sessions.engine import Connection, Presence, Receipts
from sessions.errors import NotConnected, SendFailed
from sessions.messages import OutgoingText
from sessions.signals import MessageReceived, QrCode
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.loopback_whatsapp.views import AccountState
from tests.sessions.engine_neonize.watching import (
    ALICE,
    BOB,
    CAROL,
    WAIT_SECONDS,
    Bench,
    new_session,
)

TO_BOB = f"{BOB}@s.whatsapp.net"


def receipts(connection: Connection) -> Receipts:
    """Return the connection, which can mark messages as read."""
    assert isinstance(connection, Receipts)
    return connection


def presence(connection: Connection) -> Presence:
    """Return the connection, which can show presence."""
    assert isinstance(connection, Presence)
    return connection


async def show_available(connection: Connection) -> None:
    """Show the account as online, once the library knows the account's name."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await presence(connection).show_presence(available=True)
            except SendFailed:
                await asyncio.sleep(0.1)


async def test_a_read_message_is_marked_for_its_sender(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        ids = [
            await bench.whatsapp.send_text(sender=BOB, to=ALICE, text=text)
            for text in ("one", "two")
        ]
        await watched.wait_for(MessageReceived, count=2)

        await receipts(watched.connection).mark_read(TO_BOB, None, ids)

        state = await bench.whatsapp.wait_until(ALICE, lambda account: bool(account.read_marks))
    assert [(mark.sender, mark.ids, mark.group) for mark in state.read_marks] == [(BOB, ids, None)]


async def test_a_message_in_a_group_is_marked_for_the_member_who_wrote_it(bench: Bench) -> None:
    await bench.whatsapp.open_account(CAROL, "Carol")
    group = await bench.whatsapp.create_group("friends", [ALICE, BOB, CAROL])
    async with bench.pair(ALICE, new_session()) as watched:
        await bench.whatsapp.send_group_text(group, sender=BOB, text="hi all")
        message = (await watched.wait_for(MessageReceived)).message

        await receipts(watched.connection).mark_read(
            message.chat, message.sender, [message.whatsapp_id]
        )

        state = await bench.whatsapp.wait_until(ALICE, lambda account: bool(account.read_marks))
    (mark,) = state.read_marks
    assert (mark.sender, mark.ids, mark.group) == (BOB, [message.whatsapp_id], group)


async def test_typing_shows_in_the_chat(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        # Whom nobody ever wrote to is not known by his LID yet.
        await presence(watched.connection).show_typing(TO_BOB, "composing")
        await watched.connection.send(OutgoingText(to=TO_BOB, text="now he is"))
        await presence(watched.connection).show_typing(TO_BOB, "recording")
        await presence(watched.connection).show_typing(TO_BOB, "paused")

        state = await bench.whatsapp.wait_until(ALICE, has_shown(3))
    assert state.shown == [f"composing {BOB}", f"recording {BOB}", f"paused {BOB}"]


async def test_presence_is_shown_once_the_account_has_a_name(
    bench: Bench, loopback_whatsapp: LoopbackWhatsApp
) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        with pytest.raises(SendFailed, match="no name yet") as refused:
            await presence(watched.connection).show_presence(available=True)
        assert not isinstance(refused.value, NotConnected)

        await loopback_whatsapp.open_account(ALICE, push_name="Alice")
        await show_available(watched.connection)
        await presence(watched.connection).show_presence(available=False)

        state = await bench.whatsapp.wait_until(ALICE, has_shown(2))
    assert state.shown == ["available", "unavailable"]


async def test_nothing_is_shown_without_a_line(bench: Bench) -> None:
    async with bench.open(new_session()) as watched:
        await watched.wait_for(QrCode)
        await nothing_is_shown(watched.connection)
        # The library, asked too early, would have ended its process.
        assert watched.kinds == ["qr_code"]
    await nothing_is_shown(watched.connection)


async def test_nothing_is_shown_while_the_line_is_down(bench: Bench) -> None:
    await bench.whatsapp.open_account(ALICE, push_name="Alice")
    async with bench.pair(ALICE, new_session()) as watched:
        await show_available(watched.connection)
        await bench.whatsapp.fault("refuse_connections", seconds=60)
        await bench.whatsapp.drop(ALICE)
        await bench.whatsapp.wait_until_offline(ALICE)

        await nothing_is_shown(watched.connection)


async def nothing_is_shown(connection: Connection) -> None:
    """See that each of the three is refused for want of a line."""
    with pytest.raises(NotConnected):
        await receipts(connection).mark_read(TO_BOB, None, ["3EB0"])
    with pytest.raises(NotConnected):
        await presence(connection).show_presence(available=True)
    with pytest.raises(NotConnected):
        await presence(connection).show_typing(TO_BOB, "composing")


async def test_typing_does_not_wait_for_a_send(bench: Bench) -> None:
    async with bench.pair(ALICE, new_session()) as watched:
        await bench.whatsapp.fault("slow_acks", seconds=20)
        sending = asyncio.create_task(
            watched.connection.send(OutgoingText(to=TO_BOB, text="slowly"))
        )
        await bench.whatsapp.wait_until_received(BOB, "slowly")

        await presence(watched.connection).show_typing(TO_BOB, "composing")
        await bench.whatsapp.wait_until(ALICE, has_shown(1))

        assert not sending.done()
        sending.cancel()
        await asyncio.wait([sending])


def has_shown(count: int) -> Callable[[AccountState], bool]:
    """Return the test whether an account has shown so many things."""
    return lambda account: len(account.shown) >= count
