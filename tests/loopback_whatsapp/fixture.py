"""The fixture by which tests get a loopback WhatsApp; a conftest imports it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .client import LoopbackWhatsApp


@pytest.fixture
async def loopback_whatsapp(tmp_path: Path) -> AsyncIterator[LoopbackWhatsApp]:
    """A server of the test's own; start the gateway with `environment` on top of os.environ."""
    async with LoopbackWhatsApp.start(tmp_path / "loopback_whatsapp") as whatsapp:
        yield whatsapp
