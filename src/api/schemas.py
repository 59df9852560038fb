"""What clients may send: bodies and query parameters, strict; unknown names are refused."""

import json
import re
from typing import Annotated, Any, Literal, LiteralString

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from sessions.ids import SESSION_NAME
from sessions.messages import parse_recipient
from sessions.status import Status

METADATA_BYTES = 16 * 1024
TEXT_CHARACTERS = 65_536
_PHONE = r"(?=.{6,25}$)\+?[0-9](?:[ ().-]{0,2}[0-9]){5,14}"
_JID = r"[0-9]{5,20}(?:-[0-9]{5,20})?@(?:s\.whatsapp\.net|c\.us|lid|g\.us)"


def _storable(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise PydanticCustomError("invalid_number", "A number is too large") from error
    if len(text.encode()) > METADATA_BYTES:
        code, sentence = "metadata_too_large", "At most {limit} bytes of JSON"
        raise PydanticCustomError(code, sentence, {"limit": METADATA_BYTES})
    return metadata


def _matching(pattern: str, code: LiteralString, sentence: LiteralString) -> AfterValidator:
    """Refuse other texts in words, where a schema's own pattern would only show itself."""

    def check(text: str) -> str:
        # fullmatch: `$` alone would let a trailing newline through.
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError(code, sentence)
        return text

    return AfterValidator(check)


def _shown(pattern: str, **more: Any) -> Any:
    """Return the field as the OpenAPI document shows it; `_matching` is what checks it."""
    return Field(json_schema_extra={"pattern": f"^(?:{pattern})$"}, **more)


# PostgreSQL can't hold U+0000, so that it would come back from there as a fault.
_NO_NUL = r"[^\x00]*"
_without_nul = _matching(_NO_NUL, "invalid_character", "The character U+0000 is not allowed")


def _number(least: int, most: int) -> Any:
    return Field(ge=least, le=most, description=f"{least} to {most}.")


def decimal(text: object) -> object:
    """Let a query parameter pass that is a whole number in decimal digits."""
    # Otherwise "1.0", " 1" and "1_0" would pass as numbers.
    if isinstance(text, str) and not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise PydanticCustomError("int_parsing", "A whole number in decimal digits is expected")
    return text


def _true_or_false(text: object) -> object:
    if isinstance(text, str) and text not in {"true", "false"}:
        raise PydanticCustomError("bool_parsing", "Give true or false")
    return text


SessionRef = Annotated[
    str,
    _matching(
        SESSION_NAME.strip("^$"),
        "invalid_session_id",
        "1 to 64 characters: letters, digits, '_', '+' and '-', the first a letter or a digit",
    ),
    _shown(
        SESSION_NAME.strip("^$"),
        description="The name you choose, unique among your sessions.",
        examples=["support"],
    ),
]
Name = Annotated[
    str,
    StringConstraints(max_length=200),
    _without_nul,
    _shown(_NO_NUL, description="A name for people.", examples=["Support desk"]),
]
Phone = Annotated[
    str,
    _matching(
        _PHONE,
        "invalid_phone_number",
        "A phone number with country code has 6 to 15 digits, for example +447700900123",
    ),
    _shown(_PHONE, description="With country code; kept as given.", examples=["+447700900123"]),
]
Recipient = Annotated[
    str,
    StringConstraints(max_length=64),
    _matching(
        f"{_PHONE}|{_JID}",
        "invalid_recipient",
        "Give a phone number with country code, for example +447700900123, "
        "or a JID such as 447700900123@s.whatsapp.net",
    ),
    AfterValidator(parse_recipient),
    _shown(
        f"{_PHONE}|{_JID}",
        description="A phone number with country code, or a JID.",
        examples=["+447700900123"],
    ),
]
Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_storable),
    Field(description="Yours; at most 16 KiB of JSON.", examples=[{"customer": "c-17"}]),
]
TokenId = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256),
    _without_nul,
    _shown(_NO_NUL, description="The token's `jti`.", examples=["5f0c7f3e-3c55-4d59"]),
]
Subject = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128),
    _without_nul,
    _shown(_NO_NUL, description="The `sub` of tokens.", examples=["alice"]),
]
Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=TEXT_CHARACTERS),
    _without_nul,
    _shown(_NO_NUL, repr=False, examples=["Hello"]),
]
Visible = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
Flag = Annotated[bool, BeforeValidator(_true_or_false)]


class Body(BaseModel):
    """A JSON object in camelCase with exactly these fields."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, extra="forbid", hide_input_in_errors=True
    )


def misplaced(
    model: type[BaseModel], field: str, code: LiteralString, sentence: LiteralString
) -> ValidationError:
    """Return the error of a model's own check that blames one field (as on the wire)."""
    details = InitErrorDetails(type=PydanticCustomError(code, sentence), loc=(field,), input=None)
    # Only an error of this kind can name a field from a check of several.
    return ValidationError.from_exception_data(model.__name__, [details])


class Nothing(Body):
    """No fields: an empty body, or an empty object."""


class UpdateSession(Body):
    """Changes: what is not given stays; `null` removes a name or a phone number."""

    name: Name | None = None
    phone_number: Phone | None = None
    metadata: Metadata = Field(default_factory=dict)


class Activate(Body):
    """How to log in: by QR code, or by a code typed into the phone with this number."""

    pairing_phone_number: Phone | None = None


class SendMessage(Body):
    """A text to send."""

    to: Recipient
    type: Literal["text"]
    text: Text
    quoted_message_id: Visible | None = None
    typing: bool = Field(
        default=False, description="Let the other side see for a while that somebody is typing."
    )
    priority: Annotated[
        Literal["normal", "high"],
        Field(description="`high` overtakes what is queued as `normal`; each keeps its order."),
    ] = "normal"


class ResolveMessage(Body):
    """What is to become of a message whose fate is unknown: `resend` may send it twice."""

    action: Literal["resend", "failed"]


class Query(BaseModel):
    """Query parameters in camelCase, each at most once."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, extra="forbid", hide_input_in_errors=True
    )


class NoQuery(Query):
    """No query parameters."""


class AnyQuery(Query):
    """Whatever a probe appends: none of it matters."""

    model_config = ConfigDict(extra="ignore")


class ListSessions(Query):
    """Which sessions to list."""

    status: Status | None = None
    is_active: Flag | None = None
    limit: Annotated[int, _number(1, 200), BeforeValidator(decimal)] = 50
    offset: Annotated[int, _number(0, 1_000_000_000), BeforeValidator(decimal)] = 0


class QrFormat(Query):
    """How to show the code; without it, `Accept: image/png` chooses the image."""

    format: Literal["json", "png", "raw", "terminal"] | None = None


class ListMessages(Query):
    """Which messages to list, newest first."""

    chat_id: Recipient | None = None
    before: Visible | None = None
    limit: Annotated[int, _number(1, 200), BeforeValidator(decimal)] = 50


class ListConversations(Query):
    """Which chats to list, the most recently active first; `before` is the last one seen."""

    before: Visible | None = None
    limit: Annotated[int, _number(1, 200), BeforeValidator(decimal)] = 50


class ListEvents(Query):
    """Which events to read; `after` is a cursor that an event or an answer carried."""

    after: Visible | None = None
    limit: Annotated[int, _number(1, 500), BeforeValidator(decimal)] = 100
