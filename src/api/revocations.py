"""Refusing tokens before their time: one by its id, or all of a subject's older ones."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError, to_json
from starlette.responses import Response

from api.operations import Answer, Call, Operation
from api.schemas import Body, NoQuery, Subject, TokenId, misplaced
from auth.errors import InsufficientScope, RevocationsUnavailable
from auth.principal import Scope
from auth.revocations import Revocation
from sessions.clock import Instant, SystemClock, from_ms, to_ms

AHEAD_MAX = timedelta(minutes=5)
"""An issuer's clock may be so far ahead, and its tokens must be revocable all the same."""


def _moment(text: object) -> object:
    if not isinstance(text, str):
        return text
    code, sentence = "invalid_moment", "Give date, time and time zone, as in 2026-01-05T09:00:00Z"
    try:
        moment = datetime.fromisoformat(text.upper())
        # Cut to what is stored: a restart must not change what is refused.
        exact = from_ms(to_ms(moment)) if moment.tzinfo else None
    except (ValueError, OverflowError):
        exact = None
    if exact is None:
        raise PydanticCustomError(code, sentence)
    if exact > SystemClock().now() + AHEAD_MAX:
        raise PydanticCustomError("too_far_ahead", "At most 5 minutes from now")
    return exact


NotBefore = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "description": "Tokens issued before this are refused; default: now. `iat` has whole "
            "seconds, so that one of the same second counts as older.",
        }
    ),
]


def _two_kinds(schema: dict[str, Any]) -> None:
    """Describe what `Revoke` checks: generators of clients can't read it from a sentence."""
    fields = schema.pop("properties")
    token_id, subject = (fields[name]["anyOf"][0] for name in ("tokenId", "subject"))
    either = {
        "type": schema.pop("type"),
        "additionalProperties": schema.pop("additionalProperties"),
    }
    older = {"subject": subject, "notBefore": fields["notBefore"]}
    schema["oneOf"] = [
        {**either, "properties": {"tokenId": token_id}, "required": ["tokenId"]},
        {**either, "properties": older, "required": ["subject"]},
    ]


class Revoke(Body):
    """One token by its id, or all of a subject's that were issued before a moment, else now."""

    model_config = ConfigDict(json_schema_extra=_two_kinds)

    token_id: TokenId | None = None
    subject: Subject | None = None
    not_before: NotBefore = Field(default_factory=lambda: SystemClock().now())

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.token_id is None and self.subject is None:
            raise misplaced(Revoke, "tokenId", "required", "Give tokenId, or subject")
        if {"token_id", "subject"} <= self.model_fields_set:
            raise misplaced(Revoke, "subject", "not_applicable", "Not beside tokenId")
        if self.subject is None and "not_before" in self.model_fields_set:
            raise misplaced(Revoke, "notBefore", "not_applicable", "Not beside tokenId")
        return self


class Revoked(BaseModel):
    """What is refused from now on, and over restarts."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    token_id: str | SkipJsonSchema[None] = None
    subject: str | SkipJsonSchema[None] = None
    not_before: Instant | SkipJsonSchema[None] = None
    created_at: Instant


async def revoke(call: Call[Revoke, NoQuery]) -> Response:
    """Refuse what the body names from now on, within the caller's tenant; idempotent."""
    if call.principal.sessions is not None:
        message = "The token is narrowed to sessions, and tokens are none. Get one that is not."
        raise InsufficientScope(message)
    body, now = call.body, SystemClock().now()
    not_before: datetime | None = None if body.subject is None else body.not_before
    revocation = Revocation(
        tenant=call.tenant,
        created_at=now,
        token_id=body.token_id,
        subject=body.subject,
        not_before=not_before,
    )
    await call.request.state["revoker"].revoke(revocation)
    answer = Revoked(
        token_id=body.token_id, subject=body.subject, not_before=not_before, created_at=now
    )
    fields = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Response(to_json(fields), 201, media_type="application/json")


OPERATIONS = (
    Operation(
        "POST",
        "/auth/revocations",
        "createRevocation",
        "Refuse a token, or a subject's older ones, from now on",
        revoke,
        {201: Answer("Refused from now on; open connections are closed. Idempotent.", Revoked)},
        (Scope.ADMIN,),
        (RevocationsUnavailable,),
    ),
)
