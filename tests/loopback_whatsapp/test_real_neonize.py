"""The server against the unmodified neonize, which is the judge of the protocol."""

from pathlib import Path

import pytest

from .client import LoopbackRefused, LoopbackWhatsApp
from .neonize_process import NeonizeProcess, link
from .views import AccountState

ALICE, BOB, CAROL = "15550001111", "447700900123", "4915112345678"


def nothing_queued(account: AccountState) -> bool:
    return all(companion.queued == 0 for companion in account.companions)


async def test_scanned_session_receives_and_sends(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    await whatsapp.open_account(BOB, "Bob")
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)

        for text in ("hello", "again, in the same Signal session"):
            message_id = await whatsapp.send_text(sender=BOB, to=ALICE, text=text)
            event = await session.event("Message")
            assert (event["id"], event["sender"], event["text"]) == (message_id, BOB, text)

        sent = await session.do("send", to=BOB, text="hi Bob")
        received = await whatsapp.wait_until_received(BOB, "hi Bob")
        assert (received.id, received.sender) == (sent, ALICE)
        receipt = await session.event("Receipt")
        assert (receipt["ids"], receipt["type"]) == ([sent], "DELIVERED")

        await whatsapp.send_receipt([sent], sender=BOB, to=ALICE, type="read")
        receipt = await session.event("Receipt")
        assert (receipt["ids"], receipt["type"]) == ([sent], "READ")

        await session.do("logout")
        await whatsapp.wait_until(ALICE, lambda account: not account.companions)


