"""Tells a tenant that an endpoint was disabled: by its other endpoints, once each, as far as heard.

What counts is kept in the endpoint's row and shown by REST; this only saves looking there.
"""

import asyncio
import logging
from collections.abc import Mapping

from pydantic_core import to_json

from api.webhook_status import DISABLED_TYPE
from gateway.bridge_webhook import WebhookBridge
from gateway.webhook_table import Endpoint
from sessions.clock import Clock, to_ms
from sessions.errors import StorageUnavailable
from sessions.ids import new_uuid

logger = logging.getLogger(__name__)

_WAITING_MOST = 1_000
_AT_ONCE = 8


class DisabledNews:
    """Takes notice of endpoints that are disabled, and posts it in the background."""

    def __init__(self, bridges: Mapping[str, WebhookBridge], clock: Clock) -> None:
        self._bridges = bridges
        self._clock = clock
        self._waiting: asyncio.Queue[Endpoint] = asyncio.Queue(_WAITING_MOST)
        self._room = asyncio.Semaphore(_AT_ONCE)

    def hear(self, endpoint: Endpoint) -> None:
        """Take notice; never waits."""
        if not self._waiting.full():
            self._waiting.put_nowait(endpoint)

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            endpoint = await self._waiting.get()
            told = [bridge for bridge in self._bridges.values() if _concerns(bridge, endpoint)]
            id_ = new_uuid()
            body = to_json(self._event(id_, endpoint))
            await asyncio.gather(*(self._post(bridge, id_, body) for bridge in told))

    async def _post(self, bridge: WebhookBridge, id_: str, body: bytes) -> None:
        async with self._room:
            try:
                await bridge.post(id_, DISABLED_TYPE, body, None)
            except StorageUnavailable:
                logger.warning("news not recorded", extra={"service": bridge.name})

    def _event(self, id_: str, endpoint: Endpoint) -> dict[str, object]:
        return {
            "type": DISABLED_TYPE,
            "id": id_,
            "timestamp": to_ms(self._clock.now()),
            "webhookId": endpoint.id,
            "sessionId": endpoint.session_name,
            "url": endpoint.url,
            "reason": endpoint.disabled_reason,
            "failingSince": endpoint.failing_since,
        }


def _concerns(bridge: WebhookBridge, endpoint: Endpoint) -> bool:
    """Tell whether a bridge's endpoint may know of another: whoever made it sees that one too."""
    other = bridge.endpoint
    return (
        other.id != endpoint.id
        and other.enabled
        and other.tenant == endpoint.tenant
        and other.session in {None, endpoint.session}
        and bridge.wants(DISABLED_TYPE)
    )
