"""The life of sessions, through the manager, on the simulator and a real database file."""

import asyncio
from pathlib import Path

import pytest

from sessions.errors import (
    Draining,
    QrNotAvailable,
    SessionExists,
    SessionNotFound,
    UnrecoverablePosition,
)
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionName, TenantId
from sessions.session import NewSession, SessionChanges, SessionQuery
from sessions.status import Status
from tests.sessions.house import TENANT, House, listening, running_house, until


async def test_a_new_session_explains_itself(house: House) -> None:
    session = await house.session("shop")

    assert session.status is Status.DISCONNECTED
    assert not session.is_active
    assert (session.reason, session.user_action) == ("created", "none")
    assert session.cursor.endswith(":0")
    assert await house.manager.get(TENANT, session.id) == session
    assert await house.manager.get(TENANT, "shop") == session


async def test_a_name_is_unique_within_its_tenant_only(house: House) -> None:
    await house.session("shop")
    other = await house.manager.create(
        TenantId("other"), NewSession(session_id=SessionName("shop"))
    )

    with pytest.raises(SessionExists, match="shop"):
        await house.session("shop")
    with pytest.raises(SessionNotFound):
        await house.manager.get(TENANT, other.id)


async def test_two_creations_at_once_make_one_session(house: House) -> None:
    results = await asyncio.gather(
        *(house.session("shop") for _ in range(5)), return_exceptions=True
    )

    assert sum(isinstance(result, SessionExists) for result in results) == 4
    assert (await house.manager.list(TENANT, SessionQuery())).total == 1


async def test_lists_are_filtered_paged_and_in_order_of_creation(house: House) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await house.session(name)
    await house.connected("live")

    page = await house.manager.list(TENANT, SessionQuery(limit=2, offset=2))
    assert ([item.session_id for item in page.items], page.total) == (["s2", "s3"], 6)
    active = await house.manager.list(TENANT, SessionQuery(is_active=True))
    assert [item.session_id for item in active.items] == ["live"]
    connected = await house.manager.list(TENANT, SessionQuery(status=Status.CONNECTED))
    assert [item.session_id for item in connected.items] == ["live"]
    narrowed = await house.manager.list(TENANT, SessionQuery(only=frozenset({"s1", "s4", "no"})))
    assert [item.session_id for item in narrowed.items] == ["s1", "s4"]


async def test_an_update_changes_what_is_set_and_nothing_else(house: House) -> None:
    await house.manager.create(
        TENANT, NewSession(session_id=SessionName("one"), name="Shop", metadata={"a": 1})
    )

    changed = await house.manager.update(
        TENANT, "one", SessionChanges(phone_number="+221771234567")
    )
    assert (changed.name, changed.phone_number, changed.metadata) == (
        "Shop",
        "+221771234567",
        {"a": 1},
    )
    cleared = await house.manager.update(TENANT, "one", SessionChanges(name=None, metadata={}))
    assert (cleared.name, cleared.phone_number, cleared.metadata) == (None, "+221771234567", {})


async def test_activation_shows_a_code_and_a_scan_connects(house: House) -> None:
    session = await house.session()
    async with listening(house, session.id) as heard:
        activated = await house.manager.activate(TENANT, "one")
        assert (activated.status, activated.is_active) == (Status.CONNECTING, True)
        ready = await house.reaches("one", Status.QR_READY)
        assert ready.user_action == "scan"
        qr = await house.manager.qr(TENANT, "one")
        house.engine.scan(session.id, phone="15550001111", push_name="Alice")
        connected = await house.reaches("one", Status.CONNECTED)

    shown = next(event for event in heard if event.type is EventType.QR)
    assert (shown.data["code"], shown.seq) == (qr.code, None)
    assert (shown.data["attempt"], shown.data["maxAttempts"]) == (0, 3)
    assert connected.phone_number == "+15550001111"
    assert connected.push_name == "Alice"
    assert connected.connected_at is not None
    with pytest.raises(QrNotAvailable):
        await house.manager.qr(TENANT, "one")
    types = [event.type for event in await house.events("one")]
    assert types == [
        EventType.SESSION_STARTED,
        EventType.SESSION_STATUS,
        EventType.SESSION_STATUS,
        EventType.SESSION_STATUS,
        EventType.SESSION_STATUS,
        EventType.SESSION_CONNECTED,
    ]


