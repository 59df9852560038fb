"""What the tests of the running process share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.edge import Edge, running_edge
from tests.gateway.receiver import Receiver, receiving


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """The Socket.IO edge with quick limits, on a free port."""
    async with running_edge(tmp_path) as edge:
        yield edge


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """What webhooks are posted to."""
    async with receiving() as running:
        yield running
