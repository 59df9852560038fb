"""What a client may ask over Socket.IO, and the answers it gets through the acknowledgement."""

from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from sessions.clock import Instant
from sessions.ids import SessionName
from sessions.messages import Problem
from sessions.status import Status, UserAction

RecoveryReason = Literal["no_cursor", "malformed", "wrong_log", "future", "too_old", "too_far"]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", alias_generator=to_camel)


class SubscribeSession(_Request):
    """Join a session's room; `after` is the cursor of the last event that the client has seen."""

    session_id: str = Field(min_length=1, max_length=64, description="The session's name or id.")
    after: str | None = Field(default=None, max_length=256)


class UnsubscribeSession(_Request):
    """Leave a session's room."""

    session_id: str = Field(min_length=1, max_length=64, description="The session's name or id.")


class AuthRefresh(_Request):
    """Go on with a newer token of the same subject and tenant."""

    token: str = Field(min_length=1, repr=False)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    ok: Literal[True] = True


class ShownQr(BaseModel):
    """The QR code that can be scanned now; `qr` is a PNG as data URL."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    qr: str = Field(repr=False)
    code: str = Field(repr=False)
    pairing_code: str | None = Field(default=None, repr=False)
    attempt: int
    max_attempts: int
    expires_at: Instant


class Subscribed(_Answer):
    """The session as of `cursor`; every event after it follows, behind what was missed.

    `reason`, `message` and `user_action` explain `status`. `recovered` is true only if `after` was
    given and nothing behind it is missing; else `recovery_reason` tells why.
    """

    session_id: SessionName
    status: Status
    reason: str
    message: str
    user_action: UserAction
    qr: ShownQr | None = None
    cursor: str
    recovered: bool
    recovery_reason: RecoveryReason | None = None


class Unsubscribed(_Answer):
    """The room is left."""

    session_id: SessionName


class Refreshed(_Answer):
    """Until when the connection may last now."""

    subject: str
    tenant: str
    expires_at: Instant


class Failed(BaseModel):
    """A command was not carried out, or the token has ended and the connection with it.

    `code` is for programs, `message` for people.
    """

    model_config = ConfigDict(frozen=True)

    ok: Literal[False] = False
    error: Problem


class CommandRefused(Exception):
    """The server can't do that. See the message."""

    code: ClassVar[str] = "refused"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((type(self).__doc__ or "").split()))

    @property
    def message(self) -> str:
        """One sentence for a person, with the next step."""
        return str(self)


class InvalidPayload(CommandRefused):
    """The event's data is not what this event takes. See /asyncapi.json."""

    code = "invalid_payload"


class UnknownEvent(CommandRefused):
    """There is no such event. Known are subscribe:session, unsubscribe:session, auth:refresh."""

    code = "unknown_event"


class RateLimited(CommandRefused):
    """Too many events in too short a time. Send fewer, and this one again in a second."""

    code = "rate_limited"


class TooManySubscriptions(CommandRefused):
    """This connection has too many subscriptions. Unsubscribe some, or open another connection."""

    code = "too_many_subscriptions"


class TooManyConnections(CommandRefused):
    """This subject has too many connections. Close some, then connect again."""

    code = "too_many_connections"


class TokenMismatch(CommandRefused):
    """The new token is another subject's or tenant's. Connect again with it instead."""

    code = "token_mismatch"


class TimedOut(CommandRefused):
    """The server did not get it done in time. Try again in a few seconds."""

    code = "unavailable"


RequestT = TypeVar("RequestT", bound=_Request)


def parse(model: type[RequestT], arguments: list[Any]) -> RequestT:
    """Read an event's arguments: exactly one object, as the model has it.

    Raises:
        InvalidPayload: they are something else; the message names the field, not its value.
    """
    if len(arguments) != 1 or not isinstance(arguments[0], dict):
        fields = ", ".join(field.alias or name for name, field in model.model_fields.items())
        message = f"Expected one object as the event's data, with {fields}."
        raise InvalidPayload(message)
    try:
        return model.model_validate(arguments[0])
    except ValidationError as error:
        raise InvalidPayload(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part)[:64] for part in first["loc"])
    return f"{where}: {first['msg']}."
