"""What every engine does, on each of them: the same bodies on a script and on the real library."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sessions.engine import Connection
from sessions.errors import NotConnected, NotOnWhatsApp
from sessions.ids import SessionId, new_uuid
from sessions.messages import MessageStatus, OutgoingText
from sessions.signals import (
    Connected,
    Disconnected,
    EngineStopped,
    LoggedOut,
    MessageReceived,
    Paired,
    QrCode,
    Receipt,
    Signal,
)
from tests.contracts.worlds import ALICE, BOB, NOBODY, World, of_our_own_engines, opened
from tests.sessions.engine_neonize.watching import Watched

WAIT_SECONDS = 20
TO_BOB = f"{BOB}@s.whatsapp.net"


@asynccontextmanager
async def paired(world: World, session: SessionId) -> AsyncIterator[Watched]:
    """Open a session, scan its code, wait until it is connected."""
    async with opened(world.engine, session) as watched:
        await world.scan(session, (await watched.wait_for(QrCode)).code)
        await watched.wait_for(Connected)
        yield watched


async def link(world: World, session: SessionId) -> None:
    """Leave a session behind that has credentials and is not open."""
    async with paired(world, session):
        pass


async def is_linked(world: World, session: SessionId) -> bool:
    """Ask in a thread, as the answer may take a file."""
    return await asyncio.to_thread(world.engine.has_credentials, session)


async def messages_until(connection: Connection, count: int) -> list[str | None]:
    """Acknowledge everything until so many messages came, but not the batch of the last."""
    texts: list[str | None] = []
    async with asyncio.timeout(WAIT_SECONDS):
        async for batch in connection.signals():
            texts += [one.message.text for one in batch if isinstance(one, MessageReceived)]
            if len(texts) >= count:
                return texts
    raise AssertionError(f"the signals ended after {texts}")


async def test_a_new_session_begins_with_a_code_that_can_be_scanned(
    world: World, session: SessionId
) -> None:
    async with opened(world.engine, session) as watched:
        code = await watched.wait_for(QrCode)

        assert watched.seen[0] == code
        assert code.expires_at_ms > time.time() * 1000
        assert code.code
        assert code.code not in repr(code)
        assert not await is_linked(world, session)


async def test_scanning_pairs_then_connects(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        told = [one for one in watched.seen if not isinstance(one, QrCode)][:2]
        assert [type(one) for one in told] == [Paired, Connected]
        connected = watched.all(Connected)[0]

        assert connected.phone == ALICE
        assert connected.jid == watched.all(Paired)[0].jid == f"{ALICE}@s.whatsapp.net"
        assert connected.lid is not None
        assert connected.lid.isdecimal()
        assert await is_linked(world, session)


async def test_a_linked_session_opens_without_a_code(world: World, session: SessionId) -> None:
    await link(world, session)
    assert await is_linked(world, session)

    async with opened(world.engine, session) as watched:
        assert (await watched.wait_for(Connected)).phone == ALICE
        assert watched.kinds == ["connected"]


async def test_credentials_survive_a_restart(world: World, session: SessionId) -> None:
    await link(world, session)
    await world.restart()

    assert await is_linked(world, session)
    async with opened(world.engine, session) as watched:
        await watched.wait_for(Connected)
        assert watched.all(QrCode) == []


@of_our_own_engines
async def test_a_pairing_code_connects_too(world: World, session: SessionId) -> None:
    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)
        pairing = await watched.connection.pair_phone(ALICE)
        assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}", pairing.code)
        assert pairing.expires_at.timestamp() > time.time()
        assert pairing.code not in repr(pairing)

        await world.enter_code(session, pairing.code)

        assert (await watched.wait_for(Connected)).phone == ALICE
        assert await is_linked(world, session)


async def test_an_incoming_message_tells_who_wrote_what_where(
    world: World, session: SessionId
) -> None:
    async with paired(world, session) as watched:
        whatsapp_id = await world.write(session, "hello")
        message = (await watched.wait_for(MessageReceived)).message

    assert (message.whatsapp_id, message.text, message.type) == (whatsapp_id, "hello", "text")
    assert message.chat == message.sender == TO_BOB
    assert message.phone == BOB
    assert message.lid is not None
    assert message.lid.isdecimal()
    assert (message.from_me, message.is_group, message.push_name) == (False, False, "Bob")
    assert abs(message.timestamp_ms / 1000 - time.time()) < 60


async def test_what_the_own_phone_writes_is_told_as_ours(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        await world.write(session, "you know me from now on")
        whatsapp_id = await world.write_by_alice(session, "from my phone")
        message = (await watched.wait_for(MessageReceived, count=2)).message

    assert (message.whatsapp_id, message.from_me) == (whatsapp_id, True)
    assert (message.sender, message.chat) == (f"{ALICE}@s.whatsapp.net", TO_BOB)
    assert message.phone == BOB


async def test_messages_come_in_order(world: World, session: SessionId) -> None:
    texts = [f"message {number}" for number in range(20)]
    async with paired(world, session) as watched:
        for text in texts:
            await world.write(session, text)
        await watched.wait_for(MessageReceived, count=len(texts))

        assert watched.texts == texts


async def test_messages_wait_while_the_session_is_not_open(
    world: World, session: SessionId
) -> None:
    await link(world, session)
    for text in ("one", "two", "three"):
        await world.write(session, text)

    async with opened(world.engine, session) as watched:
        await watched.wait_for(MessageReceived, count=3)
        assert watched.texts == ["one", "two", "three"]
    async with opened(world.engine, session) as watched:
        await watched.wait_for(Connected)
        await world.write(session, "four")
        await watched.wait_for(MessageReceived)
        assert watched.texts == ["four"]


async def test_what_was_not_acknowledged_comes_again(world: World, session: SessionId) -> None:
    await link(world, session)
    async with world.engine.open(session) as connection:
        for text in ("one", "two", "three"):
            await world.write(session, text)
        first = await messages_until(connection, 1)
        assert first[0] == "one"

    async with opened(world.engine, session) as watched:
        await watched.wait_for(MessageReceived, count=3)
        assert watched.texts == ["one", "two", "three"]


async def test_what_was_acknowledged_does_not_come_again(world: World, session: SessionId) -> None:
    await link(world, session)
    async with world.engine.open(session) as connection:
        signals = connection.signals()
        await until_kind(signals, Connected)
        await world.write(session, "one")
        await until_kind(signals, MessageReceived)
        await world.write(session, "two")
        # Asking for it acknowledges "one".
        await until_kind(signals, MessageReceived)

    async with opened(world.engine, session) as watched:
        await world.write(session, "three")
        await watched.wait_for(MessageReceived, count=2)
        assert watched.texts == ["two", "three"]


async def until_kind(signals: AsyncIterator[object], kind: type[Signal]) -> None:
    """Ask for batches until one holds such a signal, which is then not acknowledged yet."""
    async with asyncio.timeout(WAIT_SECONDS):
        async for batch in signals:
            assert isinstance(batch, list | tuple)
            if any(isinstance(one, kind) for one in batch):
                return


async def test_a_sent_text_arrives_as_it_was_told(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        for text in ("first", "second 👍", "third"):
            sent = await watched.connection.send(OutgoingText(to=TO_BOB, text=text))
            assert re.fullmatch(r"3EB0[0-9A-F]{18}", sent.whatsapp_id)
            assert (sent.phone, abs(sent.timestamp_ms / 1000 - time.time()) < 60) == (BOB, True)
            assert sent.lid is not None
            assert (sent.whatsapp_id, text) in await received(world, session, text)

        texts = [text for _, text in await world.received(session)]
        assert texts == ["first", "second 👍", "third"]


async def received(world: World, session: SessionId, text: str) -> list[tuple[str, str]]:
    """Wait until Bob got a text."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            found = await world.received(session)
            if text in [one for _, one in found]:
                return found
            await asyncio.sleep(0.02)


