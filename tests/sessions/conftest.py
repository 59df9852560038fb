"""Fixtures of the domain's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sessions.house import House, running_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Run a manager on an empty database."""
    async with running_house(tmp_path) as running:
        yield running
