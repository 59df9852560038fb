"""Activating a session at the very moment at which its end is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sessions.engine_simulator_script import FaultKind
from sessions.ids import SessionId
from sessions.status import Status
from tests.sessions.house import TENANT, House, running_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Run a manager on an empty database."""
    async with running_house(tmp_path) as running:
        yield running


async def test_it_connects_though_the_old_credentials_are_still_being_removed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SessionId((await house.connected()).id)
    forget, may_end = house.engine.forget, asyncio.Event()

    async def forget_slowly(session: SessionId) -> None:
        await may_end.wait()
        await forget(session)

    monkeypatch.setattr(house.engine, "forget", forget_slowly)
    house.engine.fault(session, FaultKind.LOGGED_OUT)
    await house.reaches("one", Status.LOGGED_OUT)

    activating = asyncio.create_task(house.manager.activate(TENANT, "one"))
    await asyncio.wait({activating}, timeout=0.3)
    assert not activating.done()
    may_end.set()

    assert (await activating).status is Status.CONNECTING
    await house.reaches("one", Status.QR_READY)
    assert not house.engine.has_credentials(session)


async def test_a_removal_that_hangs_holds_up_nobody_for_ever(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SessionId((await house.connected()).id)

    async def hang(_: SessionId) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("sessions.fleet._CLEAR_UP_SECONDS", 0.2)
    monkeypatch.setattr(house.engine, "forget", hang)
    house.engine.fault(session, FaultKind.LOGGED_OUT)
    await house.reaches("one", Status.LOGGED_OUT)

    async with asyncio.timeout(10):
        assert (await house.manager.deactivate(TENANT, "one")).status is Status.DISCONNECTED
