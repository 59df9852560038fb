"""What a back end asks of a worker over RabbitMQ, read from JSON and checked."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, from_json

from api.client_numbers import dialled, number_of
from sessions.errors import InvalidRecipient
from sessions.messages import parse_recipient

_COMMANDS = frozenset({"create", "close", "disconnect", "reconnect", "regenerate_qr"})
_FROM_WORKERS = frozenset(
    {"qr_generated", "qr_regenerating", "connected", "disconnected", "error", "worker_status"}
)


class Unreadable(Exception):
    """What came can't be understood; the text tells why, without showing it."""

    def __init__(self, reason: str, *, command: "Command | None" = None) -> None:
        super().__init__(reason)
        self.command = command
        """As much of a command as was understood; None: not even of whom it is."""


def _phone(value: object) -> object:
    number = dialled(value) if isinstance(value, str) else None
    if value is not None and number is None:
        message = "a phone number with country code is expected"
        raise ValueError(message)
    return number


def _recipient(value: object) -> object:
    try:
        return parse_recipient(str(value)) if isinstance(value, str | int) else value
    except InvalidRecipient:
        # Its own sentence shows the number, which must not reach a header or a log.
        message = "a phone number with country code or a JID is expected"
        raise ValueError(message) from None


M = TypeVar("M", bound="_FromBackEnd")
Number = Annotated[int, Field(ge=0, lt=10**18)]


class _FromBackEnd(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        extra="ignore",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
    )


class Command(_FromBackEnd):
    """What a back end wants of a session."""

    action: Literal["create", "close", "disconnect", "reconnect", "regenerate_qr"]
    number_id: Number
    phone_number: Annotated[str | None, BeforeValidator(_phone)] = None
    session_id: str | None = None
    worker_id: str | None = None


class SendOrder(_FromBackEnd):
    """A message that a back end wants sent."""

    number_id: Number
    recipient: Annotated[str, BeforeValidator(_recipient), Field(alias="recipientNumber")]
    content: Annotated[str, Field(min_length=1, max_length=65_536, repr=False)]
    type: Annotated[str, BeforeValidator(lambda kind: kind or "TEXT")] = "TEXT"
    message_id: Annotated[str | None, Field(min_length=1, max_length=200)] = None


def read_command(body: bytes) -> Command | None:
    """Return a command, in either of the two shapes; None for what another worker tells.

    Raises:
        Unreadable: it is neither; with its `command` when only the phone number is no good.
    """
    document = _object(body)
    action = document.get("action")
    if isinstance(action, str) and action in _FROM_WORKERS:
        return None
    if action not in _COMMANDS:
        raise Unreadable("unknown action")
    data = document.get("data")
    inner = data if isinstance(data, dict) else {}
    asked = {**document, **_given(inner)}
    name = asked.get("sessionId")
    if asked.get("numberId") is None and isinstance(name, str):
        asked["numberId"] = number_of(name)
    try:
        return _valid(Command, asked)
    except Unreadable as error:
        raise Unreadable(str(error), command=_without_phone(asked)) from None


def _without_phone(asked: dict[str, Any]) -> Command | None:
    try:
        return _valid(Command, {**asked, "phoneNumber": None})
    except Unreadable:
        return None


def read_send(body: bytes) -> SendOrder:
    """Return what is to be sent.

    Raises:
        Unreadable: it is no message to send, or of a type that can't be sent.
    """
    document = _given(_object(body))
    number = document.get("whatsappNumberId", document.get("numberId"))
    order = _valid(SendOrder, {**document, "numberId": number})
    if order.type.upper() != "TEXT":
        raise Unreadable("messages of this type can't be sent yet; TEXT can")
    return order


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise Unreadable("no valid JSON") from None
    if not isinstance(document, dict):
        raise Unreadable("no JSON object")
    return document


def _given(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _valid(model: type[M], document: dict[str, Any]) -> M:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise Unreadable("; ".join(_told(one) for one in faults[:5])) from None


def _told(fault: ErrorDetails) -> str:
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