async def test_activating_twice_changes_nothing(house: House) -> None:
    await house.connected()
    before = await house.events("one")

    session = await house.manager.activate(TENANT, "one")

    assert session.status is Status.CONNECTED
    assert await house.events("one") == before


async def test_a_pairing_code_connects_without_a_scan(house: House) -> None:
    session = await house.session()
    async with listening(house, session.id) as heard:
        await house.manager.activate(TENANT, "one", pairing_phone_number="15550001111")
        await until(
            lambda: house.manager.get(TENANT, "one"), lambda found: found.reason == "enter_code"
        )
        qr = await house.manager.qr(TENANT, "one")
        assert qr.pairing_code is not None
        house.engine.enter_code(session.id, qr.pairing_code)
        await house.reaches("one", Status.CONNECTED)

    codes = [event for event in heard if event.type is EventType.PAIRING_CODE]
    assert [event.data["code"] for event in codes] == [qr.pairing_code]


async def test_deactivated_and_activated_again_it_needs_no_code(house: House) -> None:
    await house.connected()

    stopped = await house.manager.deactivate(TENANT, "one")
    assert (stopped.status, stopped.is_active) == (Status.DISCONNECTED, False)
    assert len(await house.events("one", EventType.SESSION_STOPPED)) == 1
    assert await house.manager.deactivate(TENANT, "one") == stopped

    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.CONNECTED)
    statuses = [
        event.data["status"] for event in await house.events("one", EventType.SESSION_STATUS)
    ]
    assert statuses.count(Status.QR_READY) == 1


async def test_deactivation_takes_the_code_off_the_screen(house: House) -> None:
    await house.session()
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.QR_READY)

    await house.manager.deactivate(TENANT, "one")

    with pytest.raises(QrNotAvailable):
        await house.manager.qr(TENANT, "one")


async def test_after_a_reset_a_code_is_needed_again(house: House) -> None:
    session = await house.connected()

    reset = await house.manager.reset_auth(TENANT, "one")

    assert (reset.status, reset.reason, reset.jid) == (Status.DISCONNECTED, "auth_reset", None)
    assert not house.engine.has_credentials(session.id)
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.QR_READY)


async def test_codes_are_made_anew_up_to_the_limit_and_nothing_is_left(tmp_path: Path) -> None:
    async with running_house(tmp_path, qr_lifetimes_seconds=(0.05, 0.02)) as house:
        session = await house.session()
        async with listening(house, session.id) as heard:
            await house.manager.activate(TENANT, "one")
            failed = await house.reaches("one", Status.FAILED)

    expired = [event.data for event in heard if event.type is EventType.QR_EXPIRED]
    assert expired == [
        {"attempt": attempt, "maxAttempts": 3, "willRegenerate": attempt < 3}
        for attempt in range(4)
    ]
    attempts = [event.data["attempt"] for event in heard if event.type is EventType.QR]
    assert attempts == [0, 0, 1, 1, 2, 2, 3, 3]
    text = "QR code generation failed after 3 attempts. Please request a new validation."
    assert (failed.reason, failed.message) == ("qr_exhausted", text)
    errors = [event.data for event in heard if event.type is EventType.SESSION_ERROR]
    assert errors == [{"error": {"code": "qr_exhausted", "message": text}, "userAction": "relogin"}]
    assert not house.engine.has_credentials(session.id)


