"""What nobody foresaw: one session's fault is shown and tried again, and ends nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sessions import outbox
from sessions.engine_simulator_script import FaultKind
from sessions.events import EventType
from sessions.qr_codes_memory import MemoryQrCodes
from sessions.recorder import Recorder
from sessions.session_table import change_status
from sessions.status import Status
from tests.sessions.house import TENANT, House, running_house, until

OTHER_PHONE = "15550002222"
ALWAYS = 1_000


@pytest.fixture
async def bereft(tmp_path: Path) -> AsyncIterator[House]:
    """Run a manager whose session was connected, and has lost its credentials since."""
    async with running_house(tmp_path) as house:
        session = await house.connected()
    (tmp_path / f"{session.id}.json").unlink()
    async with running_house(tmp_path) as house:
        yield house


async def test_lost_credentials_and_then_a_crash_end_nothing(bereft: House) -> None:
    session = await bereft.reaches("one", Status.QR_READY)
    for crash in (1, 2):
        bereft.engine.fault(session.id, FaultKind.ENGINE_CRASH)
        await ended(bereft, "engine_stopped", crash)
        shown = await bereft.reaches("one", Status.QR_READY)
        assert (shown.jid, shown.lid, shown.push_name) == (None, None, None)

    assert (bereft.manager.healthy(), await bereft.faults()) == ([], 0)
    bereft.engine.scan(session.id, phone=OTHER_PHONE)
    again = await bereft.reaches("one", Status.CONNECTED)
    assert again.jid == f"{OTHER_PHONE}@s.whatsapp.net"


async def test_a_fault_in_recording_an_end_is_shown_and_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.connected()
    monkeypatch.setattr(Recorder, "conclude", failing(Recorder.conclude, times=2))

    house.engine.fault(session.id, FaultKind.ENGINE_CRASH)
    await house.logged("one", EventType.SESSION_CONNECTED, 2)

    await ended(house, "gateway_fault", 1)
    assert await house.faults() == 2
    await is_sound(house)


async def test_a_fault_in_taking_a_session_up_is_shown_and_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.connected()
    await house.manager.deactivate(TENANT, "one")
    monkeypatch.setattr(outbox, "own_up", failing(outbox.own_up, times=3))

    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.CONNECTED)

    await ended(house, "gateway_fault", 1)
    assert await house.faults() == 3
    await is_sound(house)


async def test_what_keeps_failing_unforeseen_ends_as_failed_and_alone(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.connected()
    await house.manager.deactivate(TENANT, "one")
    monkeypatch.setattr(outbox, "own_up", failing(outbox.own_up, times=ALWAYS))

    await house.manager.activate(TENANT, "one")
    failed = await house.reaches("one", Status.FAILED)
    monkeypatch.undo()

    assert (failed.reason, failed.user_action) == ("gateway_fault", "relogin")
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.CONNECTED)
    await is_sound(house)


async def test_a_fault_that_can_not_even_be_shown_is_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await house.connected()
    recording = failing(change_status, times=ALWAYS)
    monkeypatch.setattr("sessions.recorder.change_status", recording)

    house.engine.fault(session.id, FaultKind.ENGINE_CRASH)
    await until(house.faults, lambda count: count >= 3)
    monkeypatch.undo()

    house.engine.write(session.id, "still here")
    await house.logged("one", EventType.SESSION_MESSAGE)
    await is_sound(house)


async def test_a_code_that_can_not_be_withdrawn_ends_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.session()
    await house.manager.activate(TENANT, "one")
    await house.reaches("one", Status.QR_READY)
    monkeypatch.setattr(MemoryQrCodes, "remove", failing(MemoryQrCodes.remove, times=ALWAYS))

    await house.manager.deactivate(TENANT, "one")

    await is_sound(house)


def failing(work: Callable[..., Awaitable[Any]], *, times: int) -> Callable[..., Awaitable[Any]]:
    """Return work that at first goes wrong, in a way that nobody foresaw."""
    left = times

    async def fail(*args: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ZeroDivisionError
        return await work(*args, **named)

    return fail


async def ended(house: House, reason: str, count: int) -> None:
    """Wait until the log has a status of this reason so many times."""
    await until(
        lambda: house.events("one", EventType.SESSION_STATUS),
        lambda events: [event.data["reason"] for event in events].count(reason) >= count,
    )


async def is_sound(house: House) -> None:
    """See that the gateway goes on, for other sessions too."""
    assert house.manager.healthy() == []
    await house.connected("two", phone=OTHER_PHONE)
