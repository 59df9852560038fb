"""Faults behind which the connection stays open, as the real library tells of them."""

from pathlib import Path

import pytest

from .client import LoopbackWhatsApp
from .neonize_process import NeonizeProcess, link

ALICE, BOB = "15550001111", "447700900123"


@pytest.mark.parametrize("error", [463, 479, 503])
async def test_rejected_message_tells_the_error_and_reaches_nobody(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path, error: int
) -> None:
    whatsapp = loopback_whatsapp
    await whatsapp.open_account(BOB)
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.reject_next_message(error, phone=ALICE, count=2)
        for text in ("one", "two"):
            refusal = await session.attempt("send", to=BOB, text=text)
            assert refusal == f"server returned error {error}"
        await session.do("send", to=BOB, text="three")
        await whatsapp.wait_until_received(BOB, "three")
        assert [message.text for message in await whatsapp.received(BOB)] == ["three"]


async def test_what_was_sent_in_a_silence_arrives_when_it_is_over(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    await whatsapp.open_account(BOB)
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        assert await whatsapp.silence(60, ALICE) == 1
        await whatsapp.send_text(sender=BOB, to=ALICE, text="to the session")
        with pytest.raises(TimeoutError):
            await session.do("send", to=BOB, text="from the session", timeout_seconds=1)
        assert "Message" not in [event["event"] for event in session.seen]
        assert [c.online for c in (await whatsapp.account(ALICE)).companions] == [True]
        await whatsapp.fault("clear")
        await whatsapp.wait_until_received(BOB, "from the session")
        # One of the two is seen first, and waiting for the one passes over the other.
        await session.event("done", "Message")
        await session.event("done", "Message")
        assert [e["text"] for e in session.seen if e["event"] == "Message"] == ["to the session"]


async def test_silent_connection_that_breaks_is_replaced_by_one_that_is_not(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.silence(60, ALICE)
        await whatsapp.send_text(sender=BOB, to=ALICE, text="kept for the next login")
        assert await whatsapp.drop(ALICE) == 1
        await session.event("Connected")
        assert (await session.event("Message"))["text"] == "kept for the next login"
        assert await whatsapp.connections() == 1


async def test_connection_that_opens_in_a_silence_of_the_server_waits(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    assert await whatsapp.silence(3) == 0
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        with pytest.raises(TimeoutError):
            await session.event("qr", timeout_seconds=1)
        await link(session, whatsapp, ALICE)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_library_tells_that_pings_are_not_answered_and_that_they_are_again(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.silence(60, ALICE)
        # A ping every 20 to 30 seconds, whose answer it awaits for 10.
        event = await session.event("KeepAliveTimeout", timeout_seconds=50)
        assert "ErrorCount: 1" in event["body"]
        await session.event("KeepAliveRestored", timeout_seconds=90)
        await whatsapp.send_text(sender=BOB, to=ALICE, text="still the same connection")
        assert (await session.event("Message"))["text"] == "still the same connection"
        assert [c.logins for c in (await whatsapp.account(ALICE)).companions] == [1]
