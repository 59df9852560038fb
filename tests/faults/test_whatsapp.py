"""What WhatsApp does to sessions: each end has its status, and nothing runs in circles."""

import asyncio
from typing import Any

import pytest

from tests.acceptance.phones import FRIEND, World, link
from tests.faults.traffic import (
    eventually,
    hears_all,
    send_surely,
    session_is,
    status,
    told_texts,
    write_many,
)

pytestmark = pytest.mark.timeout(300)
NUMBER = "15550001111"


@pytest.mark.parametrize("fault", ["515", "503", "drop"])
async def test_what_passes_is_survived_and_the_outbox_goes_on(
    real_world: World, fault: str
) -> None:
    """Row 46, what passes: stream errors 515 and 503, a broken connection; no user is needed."""
    whatsapp = real_world.whatsapp
    assert whatsapp is not None
    async with real_world.frontend() as frontend:
        phone = real_world.phone(frontend, "support", NUMBER)
        await link(frontend, "support", phone)
        logins = (await whatsapp.account(NUMBER)).companions[0].logins
        if fault == "drop":
            await whatsapp.drop(NUMBER)
        else:
            await whatsapp.fault("stream_error", phone=NUMBER, code=int(fault))
        message = await send_surely(frontend, "support", "after it")
        await phone.is_written_to("after it, too")
        await whatsapp.wait_until(
            NUMBER,
            lambda account: account.companions[0].logins > logins and account.companions[0].online,
            60,
        )
        await hears_all(frontend, "support", ["after it, too"])
        await frontend.hears_status(message, "delivered")
        await session_is(frontend, "support", "CONNECTED")
        assert frontend.events("support", "session:auth:corrupted") == []
        # One login for the fault, and one more at most: no loop.
        assert (await whatsapp.account(NUMBER)).companions[0].logins <= logins + 2
        frontend.assert_whole("support")


ENDS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "logout": ({"kind": "kick"}, "LOGGED_OUT", "logged_out", "relogin"),
    "ban": ({"kind": "temporary_ban"}, "FAILED", "temporary_ban", "wait"),
    "outdated": ({"kind": "login_failure", "reason": 405}, "FAILED", "client_outdated", "upgrade"),
}


@pytest.mark.parametrize("fault", list(ENDS))
async def test_what_ends_a_session_is_told_and_pauses_its_outbox(
    real_world: World, fault: str
) -> None:
    """Row 46, what ends: logout, ban, client outdated; the right status, no reconnect loop."""
    whatsapp = real_world.whatsapp
    assert whatsapp is not None
    body, wanted, reason, action = ENDS[fault]
    async with real_world.frontend() as frontend:
        await link(frontend, "support", real_world.phone(frontend, "support", NUMBER))
        await whatsapp.fault(**body, phone=NUMBER)
        if fault != "logout":
            await whatsapp.drop(NUMBER)
        session = await session_is(frontend, "support", wanted)
        assert (session["reason"], session["userAction"]) == (reason, action)
        message = await send_surely(frontend, "support", "not now")
        open_before = await whatsapp.connections()
        # The fault's absence is what is looked for: long enough for a loop's first rounds.
        await asyncio.sleep(5)
        assert await whatsapp.connections() == open_before == 0
        assert (await session_is(frontend, "support", wanted))["reason"] == reason
        assert await status(frontend, "support", message) == "queued"
        assert [message.text for message in await whatsapp.received(FRIEND)] == []
        frontend.assert_whole("support")


async def test_a_lost_keepalive_is_told_and_so_is_its_return(simulated_world: World) -> None:
    """Row 46, keep-alive: WhatsApp stops answering and comes back; the outbox waits meanwhile."""
    async with simulated_world.frontend() as frontend:
        await link(frontend, "support", simulated_world.phone(frontend, "support"))
        path = "/simulator/support/faults"
        await frontend.call("POST", path, expect=204, kind="keepalive_lost", seconds=6)
        lost = await session_is(frontend, "support", "RECONNECTING")
        assert lost["reason"] == "keepalive_lost"
        message = await send_surely(frontend, "support", "waits")
        assert await status(frontend, "support", message) == "queued"
        await session_is(frontend, "support", "CONNECTED")
        await frontend.hears_status(message, "delivered")
        frontend.assert_whole("support")


async def test_two_hundred_messages_delivered_again_are_no_new_events(real_world: World) -> None:
    """Row 47: WhatsApp delivers the last 200 messages once more after a reconnect (I2)."""
    whatsapp = real_world.whatsapp
    assert whatsapp is not None
    async with real_world.frontend() as frontend:
        phone = real_world.phone(frontend, "support", NUMBER)
        await link(frontend, "support", phone)
        await whatsapp.fault("lose_acknowledgements")
        written = [f"message {number}" for number in range(200)]
        await write_many(phone, written)
        await hears_all(frontend, "support", written)
        assert (await whatsapp.account(NUMBER)).companions[0].queued >= 200
        await whatsapp.fault("clear")
        await _reconnect(real_world)
        # They are taken, and acknowledged, again.
        await whatsapp.wait_until(NUMBER, lambda account: not account.companions[0].queued, 60)
        await phone.is_written_to("the first new one")
        await hears_all(frontend, "support", ["the first new one"])
        assert told_texts(frontend, "support") == [*written, "the first new one"]
        frontend.assert_whole("support")


async def _reconnect(world: World) -> None:
    assert world.whatsapp is not None
    logins = (await world.whatsapp.account(NUMBER)).companions[0].logins
    await world.whatsapp.drop(NUMBER)

    async def again() -> int:
        assert world.whatsapp is not None
        return (await world.whatsapp.account(NUMBER)).companions[0].logins

    await eventually(again, lambda found: found > logins, "the device logs in again")


async def test_one_command_three_times_is_one_message(real_world: World) -> None:
    """Row 33: the same command thrice, at once and around a kill; one outbox row, one send (I6)."""
    assert real_world.whatsapp is not None
    async with real_world.frontend() as frontend:
        await link(frontend, "support", real_world.phone(frontend, "support"))
        same = await asyncio.gather(*(send_surely(frontend, "support", "once") for _ in range(3)))
        assert len(set(same)) == 1
        racing = asyncio.gather(*(send_surely(frontend, "support", "again") for _ in range(3)))
        await asyncio.sleep(0.02)  # so that the kill meets the three anywhere
        await real_world.gateway.kill()
        await real_world.gateway.start()
        assert len(set(await racing)) == 1
        await session_is(frontend, "support", "CONNECTED")
        last = await send_surely(frontend, "support", "the last")
        await frontend.hears_status(last, "delivered")
        received = [message.text for message in await real_world.whatsapp.received(FRIEND)]
        # The kill may meet either while it is being sent: unknown then, and never sent again.
        assert received.count("once") <= 1
        assert received.count("again") <= 1
        listed = await frontend.call("GET", "/whatsapp/support/messages", expect=200)
        assert sorted(item["message"] for item in listed["items"]) == ["again", "once", "the last"]
