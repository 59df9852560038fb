"""Presence, typing and read marks, as the real library sends and shows them."""

import asyncio
from pathlib import Path

import pytest

from .client import POLL_SECONDS, LoopbackRefused, LoopbackWhatsApp
from .neonize_process import NeonizeProcess, link
from .presence import Typing

ALICE, BOB = "15550001111", "447700900123"
NO_PUSH_NAME = "can't send presence without PushName set"


async def show_available(
    session: NeonizeProcess, whatsapp: LoopbackWhatsApp, push_name: str
) -> None:
    """Show presence until it goes by a push name, which comes to the session in its own time."""
    async with asyncio.timeout(20):
        while [c.push_name for c in (await whatsapp.account(ALICE)).companions] != [push_name]:
            refusal = await session.attempt("presence", state="AVAILABLE")
            assert refusal is None or NO_PUSH_NAME in refusal
            await asyncio.sleep(POLL_SECONDS)


async def test_presence_and_typing_of_a_session_are_noted(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    await whatsapp.open_account(BOB, "Bob")
    await whatsapp.open_account(ALICE, push_name="Alice")
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await show_available(session, whatsapp, "Alice")
        await session.do("chat_presence", to=BOB, state="COMPOSING")
        await session.do("chat_presence", to=BOB, state="COMPOSING", media="AUDIO")
        await session.do("chat_presence", to=BOB, state="PAUSED")
        await session.do("presence", state="UNAVAILABLE")
        expected = [
            f"composing {BOB}",
            f"recording {BOB}",
            f"paused {BOB}",
            "unavailable",
        ]
        await whatsapp.wait_until(ALICE, lambda account: account.shown[-4:] == expected)


async def test_session_has_no_push_name_until_the_phone_gives_it_one(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        refusal = await session.attempt("presence", state="AVAILABLE")
        assert refusal is not None
        assert NO_PUSH_NAME in refusal
        await whatsapp.open_account(ALICE, push_name="Alice")
        await show_available(session, whatsapp, "Alice")
        await whatsapp.open_account(ALICE, push_name="Alice Again")
        await show_available(session, whatsapp, "Alice Again")


async def test_contacts_are_seen_to_come_go_and_write(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    bob = await whatsapp.open_account(BOB)
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        await whatsapp.show_presence(sender=BOB, to=ALICE, state="available")
        event = await session.event("Presence")
        assert bob.lid in event["body"]
        assert "Unavailable: true" not in event["body"]
        await whatsapp.show_presence(
            sender=BOB, to=ALICE, state="unavailable", last_seen_seconds=1_700_000_000
        )
        event = await session.event("Presence")
        assert "Unavailable: true" in event["body"]
        assert "LastSeen: 1700000000" in event["body"]
        writing: tuple[tuple[Typing, str], ...] = (
            ("composing", "COMPOSING"),
            ("recording", "AUDIO"),
            ("paused", "PAUSED"),
        )
        for state, shown in writing:
            await whatsapp.show_presence(sender=BOB, to=ALICE, state=state)
            assert shown in (await session.event("ChatPresence"))["body"]
    await whatsapp.wait_until_offline(ALICE)
    with pytest.raises(LoopbackRefused, match="No linked device of 15550001111 is online"):
        await whatsapp.show_presence(sender=BOB, to=ALICE, state="available")


async def test_session_sees_that_another_one_writes(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp, environment = loopback_whatsapp, loopback_whatsapp.environment
    async with (
        NeonizeProcess.start(tmp_path / "alice.db", environment) as alice,
        NeonizeProcess.start(tmp_path / "bob.db", environment) as bob,
    ):
        await link(alice, whatsapp, ALICE)
        await link(bob, whatsapp, BOB)
        await alice.do("chat_presence", to=BOB, state="COMPOSING")
        body = (await bob.event("ChatPresence"))["body"]
        assert "COMPOSING" in body
        assert (await whatsapp.account(ALICE)).lid in body


async def test_read_marks_of_a_session_are_noted_with_whose_messages_they_are_for(
    loopback_whatsapp: LoopbackWhatsApp, tmp_path: Path
) -> None:
    whatsapp = loopback_whatsapp
    async with NeonizeProcess.start(tmp_path / "alice.db", whatsapp.environment) as session:
        await link(session, whatsapp, ALICE)
        ids = [await whatsapp.send_text(sender=BOB, to=ALICE, text=text) for text in ("one", "two")]
        for _ in ids:
            await session.event("Message")
        await session.do("mark_read", ids=ids, chat=BOB)
        state = await whatsapp.wait_until(ALICE, lambda account: bool(account.read_marks))
        assert [(mark.sender, mark.ids, mark.group) for mark in state.read_marks] == [
            (BOB, ids, None)
        ]

        group = await whatsapp.create_group("Friends", [BOB, ALICE])
        in_group = await whatsapp.send_group_text(group, sender=BOB, text="three")
        await session.do("mark_read", ids=[in_group], chat=group, server="g.us", sender=BOB)
        state = await whatsapp.wait_until(ALICE, lambda account: len(account.read_marks) == 2)
        mark = state.read_marks[-1]
        assert (mark.sender, mark.ids, mark.group) == (BOB, [in_group], group)
