"""Calls on messages: send a text, read both directions, decide about one."""

import re
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from api.operations import Answer, Call, Operation
from api.requests import IDEMPOTENCY_KEY, read_idempotency_key
from api.schemas import ListMessages, NoQuery, Nothing, ResolveMessage, SendMessage
from auth.principal import Scope
from sessions.errors import (
    IdempotencyConflict,
    InvalidRecipient,
    MessageNotFound,
    NotCancellable,
    NotSupported,
    NotUnknown,
    QueueFull,
    SendFailed,
    SessionNotFound,
    Unavailable,
)
from sessions.messages import Message, OutgoingText, Priority
from sessions.session import MessagePage

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OPTIONAL = ("media", "quotedMessageId", "error", "history")


async def send(call: Call[SendMessage, NoQuery]) -> Response:
    """Keep a text to be sent, in order; the answer comes when it is stored, before it is sent."""
    key = read_idempotency_key(call.request)
    body = call.body
    text = OutgoingText(to=body.to, text=body.text, quoted_message_id=body.quoted_message_id)
    priority, ref = Priority(body.priority), await call.ref()
    message = await call.manager.send(
        call.tenant, ref, text, idempotency_key=key, priority=priority, typing=body.typing
    )
    location = call.path(message.session_id, "messages", message.id)
    return json_document(wire(message), 202, {"Location": location})


async def list_(call: Call[Nothing, ListMessages]) -> Response:
    """Return a page of messages, newest first."""
    query, ref = call.query, await call.ref()
    page = await call.manager.messages(
        call.tenant, ref, chat_id=query.chat_id, before=query.before, limit=query.limit
    )
    items = [wire(message) for message in page.items]
    return json_document({"items": items, "before": page.before})


async def get(call: Call[Nothing, NoQuery]) -> Response:
    """Return a message with its status history."""
    ref, message_id = await _named(call)
    return json_document(wire(await call.manager.message(call.tenant, ref, message_id)))


async def cancel(call: Call[Nothing, NoQuery]) -> Response:
    """Cancel a message that is still queued; again changes nothing."""
    ref, message_id = await _named(call)
    return json_document(wire(await call.manager.cancel(call.tenant, ref, message_id)))


async def resolve(call: Call[ResolveMessage, NoQuery]) -> Response:
    """Send a message whose fate is unknown, perhaps again, or count it as failed."""
    ref, message_id = await _named(call)
    message = await call.manager.resolve(call.tenant, ref, message_id, call.body.action)
    return json_document(wire(message))


async def mark_read(call: Call[Nothing, NoQuery]) -> Response:
    """Mark a message and those before it in its chat as read, for their sender to see."""
    ref, message_id = await _named(call)
    return json_document(wire(await call.manager.mark_read(call.tenant, ref, message_id)))


async def _named(call: Call[Any, NoQuery]) -> tuple[str, str]:
    """Return how to name the path's session and message to the manager.

    Raises:
        SessionNotFound, MessageNotFound: nothing can be called so.
    """
    message_id: str = call.request.path_params["messageId"]
    ref = await call.ref()
    if not _UUID.fullmatch(message_id):
        # Still an unknown session first, as for every other call.
        await call.manager.get(call.tenant, ref)
        raise MessageNotFound
    return ref, message_id


def wire(message: Message) -> dict[str, Any]:
    """Return a message as JSON values."""
    fields = message.model_dump(mode="json", by_alias=True)
    # Absent, not null: what the contract marks as optional, here as in events.
    unset = {name for name in _OPTIONAL if fields[name] is None}
    return {name: value for name, value in fields.items() if name not in unset}


def json_document(
    document: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Answer with JSON values."""
    return Response(to_json(document), status, headers=headers, media_type="application/json")


_ALL = "/whatsapp/{id}/messages"
_ONE = _ALL + "/{messageId}"
_MISSING = (SessionNotFound, MessageNotFound, Unavailable)

OPERATIONS = (
    Operation(
        "POST",
        _ALL,
        "sendMessage",
        "Send a text",
        send,
        {202: Answer("Stored; it is sent in order.", Message, headers=("Location",))},
        (Scope.MESSAGES_SEND,),
        (SessionNotFound, IdempotencyConflict, QueueFull, InvalidRecipient, Unavailable),
        headers=(IDEMPOTENCY_KEY,),
    ),
    Operation(
        "GET",
        _ALL,
        "listMessages",
        "List messages",
        list_,
        {200: Answer("A page of messages, newest first.", MessagePage)},
        (Scope.MESSAGES_READ,),
        _MISSING,
    ),
    Operation(
        "GET",
        _ONE,
        "getMessage",
        "Read a message with its status history",
        get,
        {200: Answer("The message.", Message)},
        (Scope.MESSAGES_READ,),
        _MISSING,
    ),
    Operation(
        "POST",
        f"{_ONE}/cancel",
        "cancelMessage",
        "Cancel a message that is still queued",
        cancel,
        {200: Answer("Cancelled; idempotent.", Message)},
        (Scope.MESSAGES_SEND,),
        (*_MISSING, NotCancellable),
    ),
    Operation(
        "POST",
        f"{_ONE}/resolve",
        "resolveMessage",
        "Decide about a message whose fate is unknown",
        resolve,
        {200: Answer("Queued again, or failed.", Message)},
        (Scope.MESSAGES_SEND,),
        (*_MISSING, NotUnknown),
    ),
    Operation(
        "POST",
        f"{_ONE}/read",
        "markMessageRead",
        "Mark a message, and those before it in its chat, as read",
        mark_read,
        {200: Answer("Read; its sender is told. Idempotent.", Message)},
        # The answer shows what somebody else wrote, and the call tells them something.
        (Scope.MESSAGES_READ, Scope.MESSAGES_SEND),
        (*_MISSING, SendFailed, NotSupported),
    ),
)
