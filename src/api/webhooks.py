"""Webhooks: where events are posted to, how that goes, and another try for what was refused."""

from datetime import timedelta
from typing import Any

from starlette.responses import Response

from api.bridge_status import Redelivery
from api.operations import Answer, Call, Operation, json_response
from api.schemas import NoQuery, Nothing
from api.webhook_making import unfit, webhooks
from api.webhook_schemas import CreateWebhook, ListAttempts, RotateSecret, UpdateWebhook
from api.webhook_status import (
    UnfitWebhookUrl,
    Webhook,
    WebhookAttempt,
    WebhookAttempts,
    WebhookChanges,
    WebhookList,
    WebhookWithSecret,
)
from auth.errors import InsufficientScope
from auth.principal import Scope
from sessions.errors import (
    EventNotFound,
    SessionNotFound,
    TooManyWebhooks,
    Unavailable,
    WebhookNotFound,
)
from sessions.ids import SessionId


async def create(call: Call[CreateWebhook, NoQuery]) -> Response:
    """Post what happens from now on to a URL."""
    body = call.body
    session = None if body.session_id is None else await _session(call, body.session_id)
    if session is None and call.principal.sessions is not None:
        message = "The token is narrowed to sessions. Give the sessionId of one of them."
        raise InsufficientScope(message)
    try:
        made = await webhooks(call).create(
            call.tenant, url=body.url, events=body.events, session=session
        )
    except UnfitWebhookUrl as error:
        raise unfit(error, "/url") from None
    return json_response(made, 201, Location=f"/webhooks/{made.id}", Cache_Control="no-store")


async def list_(call: Call[Nothing, NoQuery]) -> Response:
    """Return the endpoints that the caller may see."""
    found = await webhooks(call).of_tenant(call.tenant)
    return json_response(WebhookList(items=[one for one in found if await _visible(call, one)]))


async def get(call: Call[Nothing, NoQuery]) -> Response:
    """Return one endpoint."""
    return json_response(await _one(call))


async def update(call: Call[UpdateWebhook, NoQuery]) -> Response:
    """Change an endpoint, or enable it again."""
    found, body = await _one(call), call.body
    changes = WebhookChanges(url=body.url, events=body.events, enabled=body.enabled)
    try:
        return json_response(await webhooks(call).update(call.tenant, found.id, changes))
    except UnfitWebhookUrl as error:
        raise unfit(error, "/url") from None


async def delete(call: Call[Nothing, NoQuery]) -> Response:
    """Post to an endpoint no more."""
    await webhooks(call).delete(call.tenant, (await _one(call)).id)
    return Response(status_code=204)


async def test(call: Call[Nothing, NoQuery]) -> Response:
    """Post an event that means nothing, once."""
    return json_response(await webhooks(call).test(call.tenant, (await _one(call)).id))


async def rotate(call: Call[RotateSecret, NoQuery]) -> Response:
    """Sign with a new secret."""
    found, overlap = await _one(call), timedelta(seconds=call.body.overlap_seconds)
    rotated = await webhooks(call).rotate_secret(call.tenant, found.id, overlap=overlap)
    return json_response(rotated, Cache_Control="no-store")


async def attempts(call: Call[Nothing, ListAttempts]) -> Response:
    """Return what came of the newest attempts."""
    found = await _one(call)
    items = await webhooks(call).attempts(call.tenant, found.id, limit=call.query.limit)
    return json_response(WebhookAttempts(items=items))


async def redeliver_event(call: Call[Nothing, NoQuery]) -> Response:
    """Post one event again, now."""
    found, event_id = await _one(call), call.request.path_params["eventId"]
    return json_response(await webhooks(call).redeliver_event(call.tenant, found.id, event_id))


async def redeliver(call: Call[Nothing, NoQuery]) -> Response:
    """Hand over again what was given up."""
    return json_response(await webhooks(call).redeliver(call.tenant, (await _one(call)).id))


async def _one(call: Call[Any, Any]) -> Webhook:
    found = await webhooks(call).get(call.tenant, call.request.path_params["webhookId"])
    if not await _visible(call, found):
        raise WebhookNotFound
    return found


async def _visible(call: Call[Any, Any], webhook: Webhook) -> bool:
    if call.principal.sessions is None:
        return True
    if webhook.session_id is None:
        return False
    try:
        await _session(call, webhook.session_id)
    except SessionNotFound:
        return False
    return True


async def _session(call: Call[Any, Any], ref: str) -> SessionId:
    session = await call.manager.get(call.tenant, ref)
    if not call.principal.may_access(session.id, session.session_id):
        raise SessionNotFound
    return session.id


_ONE = "/webhooks/{webhookId}"
# Events carry message texts: who may not read messages may not have them posted either.
_MAY_ROUTE = (Scope.SESSIONS_WRITE, Scope.MESSAGES_READ)
_MAY = (Scope.SESSIONS_WRITE,)
_PROBLEMS = (WebhookNotFound, Unavailable)

OPERATIONS = (
    Operation(
        "POST",
        "/webhooks",
        "createWebhook",
        "Have events posted to a URL",
        create,
        {201: Answer("Made; the secret is shown only now.", WebhookWithSecret, (), ("Location",))},
        _MAY_ROUTE,
        (SessionNotFound, TooManyWebhooks, Unavailable),
    ),
    Operation(
        "GET",
        "/webhooks",
        "listWebhooks",
        "List webhooks",
        list_,
        {200: Answer("All of them, the oldest first.", WebhookList)},
        _MAY,
        (Unavailable,),
    ),
    Operation(
        "GET",
        _ONE,
        "getWebhook",
        "Read a webhook",
        get,
        {200: Answer("The webhook.", Webhook)},
        _MAY,
        _PROBLEMS,
    ),
    Operation(
        "PUT",
        _ONE,
        "updateWebhook",
        "Change a webhook, or enable it again",
        update,
        {200: Answer("As it is now.", Webhook)},
        _MAY_ROUTE,
        _PROBLEMS,
    ),
    Operation(
        "DELETE",
        _ONE,
        "deleteWebhook",
        "Post to a webhook no more",
        delete,
        {204: Answer("Gone, with what waited for it.")},
        _MAY,
        _PROBLEMS,
    ),
    Operation(
        "POST",
        _ONE + "/test",
        "testWebhook",
        "Post a test event now",
        test,
        {200: Answer("What came of it.", WebhookAttempt)},
        _MAY,
        _PROBLEMS,
    ),
    Operation(
        "POST",
        _ONE + "/rotate-secret",
        "rotateWebhookSecret",
        "Sign with a new secret, for a while beside the older",
        rotate,
        {200: Answer("The new secret is shown only now.", WebhookWithSecret)},
        _MAY,
        _PROBLEMS,
    ),
    Operation(
        "GET",
        _ONE + "/attempts",
        "listWebhookAttempts",
        "Read what came of the newest attempts",
        attempts,
        {200: Answer("The newest first; the last 1,000 are kept.", WebhookAttempts)},
        _MAY,
        _PROBLEMS,
    ),
    Operation(
        "POST",
        _ONE + "/events/{eventId}/redeliver",
        "redeliverWebhookEvent",
        "Post one event again now",
        redeliver_event,
        {200: Answer("What came of it.", WebhookAttempt)},
        _MAY,
        (EventNotFound, *_PROBLEMS),
    ),
    Operation(
        "POST",
        _ONE + "/redeliver",
        "redeliverWebhook",
        "Hand over again what was given up",
        redeliver,
        {200: Answer("What became of it.", Redelivery)},
        _MAY,
        _PROBLEMS,
    ),
)
