"""Making endpoints, by themselves or with their session: who may, and which URL will not do."""

from typing import Any

from api.errors import Refusal
from api.operations import Call
from api.webhook_schemas import SessionWebhook
from api.webhook_status import CreatedWebhook, UnfitWebhookUrl, WebhookDraft, Webhooks
from auth.principal import Scope


def webhooks(call: Call[Any, Any]) -> Webhooks:
    """Return the endpoints of every tenant."""
    return call.request.state["webhooks"]


def drafted(call: Call[Any, Any], asked: SessionWebhook) -> WebhookDraft:
    """Prepare what was asked for beside a new session.

    Raises:
        InsufficientScope: events carry texts, which the caller may not read.
        Refusal: nothing will be posted to this URL.
    """
    call.principal.require(Scope.MESSAGES_READ)
    try:
        return webhooks(call).draft(call.tenant, url=asked.url, events=asked.events)
    except UnfitWebhookUrl as error:
        raise unfit(error, "/webhook/url") from None


def started(draft: WebhookDraft) -> CreatedWebhook:
    """Post to what was drafted and is committed; return it as the session's answer shows it."""
    made = draft.start()
    return CreatedWebhook(id=made.id, url=made.url, events=made.events, secret=made.secret)


def unfit(error: UnfitWebhookUrl, pointer: str) -> Refusal:
    """Return the answer to a URL that will not do."""
    fault = {"pointer": pointer, "detail": str(error), "code": "unfit_url"}
    detail = f"The request is not valid; see errors for what to change: {pointer}."
    return Refusal(422, "validation_failed", detail, errors=[fault])