async def test_code_typed_into_the_phone_links_a_session(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await session.event("qr")
        with pytest.raises(LoopbackRefused, match="No device has asked"):
            await whatsapp.enter_code("ABCD-EFGH", ALICE)

        code = await session.do("pair_by_code", phone=ALICE)
        assert await whatsapp.enter_code(code, ALICE) == 1
        await session.event("Connected")


async def test_wrong_code_links_nothing(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await session.event("qr")
        code = await session.do("pair_by_code", phone=ALICE)
        wrong = ("2" if code[0] == "1" else "1") + code[1:]
        with pytest.raises(LoopbackRefused, match="pairing code is wrong"):
            await whatsapp.enter_code(wrong, ALICE)
        assert (await whatsapp.account(ALICE)).companions == []


async def test_messages_sent_while_away_arrive_in_order_at_the_next_login(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp, database = loopback_whatsapp, tmp_path / "alice.db"
    async with NeonizeProcess.start(database, whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
    await whatsapp.wait_until_offline(ALICE)

    texts = [f"message {number}" for number in range(5)]
    ids = [await whatsapp.send_text(sender=BOB, to=ALICE, text=text) for text in texts]
    assert [c.queued for c in (await whatsapp.account(ALICE)).companions] == [5]

    async with NeonizeProcess.start(database, whatsapp.environment) as session:
        events = [await session.event("Message") for _ in texts]
        assert [event["id"] for event in events] == ids
        assert [event["text"] for event in events] == texts
        assert (await session.event("OfflineSyncCompleted"))["body"] == "Count: 5 "
        await whatsapp.wait_until(ALICE, nothing_queued)


async def test_unacknowledged_messages_come_again_and_the_library_swallows_them(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    """What whatsmeow does with a ciphertext that it has read before: a receipt, and no event.

    So a message whose event is lost behind the library is lost for good: the redelivery by which
    WhatsApp would make good for it ends inside the library.
    """
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.fault("lose_acknowledgements")
        await whatsapp.send_text(sender=BOB, to=ALICE, text="once")
        await session.event("Message")
        assert [c.queued for c in (await whatsapp.account(ALICE)).companions] == [1]

        await whatsapp.fault("clear")
        await whatsapp.drop(ALICE)
        assert (await session.event("OfflineSyncCompleted"))["body"] == "Count: 1 "
        await whatsapp.wait_until(ALICE, nothing_queued)
        await whatsapp.send_text(sender=BOB, to=ALICE, text="next")
        assert (await session.event("Message"))["text"] == "next"


async def test_message_that_could_not_be_read_is_asked_for_again(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.fault("spoil_messages", phone=BOB)
        message_id = await whatsapp.send_text(sender=BOB, to=ALICE, text="spoilt at first")
        await session.event("UndecryptableMessage")
        event = await session.event("Message")
        assert (event["id"], event["text"]) == (message_id, "spoilt at first")
        await whatsapp.wait_until(ALICE, nothing_queued)


async def test_any_stanza_can_be_sent_to_a_session(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    bob = await whatsapp.open_account(BOB)
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        address = {"from": f"{bob.lid}@lid"}
        await whatsapp.send_stanza(ALICE, "chatstate", [{"tag": "composing"}], **address)
        assert "COMPOSING" in (await session.event("ChatPresence"))["body"]


async def test_second_login_with_the_same_credentials_replaces_the_first(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp, database = loopback_whatsapp, tmp_path / "alice.db"
    async with NeonizeProcess.start(database, whatsapp.environment) as first:
        await link(first, whatsapp, ALICE)
        async with NeonizeProcess.start(database, whatsapp.environment) as second:
            await second.event("Connected")
            await first.event("StreamReplaced")
            await whatsapp.send_text(sender=BOB, to=ALICE, text="to the second only")
            assert (await second.event("Message"))["text"] == "to the second only"
            assert await whatsapp.connections() == 1
            assert "Message" not in [event["event"] for event in first.seen]


async def test_session_comes_back_from_what_whatsapp_does_in_passing(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.drop(ALICE)
        await session.event("Connected")
        await whatsapp.fault("stream_error", phone=ALICE, code=515)
        await session.event("Connected")
        await whatsapp.fail_next_login(503, phone=ALICE)
        await whatsapp.fault("stream_error", phone=ALICE, code=503)
        await session.event("Connected")
        await whatsapp.fault("refuse_connections", seconds=1)
        await whatsapp.drop()
        await session.event("Connected")
        await whatsapp.send_text(sender=BOB, to=ALICE, text="still here")
        assert (await session.event("Message"))["text"] == "still here"


async def test_device_removed_on_the_phone_is_logged_out(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.kick(ALICE)
        await session.event("LoggedOut")
        with pytest.raises(LoopbackRefused, match="no linked device"):
            await whatsapp.send_text(sender=BOB, to=ALICE, text="anybody there?")
    async with NeonizeProcess.start(tmp_path / "next.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        assert [c.device for c in (await whatsapp.account(ALICE)).companions] == [2]


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        ({"kind": "login_failure", "reason": 401}, "LoggedOut"),
        ({"kind": "login_failure", "reason": 405}, "ClientOutdated"),
        ({"kind": "temporary_ban", "expire_seconds": 60}, "TemporaryBan"),
    ],
)
async def test_refused_login_reaches_the_session(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path, fault: dict[str, str], event: str
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.fault(**fault)
        await whatsapp.drop(ALICE)
        await session.event(event)


async def test_slow_server_holds_the_ack_back(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    await whatsapp.open_account(BOB, delivery_receipts=False)
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.fault("slow_acks", seconds=1)
        with pytest.raises(TimeoutError):
            await session.do("send", to=BOB, text="slow", timeout_seconds=0.5)
        await whatsapp.wait_until_received(BOB, "slow")
        await session.event("done")


async def test_number_that_is_not_on_whatsapp_cannot_be_written_to(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    async with NeonizeProcess.start(
        tmp_path / "alice.db", loopback_whatsapp.environment
    ) as session:
        await link(session, loopback_whatsapp, ALICE)
        with pytest.raises(AssertionError, match="no LID found"):
            await session.do("send", to=CAROL, text="hello?")


async def test_two_linked_accounts_and_their_phones_see_the_same_conversation(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp, environment = loopback_whatsapp, loopback_whatsapp.environment
    async with (
        NeonizeProcess.start(tmp_path / "alice.db", environment) as alice,
        NeonizeProcess.start(tmp_path / "bob.db", environment) as bob,
    ):
        await link(alice, whatsapp, ALICE)
        await link(bob, whatsapp, BOB)
        sent = await alice.do("send", to=BOB, text="from Alice's companion")
        event = await bob.event("Message")
        assert (event["id"], event["sender"], event["from_me"]) == (sent, ALICE, False)
        await whatsapp.wait_until_received(BOB, "from Alice's companion")

        await whatsapp.send_text(sender=BOB, to=ALICE, text="from Bob's phone")
        assert (await alice.event("Message"))["text"] == "from Bob's phone"
        event = await bob.event("Message")
        assert (event["text"], event["from_me"]) == ("from Bob's phone", True)


async def test_group_messages_go_both_ways(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        group = await whatsapp.create_group("Friends", [BOB, ALICE, CAROL])
        for text in ("hello all", "hello again"):
            await whatsapp.send_group_text(group, sender=BOB, text=text)
            # The distribution of the sender's key comes as an event of its own, without text.
            assert (await session.event("Message"))["text"] == ""
            event = await session.event("Message")
            assert (event["text"], event["chat"]) == (text, f"{group}@g.us")
        for text in ("hello Bob and Carol", "hello again"):
            await session.do("send", to=group, server="g.us", text=text)
            for phone in (BOB, CAROL):
                received = await whatsapp.wait_until_received(phone, text)
                assert received.group == group
