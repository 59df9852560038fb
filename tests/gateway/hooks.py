"""A gateway's webhooks as tests use them: the edge, the pump, and endpoints on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from gateway.pump import Pump
from gateway.webhook_client import WebhookClient
from gateway.webhooks import Webhooks
from sessions.clock import Clock, SystemClock
from tests.api.server import Server, application, issued, serving
from tests.gateway.receiver import Receiver
from tests.sessions.house import running_house, until

QUICK = (0.05,) * 9


@contextlib.asynccontextmanager
async def hooked(
    directory: Path,
    *,
    url: str | None = None,
    client: WebhookClient | None = None,
    clock: Clock | None = None,
    limit: int = 100,
    pauses_seconds: Sequence[float] = QUICK,
) -> AsyncIterator[Server]:
    """Run the edge, the pump and webhooks that may lead to loopback and are tried again soon."""
    clock = clock or SystemClock()
    client = client or WebhookClient(allow_http=True, allow_private=True)
    async with running_house(directory, url=url) as house:
        pump = Pump(house.store, house.bus, clock)
        webhooks = Webhooks(
            house.store,
            house.bus,
            pump,
            client,
            clock,
            limit=limit,
            pauses_seconds=pauses_seconds,
        )
        await webhooks.load()
        tasks = [asyncio.create_task(run()) for run in (pump.run, webhooks.run)]
        try:
            async with (
                serving(application(house, pump=pump, webhooks=webhooks)) as port,
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as caller,
            ):
                yield Server(caller, house, port, issued())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await webhooks.close()


async def made(server: Server, url: str, **fields: Any) -> dict[str, Any]:
    """Make a webhook and return it with its secret."""
    answer = await server.call("POST", "/webhooks", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


async def seen(server: Server, webhook: dict[str, Any]) -> dict[str, Any]:
    """Return a webhook as it is now."""
    found: dict[str, Any] = (await server.call("GET", f"/webhooks/{webhook['id']}")).json()
    return found


async def gets(receiver: Receiver, count: int, type_: str | None = None) -> list[dict[str, Any]]:
    """Wait until a receiver has taken so many events."""

    async def look() -> list[dict[str, Any]]:
        return receiver.taken(type_)

    return await until(look, lambda found: len(found) >= count)


async def logged(server: Server, session: str = "one") -> list[dict[str, Any]]:
    """Return a session's log as REST shows it."""
    answer = await server.call("GET", f"/whatsapp/{session}/events")
    events: list[dict[str, Any]] = answer.json()["items"]
    return events
