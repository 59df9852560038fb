"""What the REST edge tells of webhooks, and the port that it asks."""

from datetime import timedelta
from typing import Protocol

from api.bridge_status import Redelivery
from sessions.clock import Instant
from sessions.ids import SessionId, TenantId
from sessions.messages import WireModel
from sessions.session import Session
from sessions.store import Unit

DISABLED_TYPE = "webhook:disabled"
"""Told to a tenant's other endpoints: it is of none of the sessions, and in no log."""


class UnfitWebhookUrl(Exception):
    """Nothing will be posted to this URL; the text says what was expected."""


class Webhook(WireModel):
    """Where events are posted to; `session_id` None: those of all sessions.

    `failing_since`: nothing could be delivered from then on.
    """

    id: str
    session_id: str | None
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    created_at: Instant
    failing_since: Instant | None


class WebhookWithSecret(Webhook):
    """An endpoint, and the secret that signs from now on: it is shown only here."""

    secret: str


class CreatedWebhook(WireModel):
    """The endpoint that was made with a session, and its secret, which is shown only now."""

    id: str
    url: str
    events: list[str]
    secret: str


class CreatedSession(Session):
    """A new session; with its webhook, if one was asked for."""

    webhook: CreatedWebhook | None = None


class WebhookList(WireModel):
    """The caller's endpoints, the oldest first."""

    items: list[Webhook]


class WebhookAttempt(WireModel):
    """One attempt: an HTTP `status`, else an `error`; `response` is the answer's first kilobyte."""

    event_id: str
    type: str
    session_id: str | None
    seq: int | None
    at: Instant
    status: int | None
    latency_ms: int
    error: str | None
    response: str


class WebhookAttempts(WireModel):
    """Attempts, the newest first."""

    items: list[WebhookAttempt]


class WebhookChanges(WireModel):
    """What is to be changed; None stays as it is."""

    url: str | None = None
    events: list[str] | None = None
    enabled: bool | None = None


class WebhookDraft(Protocol):
    """An endpoint that is not yet there."""

    async def write(self, unit: Unit, session: SessionId | None) -> None:
        """Store it; raises TooManyWebhooks."""
        ...

    def start(self) -> WebhookWithSecret:
        """Post what happens from now on; called once what was written is committed."""
        ...


class Webhooks(Protocol):
    """The endpoints of every tenant.

    Each call raises StorageUnavailable; those that take an id raise WebhookNotFound, also for one
    of another tenant.
    """

    def draft(self, tenant: TenantId, *, url: str, events: list[str]) -> WebhookDraft:
        """Prepare one that is made in somebody else's transaction; raises UnfitWebhookUrl."""
        ...

    async def create(
        self, tenant: TenantId, *, url: str, events: list[str], session: SessionId | None
    ) -> WebhookWithSecret:
        """Post what happens from now on; raises UnfitWebhookUrl, TooManyWebhooks."""
        ...

    async def of_tenant(self, tenant: TenantId) -> list[Webhook]:
        """Return a tenant's endpoints."""
        ...

    async def get(self, tenant: TenantId, id_: str) -> Webhook:
        """Return one."""
        ...

    async def update(self, tenant: TenantId, id_: str, changes: WebhookChanges) -> Webhook:
        """Change one; enabled again, it goes on where it was. Raises UnfitWebhookUrl."""
        ...

    async def delete(self, tenant: TenantId, id_: str) -> None:
        """Post to it no more."""
        ...

    async def test(self, tenant: TenantId, id_: str) -> WebhookAttempt:
        """Post an event that means nothing, once, and return what came of it."""
        ...

    async def rotate_secret(
        self, tenant: TenantId, id_: str, *, overlap: timedelta
    ) -> WebhookWithSecret:
        """Sign with a new secret, and with the older ones too until the overlap is over."""
        ...

    async def attempts(self, tenant: TenantId, id_: str, *, limit: int) -> list[WebhookAttempt]:
        """Return the newest attempts."""
        ...

    async def redeliver_event(self, tenant: TenantId, id_: str, event_id: str) -> WebhookAttempt:
        """Post one event again, now, and return what came of it; raises EventNotFound."""
        ...

    async def redeliver(self, tenant: TenantId, id_: str) -> Redelivery:
        """Hand parked events over again."""
        ...