@of_our_own_engines
async def test_receipts_come_back(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        sent = await watched.connection.send(OutgoingText(to=TO_BOB, text="hello"))
        delivered = await watched.wait_for(Receipt)
        await world.read(session, sent.whatsapp_id)
        read = await watched.wait_for(Receipt, count=2)

    assert (delivered.status, read.status) == (MessageStatus.DELIVERED, MessageStatus.READ)
    assert delivered.whatsapp_ids == read.whatsapp_ids == (sent.whatsapp_id,)
    assert delivered.chat == read.chat == TO_BOB


async def test_a_number_that_is_not_on_whatsapp_gets_nothing(
    world: World, session: SessionId
) -> None:
    async with paired(world, session) as watched:
        with pytest.raises(NotOnWhatsApp):
            await watched.connection.send(OutgoingText(to=f"{NOBODY}@s.whatsapp.net", text="?"))

        await watched.connection.send(OutgoingText(to=TO_BOB, text="still works"))


async def test_nothing_is_sent_before_the_login(world: World, session: SessionId) -> None:
    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)
        with pytest.raises(NotConnected):
            await watched.connection.send(OutgoingText(to=TO_BOB, text="early"))
        with pytest.raises(NotConnected):
            await watched.connection.logout()


async def test_a_lost_connection_comes_back_by_itself(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        await world.lose_connection(session)
        await watched.wait_for(Connected, count=2)

        assert watched.all(Disconnected)[0].reason == "stream_lost"
        assert watched.kinds[-2:] == ["disconnected", "connected"]
        await watched.connection.send(OutgoingText(to=TO_BOB, text="back"))
        assert "back" in [text for _, text in await received(world, session, "back")]


async def test_removing_the_device_on_the_phone_ends_the_connection(
    world: World, session: SessionId
) -> None:
    await link(world, session)
    async with world.engine.open(session) as connection:
        seen: list[Signal] = []
        async with asyncio.timeout(WAIT_SECONDS):
            async for batch in connection.signals():
                seen += batch
                if isinstance(batch[-1], Connected):
                    await world.unlink(session)

        # The iteration has ended by itself, right behind the final signal.
        assert isinstance(seen[-1], LoggedOut)
        assert seen[-1].by_phone
        with pytest.raises(NotConnected):
            await connection.send(OutgoingText(to=TO_BOB, text="too late"))
    assert not await is_linked(world, session)

    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)


