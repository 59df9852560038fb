"""Chats, each with its newest message and how much of it is unread."""

from typing import Any

from starlette.responses import Response

from api.messages import json_document, wire
from api.operations import Answer, Call, Operation
from api.schemas import ListConversations, Nothing
from auth.principal import Scope
from sessions.errors import MessageNotFound, SessionNotFound, Unavailable
from sessions.session import Conversation, ConversationPage


async def list_(call: Call[Nothing, ListConversations]) -> Response:
    """Return a page of chats, the most recently active first."""
    query, ref = call.query, await call.ref()
    page = await call.manager.conversations(
        call.tenant, ref, before=query.before, limit=query.limit
    )
    items = [_wire(conversation) for conversation in page.items]
    return json_document({"items": items, "before": page.before})


def _wire(conversation: Conversation) -> dict[str, Any]:
    fields = conversation.model_dump(mode="json", by_alias=True, exclude={"last_message"})
    return {**fields, "lastMessage": wire(conversation.last_message)}


OPERATIONS = (
    Operation(
        "GET",
        "/whatsapp/{id}/conversations",
        "listConversations",
        "List chats",
        list_,
        {200: Answer("A page of chats, the most recently active first.", ConversationPage)},
        (Scope.MESSAGES_READ,),
        (SessionNotFound, MessageNotFound, Unavailable),
    ),
)
