"""What users see when WhatsApp or the engine fails, on the simulator."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sessions.engine_simulator_script import FaultKind
from sessions.errors import EngineUnavailable
from sessions.events import EventType
from sessions.status import REASONS, TRANSITIONS, IllegalTransition, Status, check_transition
from tests.sessions.house import QUICK, TENANT, House, running_house, until


async def test_a_blip_is_not_reported(house: House) -> None:
    session = await house.connected()
    before = await house.events("one")

    house.engine.fault(session.id, FaultKind.STREAM_LOST, seconds=0.02)
    house.engine.write(session.id, "after the blip")
    await house.logged("one", EventType.SESSION_MESSAGE)

    told = (await house.events("one"))[len(before) :]
    assert [event.type for event in told] == [EventType.SESSION_MESSAGE]


async def test_a_longer_loss_is_reported_and_so_is_its_end(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.STREAM_LOST, seconds=0.6)
    lost = await house.reaches("one", Status.RECONNECTING)
    assert (lost.reason, lost.user_action) == ("stream_lost", "wait")
    told = (await house.logged("one", EventType.SESSION_DISCONNECTED))[0]
    assert told.data["willReconnect"] is True
    await house.reaches("one", Status.CONNECTED)

    assert len(await house.events("one", EventType.SESSION_CONNECTED)) == 2


async def test_an_engine_crash_is_reported_and_the_session_comes_back(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.ENGINE_CRASH)
    told = (await house.logged("one", EventType.SESSION_DISCONNECTED))[0]
    await house.logged("one", EventType.SESSION_CONNECTED, 2)

    assert told.data == {
        "reason": "engine_stopped",
        "message": REASONS["engine_stopped"].message,
        "willReconnect": True,
    }
    assert (await house.manager.get(TENANT, "one")).status is Status.CONNECTED


async def test_logged_out_on_the_phone_ends_it_and_a_new_scan_is_needed(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.LOGGED_OUT)
    ended = await house.reaches("one", Status.LOGGED_OUT)

    assert (ended.reason, ended.user_action, ended.jid) == ("logged_out", "relogin", None)
    told = [event.type for event in await house.events("one")][-3:]
    assert set(told) == {
        EventType.SESSION_DISCONNECTED,
        EventType.SESSION_STATUS,
        EventType.SESSION_AUTH_CORRUPTED,
    }
    assert not house.engine.has_credentials(session.id)
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.QR_READY)


async def test_a_temporary_ban_says_until_when_and_is_no_loop(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.BAN, seconds=3600)
    banned = await house.reaches("one", Status.FAILED)

    assert (banned.reason, banned.user_action) == ("temporary_ban", "wait")
    special = (await house.logged("one", EventType.SESSION_ERROR_515))[0]
    assert special.data["error"]["code"] == 515
    assert special.data["until"] in banned.message
    plain = (await house.logged("one", EventType.SESSION_ERROR))[0]
    assert "515" in plain.data["error"]["message"]


async def test_a_restart_that_comes_up_is_no_error(house: House) -> None:
    session = await house.connected()
    before = await house.events("one")

    house.engine.fault(session.id, FaultKind.RESTART)
    house.engine.write(session.id, "still here")
    await house.logged("one", EventType.SESSION_MESSAGE)

    told = [event.type for event in (await house.events("one"))[len(before) :]]
    assert told == [EventType.SESSION_MESSAGE]


async def test_a_restart_that_does_not_come_up_is_error_515_and_tried_again(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.RESTART_TIMEOUT)

    await house.logged("one", EventType.SESSION_ERROR_515)
    await house.logged("one", EventType.SESSION_CONNECTED, 2)


async def test_corrupted_credentials_are_reported_and_can_be_reset(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.CORRUPTED)
    await house.reaches("one", Status.FAILED)
    await house.logged("one", EventType.SESSION_AUTH_CORRUPTED)
    await house.manager.reset_auth(TENANT, "one")
    await house.manager.activate(TENANT, "one")

    await house.reaches("one", Status.QR_READY)


async def test_others_with_the_same_credentials_end_in_a_conflict(house: House) -> None:
    session = await house.connected()

    for taken in (2, 3):
        house.engine.fault(session.id, FaultKind.CONFLICT)
        await house.logged("one", EventType.SESSION_CONNECTED, taken)
    house.engine.fault(session.id, FaultKind.CONFLICT)

    ended = await house.reaches("one", Status.CONFLICT)
    assert ended.reason == "stream_replaced"


async def test_a_refused_connection_is_tried_again(house: House) -> None:
    session = await house.connected()
    await house.manager.deactivate(TENANT, "one")
    house.engine.fault(session.id, FaultKind.CONNECT_REFUSED)
    house.engine.fault(session.id, FaultKind.ENGINE_UNAVAILABLE)

    await house.manager.activate(TENANT, "one")

    await house.reaches("one", Status.CONNECTED)


async def test_a_passkey_account_is_told_what_to_do(house: House) -> None:
    session = await house.session()
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.QR_READY)

    house.engine.fault(session.id, FaultKind.PASSKEY_REQUIRED)

    failed = await house.reaches("one", Status.FAILED)
    assert (failed.reason, failed.user_action) == ("passkey_required", "open_phone")


async def test_an_outdated_client_asks_for_an_upgrade(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.CLIENT_OUTDATED)

    failed = await house.reaches("one", Status.FAILED)
    assert (failed.reason, failed.user_action) == ("client_outdated", "upgrade")


async def test_what_waits_for_a_person_does_not_start_by_itself(tmp_path: Path) -> None:
    async with running_house(tmp_path) as house:
        session = await house.connected()
        house.engine.fault(session.id, FaultKind.LOGGED_OUT)
        await house.reaches("one", Status.LOGGED_OUT)
    async with running_house(tmp_path) as house:
        await house.connected("other", phone="15550009999")
        assert (await house.manager.get(TENANT, "one")).status is Status.LOGGED_OUT


async def test_messages_of_a_crash_come_once_after_it(house: House) -> None:
    session = await house.connected()
    for _ in range(4):
        house.engine.burst(session.id, 25)
        house.engine.fault(session.id, FaultKind.ENGINE_CRASH)
        await asyncio.sleep(0)

    events = await house.logged("one", EventType.SESSION_MESSAGE, 100)

    ids = [event.data["message"]["whatsappId"] for event in events]
    assert len(set(ids)) == len(ids) == 100


def test_every_status_has_its_row_and_forbidden_steps_raise() -> None:
    assert set(TRANSITIONS) == set(Status)
    for previous, following in TRANSITIONS.items():
        for status in Status:
            if status in following:
                check_transition(previous, status)
            else:
                with pytest.raises(IllegalTransition):
                    check_transition(previous, status)


def test_every_reason_is_a_sentence() -> None:
    for code, reason in REASONS.items():
        assert code == reason.code
        assert reason.message.endswith(".")
        assert len(reason.message) > 15


async def test_sessions_tasks_end_with_their_sessions(house: House) -> None:
    for number in range(5):
        await house.connected(f"s{number}", phone=f"1555000{number:04}")
    for number in range(5):
        await house.manager.delete(TENANT, f"s{number}")

    async def tasks() -> list[str]:
        return [
            task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("session")
        ]

    await until(tasks, lambda names: names == [])


async def test_what_cannot_be_recorded_is_told_and_holds_nothing_back(house: House) -> None:
    session = await house.connected()
    message = house.engine.write(session.id, "fine")

    house.engine.receive(session.id, message.model_copy(update={"timestamp_ms": 10**18}))
    broken = {"timestamp_ms": 10**18, "whatsapp_id": "BROKEN"}
    house.engine.receive(session.id, message.model_copy(update=broken))
    house.engine.write(session.id, "also fine")

    events = await house.logged("one", EventType.SESSION_MESSAGE, 2)
    assert [event.data["message"]["message"] for event in events] == ["fine", "also fine"]
    errors = await house.events("one", EventType.SESSION_ERROR)
    assert {error.data["error"]["code"] for error in errors} == {"not_recorded"}
    assert (await house.manager.get(TENANT, "one")).status is Status.CONNECTED


async def test_what_keeps_failing_ends_as_failed_with_its_reason(house: House) -> None:
    session = await house.connected()

    for crash in range(2, 6):
        house.engine.fault(session.id, FaultKind.ENGINE_CRASH)
        await house.logged("one", EventType.SESSION_CONNECTED, crash)
    house.engine.fault(session.id, FaultKind.ENGINE_CRASH)
    failed = await house.reaches("one", Status.FAILED)

    assert (failed.reason, failed.user_action) == ("engine_stopped", "relogin")
    assert "5 times in 10 minutes" in failed.message
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.CONNECTED)


async def test_a_loss_that_is_just_being_reported_does_not_outlive_its_end(tmp_path: Path) -> None:
    async with running_house(tmp_path) as house:
        sessions = [
            await house.connected(f"s{number}", phone=f"1555000{number:04}") for number in range(8)
        ]
        for _ in range(4):
            for number, session in enumerate(sessions):
                # Around the 0.2 s after which a loss is reported.
                house.engine.fault(
                    session.id, FaultKind.STREAM_LOST, seconds=0.195 + number * 0.002
                )
            await asyncio.sleep(0.5)
        for session in sessions:
            await house.reaches(session.session_id, Status.CONNECTED)


async def test_a_keep_alive_that_comes_back_is_told_as_connected_again(house: House) -> None:
    session = await house.connected()

    house.engine.fault(session.id, FaultKind.KEEPALIVE_LOST, seconds=0.6)
    await house.reaches("one", Status.RECONNECTING)
    await house.logged("one", EventType.SESSION_CONNECTED, 2)

    assert (await house.manager.get(TENANT, "one")).connected_at is not None


async def test_a_ban_that_is_over_ends_by_itself(tmp_path: Path) -> None:
    quick = replace(QUICK, retry_max_seconds=0.2)
    async with running_house(tmp_path, policy=quick) as house:
        session = await house.connected()

        house.engine.fault(session.id, FaultKind.BAN, seconds=0.5)
        banned = await house.reaches("one", Status.FAILED)

        assert "connects again then" in banned.message
        await house.reaches("one", Status.CONNECTED)


async def test_credentials_that_cannot_be_removed_leave_no_session_that_looks_connected(
    tmp_path: Path,
) -> None:
    async with running_house(tmp_path) as house:
        session = await house.connected()
        file = tmp_path / f"{session.id}.json"
        file.unlink()
        (file / "in the way").mkdir(parents=True)

        with pytest.raises(EngineUnavailable) as refusal:
            await house.manager.reset_auth(TENANT, "one")

        assert str(tmp_path) not in str(refusal.value)
        stopped = await house.manager.get(TENANT, "one")
        assert (stopped.status, stopped.is_active) == (Status.DISCONNECTED, False)
        (file / "in the way").rmdir()
        file.rmdir()
        assert (await house.manager.reset_auth(TENANT, "one")).reason == "auth_reset"
