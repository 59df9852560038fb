"""Fixtures: an engine with two accounts to talk to each other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.loopback_whatsapp.client import LoopbackWhatsApp
from tests.sessions.engine_neonize.watching import ALICE, BOB, Bench, running


@pytest.fixture
async def whatsapp(loopback_whatsapp: LoopbackWhatsApp) -> LoopbackWhatsApp:
    """Return a WhatsApp where Alice and Bob have phones."""
    await loopback_whatsapp.open_account(ALICE, "Alice")
    await loopback_whatsapp.open_account(BOB, "Bob")
    return loopback_whatsapp


@pytest.fixture
async def bench(
    tmp_path: Path, whatsapp: LoopbackWhatsApp, no_blocking_calls: None
) -> AsyncIterator[Bench]:
    """Run an engine with its defaults."""
    async with running(tmp_path / "engine", whatsapp) as bench:
        yield bench
