"""What the composition root gives to the REST edge through the lifespan, typed."""

from collections.abc import Callable
from typing import Any, TypedDict

from prometheus_client import CollectorRegistry
from starlette.requests import Request

from api.bridge_status import Bridges
from api.microservice_door import MicroserviceDoor
from api.webhook_status import Webhooks
from auth.revocations import Revoker
from sessions.manager import SessionManager


class ApiState(TypedDict):
    """Yield these from the lifespan; handlers read them as `request.state`."""

    manager: SessionManager
    revoker: Revoker
    bridges: Bridges
    webhooks: Webhooks
    microservice: MicroserviceDoor | None
    """Takes what a foreign QR microservice posts; None: this server drives its phones itself."""
    degraded: Callable[[], list[str]]
    """Says what does not work although requests are served; asks only memory."""
    worker_id: str | None
    """Who this server is to back ends that know several workers."""
    metrics: CollectorRegistry
    body_limit_bytes: int
    asyncapi: dict[str, Any]
    """The document of the real-time edge, served as it is."""


ApiRequest = Request[ApiState]
