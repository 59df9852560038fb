"""Webhooks that end while the database has its troubles, or begin when their session has ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlmodel import col, delete, select

from gateway.bridge_webhook import bridge_name
from gateway.pump import Pump
from gateway.webhook_client import WebhookClient
from gateway.webhook_table import WebhookRow
from gateway.webhooks import Webhooks
from sessions import consumers
from sessions.clock import SystemClock
from sessions.consumer_table import ConsumerRow
from sessions.errors import SessionNotFound, StorageUnavailable, WebhookNotFound
from sessions.ids import TenantId
from sessions.metrics import Metrics
from sessions.store import Store, Unit
from tests.sessions.house import TENANT, House, running_house

HOOK = "https://receiver.example/hook"


@dataclass(frozen=True)
class Endpoints:
    """Webhooks whose pump can read, and write nothing."""

    house: House
    pump: Pump
    webhooks: Webhooks

    async def consumers(self) -> Sequence[str]:
        """Return who reads the log."""
        async with self.house.store.read() as db:
            return (await db.execute(select(ConsumerRow.name))).scalars().all()

    async def served(self) -> list[str]:
        """Return the names of the bridges."""
        return [each.name for each in await self.pump.status()]


async def ended(house: House) -> Store:
    """Return a store on the same database that takes no writes."""
    metrics = Metrics(CollectorRegistry())
    store = Store(house.database, bus=house.bus, clock=SystemClock(), metrics=metrics)
    running = asyncio.create_task(store.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    with pytest.raises(StorageUnavailable):
        await store.write(partial(consumers.unregister, name="x"))
    return store


@pytest.fixture
async def endpoints(tmp_path: Path) -> AsyncIterator[Endpoints]:
    """Make webhooks by themselves."""
    async with running_house(tmp_path) as house:
        pump = Pump(await ended(house), house.bus, SystemClock())
        client = WebhookClient()
        webhooks = Webhooks(house.store, house.bus, pump, client, SystemClock())
        yield Endpoints(house, pump, webhooks)
        await webhooks.close()


async def test_a_webhook_ends_in_one_write(endpoints: Endpoints) -> None:
    made = await endpoints.webhooks.create(TENANT, url=HOOK, events=["*"], session=None)
    assert await endpoints.served() == [bridge_name(made.id)]

    await endpoints.webhooks.delete(TENANT, made.id)
    assert (await endpoints.served(), await endpoints.consumers()) == ([], [])


async def test_an_end_that_was_stored_without_an_answer_is_completed_by_who_asks_again(
    endpoints: Endpoints,
) -> None:
    made = await endpoints.webhooks.create(TENANT, url=HOOK, events=["*"], session=None)

    async def remove(unit: Unit) -> None:
        await unit.db.execute(delete(WebhookRow).where(col(WebhookRow.id) == made.id))
        await consumers.unregister(unit, bridge_name(made.id))

    await endpoints.house.store.write(remove)
    with pytest.raises(WebhookNotFound):
        await endpoints.webhooks.get(TenantId("others"), made.id)
    assert await endpoints.served() == [bridge_name(made.id)]
    with pytest.raises(WebhookNotFound):
        await endpoints.webhooks.get(TENANT, made.id)
    assert await endpoints.served() == []


async def test_a_session_that_was_deleted_meanwhile_gets_no_webhook_and_no_reader(
    endpoints: Endpoints,
) -> None:
    session = await endpoints.house.session()
    await endpoints.house.manager.delete(TENANT, "one")
    with pytest.raises(SessionNotFound):
        await endpoints.webhooks.create(TENANT, url=HOOK, events=["*"], session=session.id)
    await endpoints.house.store.write(
        partial(consumers.register, name="late", tenant=TENANT, session=session.id)
    )
    assert (await endpoints.served(), await endpoints.consumers()) == ([], [])
    assert await endpoints.webhooks.of_tenant(TENANT) == []
