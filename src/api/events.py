"""What happened to a session, read from a cursor on."""

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json
from starlette.responses import Response

from api.operations import Answer, Call, Operation
from api.schemas import ListEvents, Nothing
from auth.principal import Scope
from sessions.errors import SessionNotFound, Unavailable, UnrecoverablePosition
from sessions.events import EventType


class EventView(BaseModel):
    """One durable event, as on Socket.IO; further fields depend on `type`."""

    model_config = ConfigDict(extra="allow")

    id: str
    type: EventType
    sessionId: str  # noqa: N815 - a wire form that is only ever documented
    seq: int
    cursor: str
    timestamp: int


class EventPageView(BaseModel):
    """Events in order; read on from `cursor` until `items` is empty."""

    items: list[EventView]
    cursor: str
    recovered: bool


async def list_(call: Call[Nothing, ListEvents]) -> Response:
    """Return the durable events behind a cursor; without one, from the oldest that is kept."""
    query, ref = call.query, await call.ref()
    page = await call.manager.events(call.tenant, ref, after=query.after, limit=query.limit)
    items = [{"type": event.type, **event.payload()} for event in page.items]
    document = {"items": items, "cursor": page.cursor, "recovered": page.recovered}
    return Response(to_json(document), media_type="application/json")


OPERATIONS = (
    Operation(
        "GET",
        "/whatsapp/{id}/events",
        "listEvents",
        "Read events from a cursor on",
        list_,
        {200: Answer("Events in order.", EventPageView)},
        # Events carry message texts: who may not read messages may not read them here either.
        (Scope.SESSIONS_READ, Scope.MESSAGES_READ),
        (SessionNotFound, UnrecoverablePosition, Unavailable),
    ),
)
