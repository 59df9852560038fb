"""What a person has posted to an endpoint beside the schedule: a test, or one event again."""

from functools import partial

from pydantic_core import to_json

from api.webhook_status import WebhookAttempt
from gateway.bridge_webhook import WebhookBridge
from gateway.webhook_client import Outcome
from sessions import consumers
from sessions.clock import Clock, from_ms, to_ms
from sessions.errors import EventNotFound
from sessions.events import SessionEvent
from sessions.ids import new_uuid
from sessions.store import Store

_TEST_TYPE = "webhook:test"


async def post_test(bridge: WebhookBridge, clock: Clock) -> WebhookAttempt:
    """Post an event that means nothing, once; raises StorageUnavailable."""
    id_, at_ms = new_uuid(), to_ms(clock.now())
    body = to_json({"type": _TEST_TYPE, "id": id_, "timestamp": at_ms})
    return _attempt(id_, _TEST_TYPE, None, at_ms, await bridge.post(id_, _TEST_TYPE, body, None))


async def post_again(
    bridge: WebhookBridge, store: Store, clock: Clock, event_id: str
) -> WebhookAttempt:
    """Post one event that the endpoint is for; what was given up counts no more when it is taken.

    Raises:
        EventNotFound: none of this id is kept, or it is not for this endpoint.
        StorageUnavailable: it was posted, perhaps, but not recorded.
    """
    async with store.read() as db:
        event = await consumers.event(db, bridge.name, event_id)
    if event is None or not bridge.wants(event.type):
        raise EventNotFound
    at_ms = to_ms(clock.now())
    outcome = await bridge.again(event)
    if outcome.taken:
        forget = partial(consumers.unpark_event, name=bridge.name, session=event.session)
        await store.write(partial(forget, seq=event.seq or 0))
    return _attempt(event.id, event.type, event, at_ms, outcome)


def _attempt(
    id_: str, type_: str, event: SessionEvent | None, at_ms: int, outcome: Outcome
) -> WebhookAttempt:
    return WebhookAttempt(
        event_id=id_,
        type=type_,
        session_id=None if event is None else event.session_id,
        seq=None if event is None else event.seq,
        at=from_ms(at_ms),
        status=outcome.status,
        latency_ms=outcome.latency_ms,
        error=outcome.error,
        response=outcome.response.decode(errors="replace"),
    )
