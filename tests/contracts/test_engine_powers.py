"""What a connection can do beside messages, and what comes without being news, on each engine."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from sessions.engine import Connection, Presence, Receipts
from sessions.errors import NotConnected, SendFailed
from sessions.ids import SessionId
from sessions.messages import EngineMessage
from sessions.signals import Connected, HistoryReceived, MessageReceived, QrCode
from tests.contracts.test_engine import TO_BOB, WAIT_SECONDS, link, paired, until_kind
from tests.contracts.worlds import BOB, World, of_our_own_engines, opened
from tests.sessions.engine_neonize.watching import Watched

pytestmark = of_our_own_engines


def receipts(connection: Connection) -> Receipts:
    """Return a connection as what marks messages as read."""
    assert isinstance(connection, Receipts)
    return connection


def presence(connection: Connection) -> Presence:
    """Return a connection as what shows presence."""
    assert isinstance(connection, Presence)
    return connection


async def become(look: Callable[[], Awaitable[list[str]]], wanted: list[str]) -> None:
    """Wait until what is found is what is wanted."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := await look()) != wanted:
        assert time.monotonic() < deadline, f"{wanted} is wanted, last seen was {found}"
        await asyncio.sleep(0.02)


async def old_messages(watched: Watched, count: int) -> list[EngineMessage]:
    """Wait for so many messages of the history."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            batches = watched.all(HistoryReceived)
            messages = [message for batch in batches for message in batch.messages]
            if len(messages) >= count:
                return messages
            await asyncio.sleep(0.02)


async def test_messages_that_were_read_are_marked_for_their_sender(
    world: World, session: SessionId
) -> None:
    async with paired(world, session) as watched:
        ids = [await world.write(session, text) for text in ("one", "two")]
        await watched.wait_for(MessageReceived, count=2)

        await receipts(watched.connection).mark_read(TO_BOB, None, ids)
        await receipts(watched.connection).mark_read(TO_BOB, None, ids[1:])

        await become(lambda: world.marked(session), [*ids, ids[1]])


async def test_who_types_is_seen_in_the_chat(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        await presence(watched.connection).show_typing(TO_BOB, "composing")
        await presence(watched.connection).show_typing(TO_BOB, "recording")
        await presence(watched.connection).show_typing(TO_BOB, "paused")

        wanted = [f"composing {BOB}", f"recording {BOB}", f"paused {BOB}"]
        await become(lambda: world.shown(session), wanted)


async def test_who_is_there_is_seen(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        await _show_available(watched.connection)
        await presence(watched.connection).show_presence(available=False)

        await become(lambda: world.shown(session), ["available", "unavailable"])


async def _show_available(connection: Connection) -> None:
    """Show it as soon as the phone has told its device the account's name."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                return await presence(connection).show_presence(available=True)
            except SendFailed:
                await asyncio.sleep(0.05)


async def test_nothing_is_shown_before_the_login_nor_after_the_end(
    world: World, session: SessionId
) -> None:
    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)
        await _shows_nothing(watched.connection)
    await _shows_nothing(watched.connection)


async def _shows_nothing(connection: Connection) -> None:
    with pytest.raises(NotConnected):
        await receipts(connection).mark_read(TO_BOB, None, ["3EB0"])
    with pytest.raises(NotConnected):
        await presence(connection).show_presence(available=True)
    with pytest.raises(NotConnected):
        await presence(connection).show_typing(TO_BOB, "composing")


async def test_what_the_phone_hands_over_is_history_and_no_news(
    world: World, session: SessionId
) -> None:
    texts = [f"in earlier days {number}" for number in range(30)]
    async with paired(world, session) as watched:
        await world.hand_over(session, texts)
        messages = await old_messages(watched, len(texts))

        assert [message.text for message in messages] == texts
        assert {(one.chat, one.sender, one.phone) for one in messages} == {(TO_BOB, TO_BOB, BOB)}
        assert len({message.whatsapp_id for message in messages}) == len(texts)
        assert watched.all(MessageReceived) == []


async def test_history_that_was_not_acknowledged_comes_again(
    world: World, session: SessionId
) -> None:
    await link(world, session)
    await world.hand_over(session, ["from then"])
    async with world.engine.open(session) as connection:
        await until_kind(connection.signals(), HistoryReceived)

    async with opened(world.engine, session) as watched:
        assert await old_messages(watched, 1)
        await watched.wait_for(Connected)
