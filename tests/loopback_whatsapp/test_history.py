"""The phone's history, as the real library brings it."""

from pathlib import Path

from .client import LoopbackWhatsApp
from .neonize_process import NeonizeProcess, link

ALICE, BOB, CAROL = "15550001111", "447700900123", "4915112345678"
WITH_BOB = {
    "chat": BOB,
    "name": "Bob",
    "unread": 1,
    "messages": [
        {"text": "long ago", "from_me": True, "id": "OLD1", "timestamp_seconds": 1_700_000_000},
        {"text": "and then", "id": "OLD2", "timestamp_seconds": 1_700_000_060},
    ],
}


async def test_history_of_the_phone_reaches_its_linked_devices(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        with_carol = {"chat": CAROL, "messages": [{"text": "hi"}, {"text": "you there?"}]}
        ids = await whatsapp.send_history(ALICE, [WITH_BOB, with_carol])
        assert ids[:2] == ["OLD1", "OLD2"]

        event = await session.event("HistorySync")
        assert event["type"] == "INITIAL_BOOTSTRAP"
        bob, carol = event["conversations"]
        assert bob["chat"] == f"{(await whatsapp.account(BOB)).lid}@lid"
        assert (bob["phone"], bob["name"]) == (f"{BOB}@s.whatsapp.net", "Bob")
        assert bob["unread"] == 1
        newest, oldest = bob["messages"]
        assert (oldest["id"], oldest["text"], oldest["from_me"]) == ("OLD1", "long ago", True)
        assert (newest["id"], newest["from_me"]) == ("OLD2", False)
        assert newest["timestamp_seconds"] == 1_700_000_060
        assert [message["id"] for message in carol["messages"]] == ids[:1:-1]
        times = [message["timestamp_seconds"] for message in carol["messages"]]
        assert times == sorted(times, reverse=True)


async def test_history_waits_for_the_first_login_of_each_new_device(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp, database = loopback_whatsapp, tmp_path / "alice.db"
    await whatsapp.send_history(ALICE, [WITH_BOB], type="recent", to="new")
    async with NeonizeProcess.start(database, whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        event = await session.event("HistorySync")
        assert event["type"] == "RECENT"
        assert [message["id"] for message in event["conversations"][0]["messages"]] == [
            "OLD2",
            "OLD1",
        ]
        await whatsapp.wait_until(ALICE, lambda account: not account.companions[0].queued)

        await whatsapp.drop(ALICE)
        await session.event("Connected")
        await whatsapp.send_text(sender=BOB, to=ALICE, text="now")
        while (await session.event("Message"))["text"] != "now":
            pass
        assert [event["event"] for event in session.seen].count("HistorySync") == 1