async def test_a_requested_code_starts_the_count_again(tmp_path: Path) -> None:
    async with running_house(tmp_path, qr_lifetimes_seconds=(0.05,)) as house:
        session = await house.session()
        await house.manager.activate(TENANT, "one")
        await house.reaches("one", Status.FAILED)
        async with listening(house, session.id) as heard:
            await house.manager.regenerate_qr(TENANT, "one")
            await until_first(heard, EventType.QR)

    shown = next(event for event in heard if event.type is EventType.QR)
    assert shown.data["attempt"] == 0


async def until_first(heard: list[SessionEvent], type_: EventType) -> None:
    """Wait until an event of a type was heard."""

    async def look() -> list[SessionEvent]:
        return [event for event in heard if event.type is type_]

    await until(look, bool)


async def test_regenerating_for_a_connected_session_does_nothing(house: House) -> None:
    await house.connected()
    before = await house.events("one")

    assert (await house.manager.regenerate_qr(TENANT, "one")).status is Status.CONNECTED
    assert await house.events("one") == before


async def test_deletion_leaves_nothing_and_frees_the_name(house: House) -> None:
    session = await house.connected()
    await house.send("one", "hello")

    await house.manager.delete(TENANT, "one")

    with pytest.raises(SessionNotFound):
        await house.manager.get(TENANT, session.id)
    assert not house.engine.has_credentials(session.id)
    again = await house.session("one")
    assert again.id != session.id
    assert await house.events("one") == []


async def test_deleting_while_connecting_is_safe(house: House) -> None:
    for _ in range(5):
        await house.session()
        await house.manager.activate(TENANT, "one")
        await house.manager.delete(TENANT, "one")

    assert (await house.manager.list(TENANT, SessionQuery())).total == 0


async def test_commands_on_one_session_take_turns(house: House) -> None:
    await house.session()
    commands = [house.manager.activate, house.manager.deactivate] * 10

    await asyncio.gather(*(command(TENANT, "one") for command in commands))
    await house.manager.deactivate(TENANT, "one")

    session = await house.manager.get(TENANT, "one")
    assert (session.status, session.is_active) == (Status.DISCONNECTED, False)
    assert [event.seq for event in await house.events("one")] == list(
        range(1, len(await house.events("one")) + 1)
    )


async def test_active_sessions_come_back_after_a_restart(tmp_path: Path) -> None:
    async with running_house(tmp_path) as house:
        await house.connected("one", phone="15550001111")
        await house.connected("two", phone="15550002222")
        await house.connected("off", phone="15550003333")
        await house.manager.deactivate(TENANT, "off")
    async with running_house(tmp_path) as house:
        await house.reaches("one", Status.CONNECTED)
        await house.reaches("two", Status.CONNECTED)
        assert (await house.manager.get(TENANT, "off")).status is Status.DISCONNECTED
        assert len(await house.logged("one", EventType.SESSION_CONNECTED, 2)) == 2


async def test_a_draining_manager_refuses_commands(house: House) -> None:
    await house.connected()

    await house.manager.drain()

    with pytest.raises(Draining):
        await house.manager.activate(TENANT, "one")
    assert house.manager.healthy() != []


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [("garbage", "malformed"), ("other:1", "wrong_log"), ("{log}:99", "future")],
)
async def test_an_impossible_cursor_is_refused_with_the_reason(
    house: House, cursor: str, reason: str
) -> None:
    session = await house.connected()
    log_id = session.cursor.partition(":")[0]

    with pytest.raises(UnrecoverablePosition) as refusal:
        await house.manager.events(TENANT, "one", after=cursor.format(log=log_id))

    assert refusal.value.reason == reason
    assert refusal.value.oldest == f"{log_id}:0"


async def test_events_are_read_page_by_page_without_a_gap(house: House) -> None:
    await house.connected()
    whole = await house.events("one")

    after, seen = None, []
    while True:
        page = await house.manager.events(TENANT, "one", after=after, limit=2)
        if not page.items:
            break
        seen += page.items
        after = page.cursor

    assert seen == whole
    assert [event.seq for event in seen] == list(range(1, len(whole) + 1))
