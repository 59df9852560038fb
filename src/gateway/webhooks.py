"""The webhook endpoints of this server: kept in the database, each with a bridge in the pump.

Model: an endpoint's row and its consumer are made and removed in one transaction; what runs follows
it. A session that is deleted takes its endpoints' rows with it: `run` lets their bridges go.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from sqlmodel import col, select

from api.bridge_status import Redelivery
from api.webhook_status import (
    UnfitWebhookUrl,
    Webhook,
    WebhookAttempt,
    WebhookChanges,
    WebhookWithSecret,
)
from gateway import webhook_retries, webhook_table
from gateway.bridge_webhook import PAUSES_SECONDS, WebhookBridge, bridge_name
from gateway.pump import Pump
from gateway.webhook_client import UnfitUrl, WebhookClient
from gateway.webhook_hand import post_again, post_test
from gateway.webhook_making import Draft
from gateway.webhook_news import DisabledNews
from gateway.webhook_retries import Retry
from gateway.webhook_signature import new_secret
from gateway.webhook_table import Endpoint, WebhookRow
from gateway.webhook_views import attempt, shown, with_secret
from sessions import consumers
from sessions.bus import Bus
from sessions.clock import Clock
from sessions.errors import StorageUnavailable, WebhookNotFound
from sessions.events import EVERYTHING, EventType, SessionEvent
from sessions.ids import SessionId, TenantId
from sessions.models import SessionRow
from sessions.store import Store, Unit

logger = logging.getLogger(__name__)

_SECRETS_MOST = 5
_BY_REQUEST = "Disabled by request."


class Webhooks:
    """What the REST edge asks, and what adds the bridges."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        pump: Pump,
        client: WebhookClient,
        clock: Clock,
        *,
        limit: int = 100,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self._store = store
        self._bus = bus
        self._pump = pump
        self._client = client
        self._clock = clock
        self._limit = limit
        self._pauses_seconds = pauses_seconds
        self._bridges: dict[str, WebhookBridge] = {}
        self._news = DisabledNews(self._bridges, clock)

    async def load(self) -> None:
        """Add every endpoint's bridge to the pump; raises StorageUnavailable."""
        async with self._store.read() as db:
            for endpoint in await webhook_table.endpoints(db):
                self._add(endpoint, await webhook_retries.of_endpoint(db, endpoint.id))

    async def run(self) -> None:
        """Let the bridges of deleted sessions go, and tell who was disabled, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._news.run())
            group.create_task(self._let_go())

    async def _let_go(self) -> None:
        async with self._bus.subscribe(EVERYTHING) as payloads:
            async for payload in payloads:
                event = SessionEvent.model_validate_json(payload)
                if event.type is EventType.SESSION_DELETED:
                    await self._forget(event.session)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    def draft(self, tenant: TenantId, *, url: str, events: list[str]) -> Draft:
        """Prepare an endpoint that is made in somebody else's transaction."""
        self._check(url)
        return Draft(tenant, url, events, limit=self._limit, add=self._add)

    async def create(
        self, tenant: TenantId, *, url: str, events: list[str], session: SessionId | None
    ) -> WebhookWithSecret:
        """Post what happens from now on."""
        draft = self.draft(tenant, url=url, events=events)
        await self._store.write(partial(draft.write, session=session))
        return draft.start()

    async def of_tenant(self, tenant: TenantId) -> list[Webhook]:
        """Return a tenant's endpoints."""
        async with self._store.read() as db:
            return [shown(one) for one in await webhook_table.endpoints(db, tenant=tenant)]

    async def get(self, tenant: TenantId, id_: str) -> Webhook:
        """Return one."""
        return shown(await self._endpoint(tenant, id_))

    async def update(self, tenant: TenantId, id_: str, changes: WebhookChanges) -> Webhook:
        """Change one; enabled again, it goes on where it was."""
        columns: dict[str, Any] = changes.model_dump(exclude_none=True)
        if changes.url is not None:
            self._check(changes.url)
        if changes.enabled is not None:
            columns["disabled_reason"] = None if changes.enabled else _BY_REQUEST
        if changes.enabled:
            columns["failing_since"] = None
        change = partial(webhook_table.change, id_=id_, tenant=tenant, changes=columns)
        return shown(self._changed(await self._store.write(change)))

    async def delete(self, tenant: TenantId, id_: str) -> None:
        """Post to it no more."""

        async def remove(unit: Unit) -> None:
            row = await unit.db.get(WebhookRow, id_)
            if row is None or row.tenant != tenant:
                raise WebhookNotFound
            await unit.db.delete(row)
            await consumers.unregister(unit, bridge_name(id_))

        await self._store.write(remove)
        self._let_bridge_go(id_)

    async def test(self, tenant: TenantId, id_: str) -> WebhookAttempt:
        """Post an event that means nothing, once."""
        return await post_test(await self._bridge(tenant, id_), self._clock)

    async def rotate_secret(
        self, tenant: TenantId, id_: str, *, overlap: timedelta
    ) -> WebhookWithSecret:
        """Sign with a new secret, and with the older ones too until the overlap is over."""
        secret = new_secret()
        rotate = partial(
            webhook_table.rotate,
            id_=id_,
            tenant=tenant,
            secret=secret,
            overlap=overlap,
            most=_SECRETS_MOST,
        )
        return with_secret(self._changed(await self._store.write(rotate)), secret)

    async def attempts(self, tenant: TenantId, id_: str, *, limit: int) -> list[WebhookAttempt]:
        """Return the newest attempts."""
        await self._endpoint(tenant, id_)
        async with self._store.read() as db:
            rows = await webhook_table.attempts(db, id_, limit=limit)
            ids = {row.session for row in rows}
            query = select(SessionRow.id, SessionRow.name).where(col(SessionRow.id).in_(ids))
            names = {known: name for known, name in await db.execute(query)}  # noqa: C416 - typed
        return [attempt(row, names.get(row.session or "")) for row in rows]

    async def redeliver_event(self, tenant: TenantId, id_: str, event_id: str) -> WebhookAttempt:
        """Post one event again, now."""
        bridge = await self._bridge(tenant, id_)
        return await post_again(bridge, self._store, self._clock, event_id)

    async def redeliver(self, tenant: TenantId, id_: str) -> Redelivery:
        """Hand parked events over again, and try at once what waits to be tried again."""
        bridge = await self._bridge(tenant, id_)
        done = await self._pump.redeliver(bridge.name)
        bridge.hurry()
        return done

    def _add(self, endpoint: Endpoint, retries: Sequence[Retry] = ()) -> None:
        bridge = self._bridges[endpoint.id] = WebhookBridge(
            endpoint,
            store=self._store,
            client=self._client,
            clock=self._clock,
            nudge=self._pump.nudge,
            disabled=self._news.hear,
            retries=retries,
            pauses_seconds=self._pauses_seconds,
        )
        self._pump.add(bridge)

    def _check(self, url: str) -> None:
        try:
            self._client.check(url)
        except UnfitUrl as error:
            raise UnfitWebhookUrl(str(error)) from None

    def _changed(self, endpoint: Endpoint | None) -> Endpoint:
        if endpoint is None:
            raise WebhookNotFound
        if endpoint.id in self._bridges:
            self._bridges[endpoint.id].change(endpoint)
        return endpoint

    async def _bridge(self, tenant: TenantId, id_: str) -> WebhookBridge:
        await self._endpoint(tenant, id_)
        bridge = self._bridges.get(id_)
        if bridge is None:
            raise WebhookNotFound
        return bridge

    async def _endpoint(self, tenant: TenantId, id_: str) -> Endpoint:
        async with self._store.read() as db:
            found = await webhook_table.endpoints(db, tenant=tenant, id_=id_)
        if not found:
            bridge = self._bridges.get(id_)
            if bridge is not None and bridge.tenant == tenant:
                # Its end was committed too late for an answer: who asks again ends the rest.
                self._let_bridge_go(id_)
            raise WebhookNotFound
        return found[0]

    def _let_bridge_go(self, id_: str) -> None:
        self._bridges.pop(id_, None)
        self._pump.let_go(bridge_name(id_))

    async def _forget(self, session: SessionId) -> None:
        gone = [id_ for id_, bridge in self._bridges.items() if bridge.session == session]
        for id_ in gone:
            try:
                await self._pump.remove(bridge_name(id_))
            except StorageUnavailable:
                # Its consumer stays, and covers nothing; the bridge has nothing to do either.
                logger.warning("webhook not removed", extra={"service": bridge_name(id_)})
                continue
            del self._bridges[id_]
