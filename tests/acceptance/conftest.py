"""What the acceptance tests run on: each on the simulator, and on neonize with a loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.phones import World, running_world


@pytest.fixture(params=["simulator", "neonize"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway with each engine."""
    async with running_world(request.param, tmp_path) as world:
        yield world


@pytest.fixture
async def real_world(tmp_path: Path) -> AsyncIterator[World]:
    """A gateway with the neonize engine and a loopback WhatsApp."""
    async with running_world("neonize", tmp_path) as world:
        yield world


@pytest.fixture
async def simulated_world(tmp_path: Path) -> AsyncIterator[World]:
    """A gateway with the simulator engine."""
    async with running_world("simulator", tmp_path) as world:
        yield world
