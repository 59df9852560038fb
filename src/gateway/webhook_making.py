"""A new endpoint: its row and its consumer, in one transaction with whatever comes along."""

from collections.abc import Callable
from dataclasses import asdict

from sqlmodel import col, func, select

from api.webhook_status import WebhookWithSecret
from gateway import webhook_table
from gateway.bridge_webhook import bridge_name
from gateway.webhook_signature import new_secret
from gateway.webhook_table import Endpoint, Secret, WebhookRow
from gateway.webhook_views import with_secret
from sessions import consumers
from sessions.clock import to_ms
from sessions.errors import SessionNotFound, TooManyWebhooks
from sessions.ids import SessionId, TenantId, new_uuid
from sessions.models import SessionRow
from sessions.store import Unit


class Draft:
    """An endpoint that is not yet there; `add` is told of it when it is."""

    def __init__(
        self,
        tenant: TenantId,
        url: str,
        events: list[str],
        *,
        limit: int,
        add: Callable[[Endpoint], None],
    ) -> None:
        self._id, self._secret = new_uuid(), new_secret()
        self._tenant, self._url, self._events = tenant, url, events
        self._limit = limit
        self._add = add
        self._endpoint: Endpoint | None = None

    async def write(self, unit: Unit, session: SessionId | None) -> None:
        """Store it; raises TooManyWebhooks, or SessionNotFound when it was deleted meanwhile."""
        if session is not None and await unit.db.get(SessionRow, session) is None:
            raise SessionNotFound
        await self._see_that_there_is_room(unit)
        row = WebhookRow(
            id=self._id,
            tenant=self._tenant,
            session=session,
            url=self._url,
            events=self._events,
            secrets=[asdict(Secret(self._secret))],
            created_at=to_ms(unit.clock.now()),
        )
        unit.db.add(row)
        await unit.db.flush()
        name = bridge_name(self._id)
        await consumers.register(unit, name, tenant=self._tenant, session=session)
        (self._endpoint,) = await webhook_table.endpoints(unit.db, id_=self._id)

    def start(self) -> WebhookWithSecret:
        """Post what happens from now on; called once what was written is committed."""
        assert self._endpoint is not None  # noqa: S101 - the caller has written it
        self._add(self._endpoint)
        return with_secret(self._endpoint, self._secret)

    async def _see_that_there_is_room(self, unit: Unit) -> None:
        query = select(func.count()).where(col(WebhookRow.tenant) == self._tenant)
        if (await unit.db.execute(query)).scalar_one() >= self._limit:
            raise TooManyWebhooks
