"""What must not be written down: codes and messages, not even at the finest log level."""

import logging

import pytest

from sessions.messages import OutgoingText
from sessions.signals import Connected, MessageReceived, QrCode
from tests.sessions.engine_neonize.watching import ALICE, BOB, Bench, new_session


async def test_no_code_and_no_message_reaches_a_log(
    bench: Bench, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sessions")
    async with bench.open(new_session()) as watched:
        code = await watched.wait_for(QrCode)
        pairing_code = await watched.connection.pair_phone(ALICE)
        await bench.whatsapp.scan(code.code, ALICE)
        await watched.wait_for(Connected)
        await bench.whatsapp.send_text(sender=BOB, to=ALICE, text="for your eyes only")
        await watched.wait_for(MessageReceived)
        await watched.connection.send(
            OutgoingText(to=f"{BOB}@s.whatsapp.net", text="burn after reading")
        )
        shown = repr(watched.seen) + repr(pairing_code)

    out, err = capfd.readouterr()
    engine_log = "\n".join(one.getMessage() for one in caplog.records if "sessions" in one.name)
    assert "Login event" in engine_log
    written = engine_log + out + err + shown
    for secret in (code.code, pairing_code.code, "for your eyes only", "burn after reading"):
        assert secret not in written
