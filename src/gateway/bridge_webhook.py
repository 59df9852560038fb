"""The bridge to one webhook endpoint: each event is a signed POST, until it is taken or parked."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial

from pydantic_core import to_json

from gateway import webhook_table
from gateway.bridge import PermanentFailure, TemporaryFailure
from gateway.webhook_client import Outcome, WebhookClient
from gateway.webhook_retries import Retry, Schedule
from gateway.webhook_signature import signed_headers
from gateway.webhook_table import AttemptRow, Endpoint
from sessions.clock import Clock, to_ms
from sessions.errors import StorageUnavailable
from sessions.events import EventType, SessionEvent
from sessions.ids import TenantId
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
_GONE_STATUS = 410
_GONE = "The endpoint answered 410 Gone."
_OUTAGE_FAILURES = 2


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
        nudge: Callable[[str], None],
        disabled: Callable[[Endpoint], None],
        retries: Sequence[Retry] = (),
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
    ) -> None:
        self.endpoint = endpoint
        self.name = bridge_name(endpoint.id)
        self.tenant: TenantId | None = endpoint.tenant
        self.session = endpoint.session
        self._store = store
        self._client = client
        self._clock = clock
        self._nudge = nudge
        self._tell_disabled = disabled
        self._pauses_seconds = pauses_seconds
        self._schedule = Schedule(retries)
        self._failures_in_a_row = self._schedule.failures_before
        self._taken_by_hand: set[str] = set()

    def change(self, endpoint: Endpoint) -> None:
        """Go on with an endpoint as somebody has changed it, at once."""
        self.endpoint = endpoint
        self.hurry()

    def wants(self, type_: str) -> bool:
        """Tell whether the endpoint's filter lets a type pass; a gap is told to all."""
        return type_ is EventType.EVENTS_GAP or any(
            fnmatchcase(type_, pattern) for pattern in self.endpoint.events
        )

    async def deliver(self, event: SessionEvent) -> None:
        """Post, and return when the receiver has answered with 2xx."""
        if not self.endpoint.enabled:
            raise self._disabled()
        if event.id in self._taken_by_hand:
            self._taken_by_hand.discard(event.id)
            return
        rest_seconds = self._schedule.waits_seconds(event.session, event.seq or 0, self._now_ms())
        if rest_seconds is not None:
            raise TemporaryFailure("It was refused before.", retry_seconds=rest_seconds)
        try:
            failure = await self._try(event)
        except StorageUnavailable as error:
            message = "the database does not answer"
            raise TemporaryFailure(message, retry_seconds=_STORAGE_SECONDS, of_all=True) from error
        if failure is not None:
            raise self._refused(failure)
        was_out, self._failures_in_a_row = self._failures_in_a_row >= _OUTAGE_FAILURES, 0
        # After one failure alone it may be one event that is refused: its pauses are not cut short.
        if was_out:
            self.hurry()

    async def show(self, event: SessionEvent) -> None:
        """Post a transient event, once."""
        if not self.endpoint.enabled:
            return
        outcome = await self.post(event.id, event.type, _body(event), event)
        if not outcome.taken:
            raise TemporaryFailure(outcome.refusal)

    def pause_seconds(self, failures: int) -> float:
        """Return the schedule's pause, give or take a fifth."""
        pause = self._pauses_seconds[min(failures, len(self._pauses_seconds)) - 1]
        return pause * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - spreads load only

    async def post(self, id_: str, type_: str, body: bytes, event: SessionEvent | None) -> Outcome:
        """Post outside of the schedule, and keep what came of it; raises StorageUnavailable."""
        attempt, outcome = await self._send(id_, type_, body, event)
        await self._keep(attempt, outcome, None)
        return outcome

    async def again(self, event: SessionEvent) -> Outcome:
        """Post an event once more because somebody asks for it; taken, it holds up no others."""
        attempt, outcome = await self._send(event.id, event.type, _body(event), event)
        session, seq = event.session, event.seq or 0
        waits = outcome.taken and self._schedule.failures(session, seq) > 0
        over = Retry(session, seq) if waits else None
        await self._keep(attempt, outcome, over)
        if over is not None:
            self._schedule.note(over)
            self._taken_by_hand.add(event.id)
        if outcome.taken:
            self.hurry()
        return outcome

    def hurry(self) -> None:
        """Try at once what waits to be tried again."""
        self._schedule.hurry()
        self._nudge(self.name)

    async def _try(self, event: SessionEvent) -> TemporaryFailure | PermanentFailure | None:
        """Post an event as the schedule says; return how that failed, None when it was taken."""
        attempt, outcome = await self._send(event.id, event.type, _body(event), event)
        failure, retry = self._judge(event, outcome)
        await self._keep(attempt, outcome, retry)
        if retry is not None:
            self._schedule.note(retry)
        return failure

    async def _send(
        self, id_: str, type_: str, body: bytes, event: SessionEvent | None
    ) -> tuple[AttemptRow, Outcome]:
        endpoint, now = self.endpoint, self._clock.now()
        headers = signed_headers(
            id_, body, at_seconds=int(now.timestamp()), secrets=endpoint.signing(to_ms(now))
        )
        outcome = await self._client.post(endpoint.url, body, headers, asker=endpoint.tenant)
        attempt = AttemptRow(
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
        return attempt, outcome

    async def _keep(self, attempt: AttemptRow, outcome: Outcome, retry: Retry | None) -> None:
        disable = _GONE if outcome.status == _GONE_STATUS else None
        kept = await self._store.write(
            partial(
                webhook_table.record,
                attempt=attempt,
                taken=outcome.taken,
                disable=disable,
                retry=retry,
            )
        )
        self._take_over(kept)

    def _take_over(self, kept: Endpoint | None) -> None:
        if kept is None:
            # Deleted meanwhile; until the pump has let go of it, nothing more is posted.
            self.endpoint = replace(self.endpoint, enabled=False)
            return
        if self.endpoint.enabled and not kept.enabled:
            known = {"service": self.name, "error": kept.disabled_reason}
            logger.error("webhook disabled", extra=known)
            self._tell_disabled(kept)
        self.endpoint = kept

    def _judge(
        self, event: SessionEvent, outcome: Outcome
    ) -> tuple[TemporaryFailure | PermanentFailure | None, Retry | None]:
        """Return what the pump is to make of an attempt, and what is to be stored of it."""
        session, seq = event.session, event.seq or 0
        earlier, over = self._schedule.failures(session, seq), Retry(session, seq)
        if outcome.taken:
            return None, over if earlier else None
        if outcome.status == _GONE_STATUS:
            return self._disabled(), None
        if earlier == len(self._pauses_seconds):
            return PermanentFailure(outcome.refusal), over
        asked_seconds = outcome.pause_asked_seconds(self._clock.now())
        pause_seconds = self.pause_seconds(earlier + 1) if asked_seconds is None else asked_seconds
        of_all = asked_seconds is not None
        failure = TemporaryFailure(outcome.refusal, retry_seconds=pause_seconds, of_all=of_all)
        not_before = self._now_ms() + round(pause_seconds * 1000)
        return failure, replace(over, failures=earlier + 1, not_before=not_before)

    def _refused(self, failure: Exception) -> Exception:
        """Count a failure; one that has disabled the endpoint concerns every event."""
        self._failures_in_a_row += 1
        return failure if self.endpoint.enabled else self._disabled()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

    def _disabled(self) -> TemporaryFailure:
        return TemporaryFailure(
            self.endpoint.disabled_reason or "disabled",
            retry_seconds=_DISABLED_SECONDS,
            of_all=True,
        )


def _body(event: SessionEvent) -> bytes:
    return to_json({"type": event.type, **event.payload()})
