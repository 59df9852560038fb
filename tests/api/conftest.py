"""Fixtures of the REST edge's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from tests.api.server import Server, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Yield the edge over an empty database, with nothing but a simulated WhatsApp behind it."""
    async with running_server(tmp_path) as running:
        # Only from here on: starting reads files, serving must not.
        with blockbuster_ctx(["api", "auth", "sessions"]):
            yield running
