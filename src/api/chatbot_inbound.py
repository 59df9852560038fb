"""What a foreign QR microservice posts here: what happens to its sessions, and their messages.

It has no token: it is known by the key that it shares with this server.
"""

from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response

from api.errors import Refusal
from api.microservice_door import MicroserviceDoor
from api.microservice_schemas import ServiceEvent, ServiceMessage, Taken, heard
from api.operations import Answer, Call, Operation, json_response
from api.schemas import NoQuery
from api.state import ApiRequest
from auth.errors import InvalidToken
from sessions.errors import SessionNotActive, SessionNotFound, Unavailable
from sessions.ids import SessionId

_OWN_ENGINE = (
    "This gateway drives its phones itself, so no microservice posts here. To let one drive them, "
    "set WAGATE_ENGINE=microservice and WAGATE_WHATSAPP_QR_SERVICE_URL, and start it again."
)
_WRONG_KEY = (
    "The key is not the one that is shared with this gateway. Send WAGATE_WHATSAPP_QR_SERVICE_KEY "
    "in the header X-API-Key."
)


class ServiceOperation(Operation):
    """An operation for the microservice alone."""

    takes_service_key = True

    async def answer(self, request: ApiRequest) -> Response:
        """Answer as any operation does, once the caller has shown the shared key."""
        door = request.state["microservice"]
        if door is None:
            raise Refusal(409, "microservice_not_used", _OWN_ENGINE)
        # Before the body is read: who may not call does not get to send a megabyte.
        if not door.admits(_key(request.headers)):
            raise InvalidToken(_WRONG_KEY)
        return await super().answer(request)


async def hear(call: Call[ServiceEvent, NoQuery]) -> Response:
    """Take what happened to a session."""
    body = call.body
    data = body.data if isinstance(body.data, dict) else {"data": body.data}
    await _door(call).hear(SessionId(body.session_id), body.event, data)
    return json_response(Taken())


async def receive(call: Call[ServiceMessage, NoQuery]) -> Response:
    """Take a message; answer when it is committed."""
    await _door(call).receive(SessionId(call.body.session_id), heard(call.body))
    return json_response(Taken())


def _door(call: Call[Any, Any]) -> MicroserviceDoor:
    door = call.request.state["microservice"]
    assert door is not None  # noqa: S101 - the operation has looked
    return door


def _key(headers: Headers) -> str:
    """Return the key that was sent, empty when there is none, or several."""
    keys = headers.getlist("x-api-key")
    if not keys:
        values = headers.getlist("authorization")
        schemes = [value.partition(" ") for value in values]
        keys = [key.strip() for scheme, _, key in schemes if scheme.lower() == "bearer"]
    return keys[0] if len(keys) == 1 else ""


OPERATIONS = (
    ServiceOperation(
        "POST",
        "/whatsapp-qr/webhook",
        "hearMicroservice",
        "Take what a foreign QR microservice tells of a session",
        hear,
        {
            200: Answer("Taken.", Taken),
            409: Answer("The session is not active, or no microservice is used here."),
        },
        problems=(InvalidToken, SessionNotFound, SessionNotActive, Unavailable),
    ),
    ServiceOperation(
        "POST",
        "/whatsapp-qr/incoming",
        "receiveFromMicroservice",
        "Take a message that came in at a foreign QR microservice",
        receive,
        {200: Answer("Committed.", Taken)},
        problems=(InvalidToken, SessionNotFound, SessionNotActive, Unavailable),
    ),
)
