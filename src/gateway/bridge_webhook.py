"""The bridge to one webhook endpoint: each event is a signed POST, until it is taken or parked."""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial

from pydantic_core import to_json

from gateway import webhook_table
from gateway.bridge import PermanentFailure, TemporaryFailure
from gateway.webhook_client import Outcome, WebhookClient
from gateway.webhook_signature import signed_headers
from gateway.webhook_table import AttemptRow, Endpoint
from sessions.clock import Clock, to_ms
from sessions.errors import StorageUnavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import SessionId, TenantId
from sessions.store import Store

logger = logging.getLogger(__name__)

_MINUTE, _HOUR = 60, 60 * 60
PAUSES_SECONDS = (
    5,
    5 * _MINUTE,
    30 * _MINUTE,
    *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24)),
)
"""Between the first attempt, which is at once, and the ten in all."""
_JITTER = 0.2
_DISABLED_SECONDS = _HOUR
_STORAGE_SECONDS = 2
_GONE = "The endpoint answered 410 Gone."
_OUTAGE_FAILURES = 2

OwnerOf = Callable[[SessionId], Awaitable[TenantId | None]]


def bridge_name(webhook: str) -> str:
    """Return the name of the bridge to an endpoint."""
    return f"webhook:{webhook}"


class WebhookBridge:
    """Posts what its endpoint wants; `endpoint` is set anew when it is changed."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        store: Store,
        client: WebhookClient,
        clock: Clock,
        owner: OwnerOf,
        nudge: Callable[[str], None],
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.name = bridge_name(endpoint.id)
        self.tenant: TenantId | None = endpoint.tenant
        self.session = endpoint.session
        self._store = store
        self._client = client
        self._clock = clock
        self._owner = owner
        self._nudge = nudge
        self._pauses_seconds = pauses_seconds
        self._failures: dict[str, int] = {}
        self._failures_in_a_row = 0

    def wants(self, type_: EventType) -> bool:
        """Tell whether the endpoint's filter lets a type pass; a gap is told to all."""
        return type_ is EventType.EVENTS_GAP or any(
            fnmatchcase(type_, pattern) for pattern in self.endpoint.events
        )

    async def deliver(self, event: SessionEvent) -> None:
        """Post, and return when the receiver has answered with 2xx."""
        if not self.endpoint.enabled:
            raise self._disabled()
        try:
            outcome = await self._attempt(event)
        except StorageUnavailable as error:
            message = "the database does not answer"
            raise TemporaryFailure(message, retry_seconds=_STORAGE_SECONDS, of_all=True) from error
        if not outcome.taken:
            raise self._refused(event, outcome)
        self._failures.pop(event.id, None)
        was_out, self._failures_in_a_row = self._failures_in_a_row >= _OUTAGE_FAILURES, 0
        # After one failure alone it may be one event that is refused: its pauses are not cut short.
        if was_out:
            self._nudge(self.name)

    async def show(self, event: SessionEvent) -> None:
        """Post a transient event, once."""
        # The bus carries every tenant's transient events to every bridge.
        if not self.endpoint.enabled or not await self._covers(event):
            return
        outcome = await self._attempt(event)
        if not outcome.taken:
            raise TemporaryFailure(outcome.refusal)

    def pause_seconds(self, failures: int) -> float:
        """Return the schedule's pause, give or take a fifth."""
        pause = self._pauses_seconds[min(failures, len(self._pauses_seconds)) - 1]
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load only

    async def post(self, id_: str, type_: str, body: bytes, event: SessionEvent | None) -> Outcome:
        """Sign, post, and keep what came of it; raises StorageUnavailable."""
        endpoint, now = self.endpoint, self._clock.now()
        headers = signed_headers(
            id_, body, at_seconds=int(now.timestamp()), secrets=endpoint.signing(to_ms(now))
        )
        outcome = await self._client.post(endpoint.url, body, headers)
        row = AttemptRow(
            webhook=endpoint.id,
            event_id=id_,
            type=type_,
            session=None if event is None else event.session,
            seq=None if event is None else event.seq,
            at=to_ms(now),
            status=outcome.status,
            latency_ms=outcome.latency_ms,
            error=outcome.error,
            # PostgreSQL can't hold U+0000.
            response=outcome.response.decode(errors="replace").replace("\0", "\ufffd"),
        )
        disable = _GONE if outcome.status == 410 else None
        kept = await self._store.write(
            partial(webhook_table.record, attempt=row, taken=outcome.taken, disable=disable)
        )
        self._take_over(kept)
        return outcome

    async def _attempt(self, event: SessionEvent) -> Outcome:
        body = to_json({"type": event.type, **event.payload()})
        return await self.post(event.id, event.type, body, event)

    def _take_over(self, kept: Endpoint | None) -> None:
        if kept is None:
            # Deleted meanwhile; until the pump has let go of it, nothing more is posted.
            self.endpoint = replace(self.endpoint, enabled=False)
            return
        if self.endpoint.enabled and not kept.enabled:
            known = {"service": self.name, "error": kept.disabled_reason}
            logger.error("webhook disabled", extra=known)
        self.endpoint = kept

    def _refused(self, event: SessionEvent, outcome: Outcome) -> Exception:
        """Return what the pump is to make of a failure."""
        self._failures_in_a_row += 1
        if not self.endpoint.enabled:
            return self._disabled()
        failures = self._failures[event.id] = self._failures.get(event.id, 0) + 1
        if failures > len(self._pauses_seconds):
            del self._failures[event.id]
            return PermanentFailure(outcome.refusal)
        asked_seconds = outcome.pause_asked_seconds(self._clock.now())
        if asked_seconds is not None:
            return TemporaryFailure(outcome.refusal, retry_seconds=asked_seconds, of_all=True)
        return TemporaryFailure(outcome.refusal, retry_seconds=self.pause_seconds(failures))

    def _disabled(self) -> TemporaryFailure:
        return TemporaryFailure(
            self.endpoint.disabled_reason or "disabled",
            retry_seconds=_DISABLED_SECONDS,
            of_all=True,
        )

    async def _covers(self, event: SessionEvent) -> bool:
        if self.session is not None:
            return event.session == self.session
        return await self._owner(event.session) == self.tenant
