"""What was used: messages in and out per session and day, for whoever writes the bills."""

import contextlib
import re
from datetime import date
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from api.operations import Answer, Call, Operation, json_response
from api.schemas import Nothing, Query, SessionRef, decimal, misplaced
from auth.principal import Scope
from sessions.errors import Unavailable
from sessions.session import UsagePage, UsageQuery


def _day(text: object) -> object:
    # Otherwise moments and numbers of seconds would pass as days.
    if isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(text)
    raise PydanticCustomError("date_parsing", "Give a day as YYYY-MM-DD, for example 2026-03-31")


def _a_day(text: str, **more: Any) -> Any:
    return Field(description=text, json_schema_extra={"format": "date"}, **more)


Day = Annotated[date, BeforeValidator(_day)]


class ListUsage(Query):
    """Which days to tell of, both ends included; by default the last thirty."""

    first: Annotated[Day | None, _a_day("The first day, in UTC.", alias="from")] = None
    last: Annotated[Day | None, _a_day("The last day, in UTC; today by default.", alias="to")] = (
        None
    )
    session_id: Annotated[
        SessionRef | None, Field(description="Only this session: its `id` or `sessionId`.")
    ] = None
    limit: Annotated[
        int, Field(ge=1, le=500, description="1 to 500."), BeforeValidator(decimal)
    ] = 100
    offset: Annotated[int, Field(ge=0, le=1_000_000_000), BeforeValidator(decimal)] = 0

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.first is not None and self.last is not None and self.first > self.last:
            raise misplaced(type(self), "from", "after_end", "This day is after `to`")
        return self


async def list_(call: Call[Nothing, ListUsage]) -> Response:
    """Return what the sessions used that the token may see, also those that are gone."""
    asked = call.query.model_dump(exclude={"session_id"})
    query = UsageQuery(**asked, ref=call.query.session_id, only=call.principal.sessions)
    return json_response(await call.manager.usage(call.tenant, query))


class UsageOperation(Operation):
    """Back ends that are billed for what they use have a key instead of tokens."""

    takes_api_key = True


OPERATIONS = (
    UsageOperation(
        "GET",
        "/usage",
        "listUsage",
        "Read how many messages came in and went out, by session and day",
        list_,
        {200: Answer("A page of days, the earliest first, and the sums of all.", UsagePage)},
        (Scope.SESSIONS_READ,),
        (Unavailable,),
    ),
)
