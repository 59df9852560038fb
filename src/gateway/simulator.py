"""The hands that hold the simulated phones: routes that exist only with the simulator engine."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.operations import json_response
from api.requests import read_body
from api.schemas import Body, Name, Nothing, Phone, Recipient
from sessions.engine_simulator import STRANGER, SimulatorEngine
from sessions.engine_simulator_phone import Account, ReceiptStatus, SentText
from sessions.engine_simulator_script import FaultKind
from sessions.ids import SessionId
from sessions.messages import LID_SERVER, MessageStatus, WireModel, phone_digits

Resolve = Callable[[Request[Any], str], Awaitable[SessionId]]
B = TypeVar("B", bound=Body)

BURST_MOST = 10_000
_RECEIPTS: dict[str, ReceiptStatus] = {
    "delivered": MessageStatus.DELIVERED,
    "read": MessageStatus.READ,
    "played": MessageStatus.PLAYED,
}


def _known(kind: str) -> str:
    kinds = [known.value for known in FaultKind]
    if kind not in kinds:
        sentence = "Give one of {kinds}"
        raise PydanticCustomError("unknown_fault", sentence, {"kinds": ", ".join(kinds)})
    return kind


class Scan(Body):
    """Who scans; without a number, a phone of the session's own does."""

    phone: Phone | None = None
    push_name: Name | None = None


class EnterCode(Body):
    """The pairing code that the gateway shows, with or without its hyphen."""

    code: Annotated[str, Field(min_length=8, max_length=9, repr=False)]


class Write(Body):
    """What someone writes; several texts are numbered, `chat` is given for groups."""

    from_: Annotated[Recipient, Field(alias="from")] = STRANGER
    text: Annotated[str, Field(max_length=65_536, repr=False)]
    chat: Recipient | None = None
    push_name: Name | None = None
    count: Annotated[int, Field(ge=1, le=BURST_MOST)] = 1


class Confirm(Body):
    """Which messages the other side confirms."""

    whatsapp_ids: Annotated[list[str], Field(min_length=1, max_length=1000)]
    status: Literal["delivered", "read", "played"]


class Break(Body):
    """What goes wrong; `seconds` for faults that pass, `count` for sends."""

    kind: Annotated[str, AfterValidator(_known)]
    seconds: Annotated[float | None, Field(ge=0, le=86_400)] = None
    count: Annotated[int, Field(ge=1, le=1000)] = 1


class Linked(WireModel):
    """The account that is linked now."""

    phone: str
    lid: str
    push_name: str | None


class Written(WireModel):
    """WhatsApp's ids of the messages, in order."""

    whatsapp_ids: list[str]


class SentTexts(WireModel):
    """What arrived at the other side, in order."""

    items: list[SentText]


def simulator_routes(engine: SimulatorEngine, resolve: Resolve) -> list[Route]:
    """Return `/simulator/{id}/…`; `resolve` authorises the caller and finds the session."""

    async def scan(session: SessionId, body: Scan) -> Response:
        number = body.phone and phone_digits(body.phone)
        return _linked(engine.scan(session, phone=number, push_name=body.push_name))

    async def enter_code(session: SessionId, body: EnterCode) -> Response:
        return _linked(engine.enter_code(session, body.code))

    async def write(session: SessionId, body: Write) -> Response:
        texts = [body.text] if body.count == 1 else _numbered(body.text, body.count)
        messages = [
            engine.write(session, text, sender=body.from_, chat=body.chat, push_name=body.push_name)
            for text in texts
        ]
        ids = [message.whatsapp_id for message in messages]
        return json_response(Written(whatsapp_ids=ids), 201)

    async def confirm(session: SessionId, body: Confirm) -> Response:
        engine.receipt(session, body.whatsapp_ids, _RECEIPTS[body.status])
        return Response(status_code=204)

    async def break_(session: SessionId, body: Break) -> Response:
        engine.fault(session, body.kind, seconds=body.seconds, amount=body.count)
        return Response(status_code=204)

    async def sent(session: SessionId, _: Nothing) -> Response:
        return json_response(SentTexts(items=engine.sent(session)))

    return [
        _route("POST", "scan", Scan, scan, resolve),
        _route("POST", "enter-code", EnterCode, enter_code, resolve),
        _route("POST", "messages", Write, write, resolve),
        _route("POST", "receipts", Confirm, confirm, resolve),
        _route("POST", "faults", Break, break_, resolve),
        _route("GET", "sent", Nothing, sent, resolve),
    ]


def _route(
    method: str,
    name: str,
    model: type[B],
    handler: Callable[[SessionId, B], Awaitable[Response]],
    resolve: Resolve,
) -> Route:
    async def answer(request: Request[Any]) -> Response:
        session = await resolve(request, request.path_params["id"])
        body = await read_body(request, model) if method == "POST" else model()
        return await handler(session, body)

    return Route(f"/simulator/{{id}}/{name}", answer, methods=[method])


def _linked(account: Account) -> Response:
    lid = f"{account.lid}@{LID_SERVER}"
    return json_response(Linked(phone=account.phone, lid=lid, push_name=account.push_name))


def _numbered(text: str, count: int) -> list[str]:
    return [f"{text} {number}" for number in range(1, count + 1)]
