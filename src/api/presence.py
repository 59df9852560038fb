"""Showing that the account is there, or is typing in a chat."""

from typing import Any, Literal, LiteralString, Self

from pydantic import ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from starlette.responses import Response

from api.operations import Answer, Call, Operation
from api.schemas import Body, NoQuery, Recipient
from auth.principal import Scope
from sessions.errors import NotSupported, SendFailed, SessionNotFound, Unavailable

_ONLINE = ("available", "unavailable")
_TYPING = ("composing", "recording", "paused")


def _two_kinds(schema: dict[str, Any]) -> None:
    """Describe what `ShowPresence` checks: generators of clients can't read it from a sentence."""
    to = schema.pop("properties")["to"]["anyOf"][0]
    either = {
        "type": schema.pop("type"),
        "additionalProperties": schema.pop("additionalProperties"),
    }
    del schema["required"]
    online = {"type": "string", "enum": list(_ONLINE)}
    typing = {"type": "string", "enum": list(_TYPING)}
    schema["oneOf"] = [
        {**either, "properties": {"state": online}, "required": ["state"]},
        {**either, "properties": {"state": typing, "to": to}, "required": ["state", "to"]},
    ]


class ShowPresence(Body):
    """The account is online or not; or somebody types or records in the chat `to`, or stopped."""

    model_config = ConfigDict(json_schema_extra=_two_kinds)

    state: Literal["available", "unavailable", "composing", "recording", "paused"]
    to: Recipient | None = None

    @model_validator(mode="after")
    def _in_a_chat_or_for_all(self) -> Self:
        if self.state in _TYPING and self.to is None:
            raise _wrong("required", "Required with {states}", _TYPING)
        if self.state in _ONLINE and "to" in self.model_fields_set:
            raise _wrong("not_applicable", "Not with {states}: all chats see it", _ONLINE)
        return self


def _wrong(code: LiteralString, sentence: LiteralString, states: tuple[str, ...]) -> Exception:
    error = PydanticCustomError(code, sentence, {"states": ", ".join(states)})
    details = InitErrorDetails(type=error, loc=("to",), input=None)
    # Only an error of this kind can name a field from a check of several.
    return ValidationError.from_exception_data("ShowPresence", [details])


async def show(call: Call[ShowPresence, NoQuery]) -> Response:
    """Show it now; WhatsApp forgets it by itself, and nothing is kept or repeated."""
    body, ref = call.body, await call.ref()
    match body.state, body.to:
        case ("composing" | "recording" | "paused") as typing, str(chat):
            await call.manager.show_typing(call.tenant, ref, chat, typing)
        case state, _:
            await call.manager.show_presence(call.tenant, ref, available=state == "available")
    return Response(status_code=204)


OPERATIONS = (
    Operation(
        "POST",
        "/whatsapp/{id}/presence",
        "showPresence",
        "Show the account as online or not, or as typing in a chat",
        show,
        {204: Answer("Shown.")},
        (Scope.MESSAGES_SEND,),
        (SessionNotFound, SendFailed, NotSupported, Unavailable),
    ),
)