async def test_logging_out_unlinks_the_device(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        await watched.connection.logout()
        with pytest.raises(NotConnected):
            await watched.connection.send(OutgoingText(to=TO_BOB, text="too late"))
    assert not await is_linked(world, session)

    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)


async def test_a_forgotten_session_must_be_paired_again(world: World, session: SessionId) -> None:
    await link(world, session)
    await world.engine.forget(session)
    await world.engine.forget(session)
    assert not await is_linked(world, session)

    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)


async def test_forgetting_what_never_was_is_no_error(world: World) -> None:
    await world.engine.forget(SessionId(new_uuid()))


async def test_a_left_connection_sends_nothing_and_makes_room(
    world: World, session: SessionId
) -> None:
    async with paired(world, session) as watched:
        pass
    with pytest.raises(NotConnected):
        await watched.connection.send(OutgoingText(to=TO_BOB, text="too late"))

    for _ in range(2):
        async with opened(world.engine, session) as watched:
            await watched.wait_for(Connected)
            await watched.connection.send(OutgoingText(to=TO_BOB, text="once more"))


async def test_leaving_while_the_code_shows_leaves_no_device(
    world: World, session: SessionId
) -> None:
    async with opened(world.engine, session) as watched:
        await watched.wait_for(QrCode)
    assert not await is_linked(world, session)

    async with paired(world, session) as watched:
        assert watched.all(Connected)[0].phone == ALICE


async def test_ending_the_engine_ends_every_connection(world: World, session: SessionId) -> None:
    async with paired(world, session) as watched:
        await world.restart()

        await watched.wait_for(EngineStopped)

    async with opened(world.engine, session) as watched:
        await watched.wait_for(Connected)
