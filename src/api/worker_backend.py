"""The calls of back ends of the worker kind, over REST: a client's number, its code, its messages.

Their clients look at `success` and `message`; both are in every answer, problems too.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from api.back_end_operation import ALREADY_CONNECTED, NO_STORE, BackEndOperation, code_of
from api.client_numbers import dialled, find, known_name, validate
from api.operations import Answer, Call, json_response
from api.rendering import data_url
from api.requests import IDEMPOTENCY_KEY, read_idempotency_key
from api.schemas import Body, NoQuery, Nothing, Phone, Query, Recipient, Text, Visible
from auth.errors import InsufficientScope
from auth.principal import Scope
from sessions.errors import (
    IdempotencyConflict,
    QrNotAvailable,
    QueueFull,
    SessionNotFound,
    Unavailable,
)
from sessions.ids import SessionName
from sessions.messages import OutgoingText
from sessions.session import Session
from sessions.status import Status


class ValidateNumber(Body):
    """The client's phone; needed the first time, and to link another phone to the number."""

    model_config = ConfigDict(extra="ignore")

    phone_number: Phone | None = None


class SendToRecipient(Body):
    """A text to send from a number."""

    model_config = ConfigDict(extra="ignore")

    whatsapp_number_id: Annotated[
        int | Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")],
        Field(description="The number's id, as in `session_<id>_<phone>`.", examples=[6]),
    ]
    recipient_number: Recipient
    content: Text
    type: Literal["TEXT", "text"] = "TEXT"


class OfWorker(Query):
    """Which worker is to serve the number; another one than this is refused."""

    model_config = ConfigDict(extra="ignore")

    worker_id: Visible | None = None


class Outcome(BaseModel):
    """What became of a call."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    success: bool = True
    message: str


class ClientOutcome(Outcome):
    """What became of a call about a client's number."""

    client_id: int
    phone_number: str | None
    session_id: str
    status: Status


class ClientQr(BaseModel):
    """The code to scan now."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    success: bool = True
    qr_code: str = Field(repr=False, description="PNG as a data URL.")
    client_id: int
    phone_number: str | None


class Queued(BaseModel):
    """The message is kept and will be sent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    success: bool = True
    message_id: str


async def validate_number(call: Call[ValidateNumber, OfWorker]) -> Response:
    """Create and activate a number's session; without a phone, the one it has."""
    own = call.request.state["worker_id"]
    if own is not None and call.query.worker_id not in {None, own}:
        raise SessionNotFound(f"This worker is {own}. Call the one that you named.")
    number, given = _number(call), call.body.phone_number
    phone = given and dialled(given)
    known = await _known(call, number)
    if phone is not None:
        name = await known_name(call.manager, call.tenant, number, phone)
        if known is None or known.session_id != name:
            return _outcome(number, await _validated(call, number, phone, name))
    if known is None:
        raise SessionNotFound("This number has no session yet. Give its phoneNumber in the body.")
    return _outcome(number, await call.manager.activate(call.tenant, known.id))


async def qr_code(call: Call[Nothing, NoQuery]) -> Response:
    """Return the code that links a number's phone."""
    session = await _session(call)
    current = await code_of(call, session)
    response = json_response(
        ClientQr(
            qr_code=data_url(current.code),
            client_id=_number(call),
            phone_number=session.phone_number,
        )
    )
    response.headers.update(NO_STORE)
    return response


async def regenerate(call: Call[Nothing, NoQuery]) -> Response:
    """Begin a new login attempt, unless the number is connected."""
    session = await _session(call)
    return _outcome(_number(call), await call.manager.regenerate_qr(call.tenant, session.id))


async def send(call: Call[SendToRecipient, NoQuery]) -> Response:
    """Keep a text to be sent from a number, in order."""
    key, body = read_idempotency_key(call.request), call.body
    number, only = int(body.whatsapp_number_id), call.principal.sessions
    session = await find(call.manager, call.tenant, number, only=only, to_send=True)
    if session is None:
        raise SessionNotFound(_NO_SESSION)
    text = OutgoingText(to=body.recipient_number, text=body.content)
    message = await call.manager.send(call.tenant, session.id, text, idempotency_key=key)
    return json_response(Queued(message_id=message.id))


_NO_SESSION = "This number has no session. Validate it first."


def _number(call: Call[Any, Any]) -> int:
    text: str = call.request.path_params["numberId"]
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise SessionNotFound("A number's id is up to 18 digits, such as 6.")
    return int(text)


async def _known(call: Call[Any, Any], number: int) -> Session | None:
    return await find(call.manager, call.tenant, number, only=call.principal.sessions)


async def _session(call: Call[Any, Any]) -> Session:
    session = await _known(call, _number(call))
    if session is None:
        raise SessionNotFound(_NO_SESSION)
    return session


async def _validated(call: Call[Any, Any], number: int, phone: str, name: SessionName) -> Session:
    # Else it would make a session that it can never see again.
    if not call.principal.may_access(name):
        message = f"The token is narrowed to other sessions than {name}. Get one that names it."
        raise InsufficientScope(message)
    return await validate(call.manager, call.tenant, number, phone)


def _outcome(number: int, session: Session) -> Response:
    connected = session.status is Status.CONNECTED
    return json_response(
        ClientOutcome(
            message=ALREADY_CONNECTED if connected else session.message,
            client_id=number,
            phone_number=session.phone_number,
            session_id=session.session_id,
            status=session.status,
        )
    )


_CLIENT = "/api/admin/dashboard/clients/{numberId}"

OPERATIONS = (
    BackEndOperation(
        "POST",
        f"{_CLIENT}/validate",
        "validateNumber",
        "Create and activate a number's session",
        validate_number,
        {200: Answer("Connecting, or as it was; idempotent.", ClientOutcome)},
        (Scope.SESSIONS_WRITE,),
        (SessionNotFound, Unavailable),
    ),
    BackEndOperation(
        "GET",
        f"{_CLIENT}/qr-code",
        "getNumberQr",
        "Read the code that links a number's phone",
        qr_code,
        {200: Answer("The current code.", ClientQr)},
        (Scope.SESSIONS_READ,),
        (SessionNotFound, QrNotAvailable, Unavailable),
    ),
    BackEndOperation(
        "POST",
        f"{_CLIENT}/regenerate-qr",
        "regenerateNumberQr",
        "Ask for a new code for a number",
        regenerate,
        {
            200: Answer(
                f'A new login attempt begins; "{ALREADY_CONNECTED}" otherwise.', ClientOutcome
            )
        },
        (Scope.SESSIONS_WRITE,),
        (SessionNotFound, Unavailable),
    ),
    BackEndOperation(
        "POST",
        "/api/messages/send",
        "sendFromNumber",
        "Send a text from a number",
        send,
        {200: Answer("Stored; it is sent in order.", Queued)},
        (Scope.MESSAGES_SEND,),
        (SessionNotFound, IdempotencyConflict, QueueFull, Unavailable),
        headers=(IDEMPOTENCY_KEY,),
    ),
)
