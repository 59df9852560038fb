"""Calls over TLS: whom they believe is read once, before anybody waits for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.certificates import trusted
from gateway.microservice_client import MicroserviceClient
from gateway.webhook_client import WebhookClient
from tests.loopback_whatsapp.tls import server_context

ANSWER = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the file of an authority that this machine trusts, while the file is there."""
    file = tmp_path / "ca.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    trusted.cache_clear()
    yield file
    trusted.cache_clear()


@contextlib.asynccontextmanager
async def receiving_tls(directory: Path) -> AsyncIterator[str]:
    """Serve over TLS, one request a connection; yield the origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who does not trust us hangs up.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
        writer.close()

    context = await asyncio.to_thread(server_context, directory, ["localhost"])
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


async def test_no_connection_reads_what_is_trusted_again(authority: Path) -> None:
    async with receiving_tls(authority.parent) as origin:
        webhooks = WebhookClient(allow_private=True)
        service = MicroserviceClient(origin, "the-key-of-the-microservice")
        await asyncio.to_thread(authority.unlink)
        try:
            for _ in range(2):
                outcome = await webhooks.post(f"{origin}/hook", b"{}", {})
                assert (outcome.status, outcome.error) == (200, None)
                assert (await service.call("GET", "/status/one", timeout_seconds=10)).taken
        finally:
            await webhooks.close()
            await service.close()


async def test_who_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    client = WebhookClient(allow_private=True)
    try:
        async with receiving_tls(tmp_path) as origin:
            outcome = await client.post(f"{origin}/hook", b"{}", {})
    finally:
        await client.close()
    assert "certificate" in (outcome.error or "").lower()
