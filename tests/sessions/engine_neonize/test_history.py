"""Older messages: read from what a phone hands over, and taken to the server beside the news."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from sessions.engine_neonize_directory import Account
from sessions.engine_neonize_history import BATCH_CHARACTERS, BATCH_MESSAGES, read_history
from sessions.messages import EngineMessage
from sessions.signals import Connected, HistoryReceived, MessageReceived, QrCode
from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.sessions.engine_neonize.library import load
from tests.sessions.engine_neonize.watching import (
    ALICE,
    BOB,
    Bench,
    Watched,
    eventually,
    new_session,
    running,
)

LID, PHONE, STRANGER = "9321009007744", "447700900123", "9999999999999"
AT_SECONDS = 1_700_000_000


class Names:
    """The directory of a client that knows one contact."""

    def account(self) -> Account:
        return Account("15550001111", "911", "Alice")

    def phone_of(self, lid: str) -> str | None:
        return {LID: PHONE}.get(lid)


def history(*chats: dict[str, Any], **fields: Any) -> Any:
    """Return a `HistorySync` from its JSON form."""
    sync = load("neonize.proto.waHistorySync.WAWebProtobufsHistorySync_pb2").HistorySync()
    json_format = load("google.protobuf.json_format")
    body = {"syncType": "RECENT", "conversations": list(chats), **fields}
    return json_format.ParseDict(body, sync)


def old(number: int, text: str = "hi", **fields: Any) -> dict[str, Any]:
    """Return the entry of a chat, newer with a greater number."""
    key = {"remoteJID": "x@lid", "ID": f"M{number}", **fields.pop("key", {})}
    told = {
        "key": key,
        "message": {"conversation": text},
        "messageTimestamp": AT_SECONDS + number,
        **fields,
    }
    return {"message": told, "msgOrderID": number}


def read(sync: Any) -> list[EngineMessage]:
    """Return all messages that are read, over all batches."""
    return [message for batch in read_history(sync, Names()) for message in batch.messages]


def test_a_chat_is_read_from_its_oldest_message_on_by_phone_number() -> None:
    chat = {"ID": f"{LID}@lid", "messages": [old(2, "two"), old(1, "one", pushName="Bob")]}

    first, second = read(history(chat))

    assert [first.text, second.text] == ["one", "two"]
    assert first == EngineMessage(
        whatsapp_id="M1",
        chat=f"{PHONE}@s.whatsapp.net",
        sender=f"{PHONE}@s.whatsapp.net",
        phone=PHONE,
        lid=LID,
        push_name="Bob",
        text="one",
        timestamp_ms=(AT_SECONDS + 1) * 1000,
    )


@pytest.mark.parametrize("way", ["mapping", "chat"])
def test_the_names_that_the_history_brings_are_used(way: str) -> None:
    names = {"pnJID": "4915112345678@s.whatsapp.net", "lidJID": f"{STRANGER}@lid"}
    chat = {"ID": f"{STRANGER}@lid", "messages": [old(1)], **(names if way == "chat" else {})}
    pushname = {"ID": "4915112345678@s.whatsapp.net", "pushname": "Eve"}
    mappings = [names] if way == "mapping" else []

    (message,) = read(history(chat, phoneNumberToLidMappings=mappings, pushnames=[pushname]))

    assert (message.phone, message.lid) == ("4915112345678", STRANGER)
    assert message.chat == message.sender == "4915112345678@s.whatsapp.net"
    assert message.push_name == "Eve"


def test_who_is_known_by_lid_only_is_named_by_it() -> None:
    (message,) = read(history({"ID": f"{STRANGER}@lid", "messages": [old(1)]}))

    assert (message.chat, message.phone, message.lid) == (f"{STRANGER}@lid", None, STRANGER)


def test_own_messages_are_ours() -> None:
    chat = {"ID": f"{PHONE}@s.whatsapp.net", "messages": [old(1, key={"fromMe": True})]}

    (message,) = read(history(chat))

    assert message.from_me
    assert message.sender == "15550001111@s.whatsapp.net"
    assert (message.chat, message.phone) == (f"{PHONE}@s.whatsapp.net", PHONE)


def test_messages_of_a_group_name_their_author() -> None:
    entries = [
        old(3, "ours", key={"fromMe": True}),
        old(2, "by whom?"),
        old(1, "hers", participant=f"{LID}:4@lid"),
    ]

    hers, ours = read(history({"ID": "120363@g.us", "messages": entries}))

    assert (hers.chat, hers.is_group, hers.text) == ("120363@g.us", True, "hers")
    assert (hers.sender, hers.phone, hers.lid) == (f"{PHONE}@s.whatsapp.net", PHONE, LID)
    assert (ours.sender, ours.phone) == ("15550001111@s.whatsapp.net", None)


@pytest.mark.parametrize(
    "entry",
    [
        old(1, message={"protocolMessage": {"type": 0, "key": {"ID": "Q"}}}),
        old(1, message={"senderKeyDistributionMessage": {"groupID": "1@g.us"}}),
        old(1, message={"paymentInviteMessage": {"serviceType": 1}}),
        old(1, message={}, messageStubType="REVOKE"),
        old(1, messageTimestamp=0),
        old(1, key={"ID": ""}),
    ],
)
def test_what_shows_nothing_or_is_not_whole_is_left_out(entry: dict[str, Any]) -> None:
    assert read(history({"ID": f"{LID}@lid", "messages": [entry]})) == []


@pytest.mark.parametrize("chat", ["status@broadcast", "120363@newsletter", "", "0@s.whatsapp.net@"])
def test_what_is_no_chat_is_left_out(chat: str) -> None:
    assert read(history({"ID": chat, "messages": [old(1)]})) == []


def test_batches_are_bounded_in_number_and_in_size() -> None:
    many = {"ID": f"{LID}@lid", "messages": [old(n) for n in reversed(range(250))]}
    long = {"ID": f"{LID}@lid", "messages": [old(n, "x" * BATCH_CHARACTERS) for n in range(3)]}

    assert [len(one.messages) for one in read_history(history(many), Names())] == [
        BATCH_MESSAGES,
        BATCH_MESSAGES,
        250 - 2 * BATCH_MESSAGES,
    ]
    assert [len(one.messages) for one in read_history(history(long), Names())] == [1, 1, 1]
    assert list(read_history(history(), Names())) == []


async def test_the_history_of_a_new_device_comes_whole(bench: Bench) -> None:
    ids = await bench.whatsapp.send_history(ALICE, [talk(250)], to="new")

    async with bench.pair(ALICE, new_session()) as watched:
        await eventually(lambda: len(texts(watched)) == 250, "the history is in")

    messages = [one for batch in watched.all(HistoryReceived) for one in batch.messages]
    assert [message.whatsapp_id for message in messages] == ids
    assert max(len(batch.messages) for batch in watched.all(HistoryReceived)) <= BATCH_MESSAGES
    assert {message.chat for message in messages} == {f"{BOB}@s.whatsapp.net"}
    assert {message.sender for message in messages} == {
        f"{BOB}@s.whatsapp.net",
        f"{ALICE}@s.whatsapp.net",
    }
    assert watched.all(MessageReceived) == []


async def test_news_do_not_wait_for_history(bench: Bench) -> None:
    session = await bench.linked(ALICE)
    async with bench.engine.open(session) as connection:
        signals = connection.signals()
        await anext(signals)
        await bench.whatsapp.send_history(ALICE, [talk(1000)])
        (first,) = await anext(signals)
        assert isinstance(first, HistoryReceived)
        await bench.whatsapp.send_text(sender=BOB, to=ALICE, text="hello")
        # It is with the line, which waits for the first batch.
        await bench.whatsapp.wait_until(ALICE, lambda account: not account.companions[0].queued)
        # Nobody sees it come from the library to the line; on a busy machine that takes a while.
        await asyncio.sleep(1)

        kinds = [(await anext(signals))[-1].kind for _ in range(10)]

    assert kinds.count("history_received") == 9
    assert kinds.index("message_received") <= 1


async def test_history_that_was_not_committed_comes_again_with_the_next_line(
    bench: Bench,
) -> None:
    session = await bench.linked(ALICE)
    async with bench.engine.open(session) as connection:
        signals = connection.signals()
        await anext(signals)
        await bench.whatsapp.send_history(ALICE, [talk(450)])
        await anext(signals)

    async with bench.open(session) as watched:
        await eventually(lambda: len(texts(watched)) == 450, "the history is in")
        assert texts(watched) == [f"old {number}" for number in range(450)]
        await watched.wait_for(Connected)

    async with bench.open(session) as watched:
        await watched.wait_for(Connected)
        assert texts(watched) == []


async def test_history_survives_a_move_that_does_not_wait_for_it(
    tmp_path: Path, whatsapp: LoopbackWhatsApp
) -> None:
    await whatsapp.send_history(ALICE, [talk(1500)], to="new")
    async with running(
        tmp_path / "engine", whatsapp, settle_seconds=0.1, settle_at_most_seconds=0.5
    ) as bench:
        session, told = new_session(), list[str | None]()
        async with bench.engine.open(session) as connection:
            started = time.monotonic()
            async for batch in connection.signals():
                for signal in batch:
                    if isinstance(signal, QrCode):
                        await whatsapp.scan(signal.code, ALICE)
                    if isinstance(signal, HistoryReceived):
                        told += [message.text for message in signal.messages]
                        # As long as a database takes for it.
                        await asyncio.sleep(0.25)
                if len(set(told)) == 1500:
                    break
                assert time.monotonic() - started < 30, f"{len(set(told))} came"
            moved = await whatsapp.account(ALICE)

    assert moved.companions[0].logins == 2, "the line was not moved meanwhile"


def talk(count: int) -> dict[str, Any]:
    """Return so many old messages between Alice and Bob."""
    messages = [{"text": f"old {number}", "from_me": number % 3 == 0} for number in range(count)]
    return {"chat": BOB, "name": "Bob", "messages": messages}


def texts(watched: Watched) -> list[str | None]:
    """Return the texts of the history that came so far."""
    return [one.text for batch in watched.all(HistoryReceived) for one in batch.messages]
