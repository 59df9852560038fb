"""How endpoints and attempts are shown to who asks."""

from api.webhook_status import Webhook, WebhookAttempt, WebhookWithSecret
from gateway.webhook_table import AttemptRow, Endpoint
from sessions.clock import from_ms


def shown(endpoint: Endpoint) -> Webhook:
    """Return an endpoint without its secrets."""
    since = endpoint.failing_since
    return Webhook(
        id=endpoint.id,
        session_id=endpoint.session_name,
        url=endpoint.url,
        events=[*endpoint.events],
        enabled=endpoint.enabled,
        disabled_reason=endpoint.disabled_reason,
        created_at=from_ms(endpoint.created_at),
        failing_since=None if since is None else from_ms(since),
    )


def with_secret(endpoint: Endpoint, secret: str) -> WebhookWithSecret:
    """Return an endpoint with the one secret that is told now."""
    return WebhookWithSecret(**shown(endpoint).model_dump(), secret=secret)


def attempt(row: AttemptRow, name: str | None) -> WebhookAttempt:
    """Return an attempt; `name` is its session's, None when that is gone."""
    return WebhookAttempt(
        event_id=row.event_id,
        type=row.type,
        session_id=name,
        seq=row.seq,
        at=from_ms(row.at),
        status=row.status,
        latency_ms=row.latency_ms,
        error=row.error,
        response=row.response,
    )
