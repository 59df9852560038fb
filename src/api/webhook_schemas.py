"""What clients may send about webhooks."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.schemas import Body, Query, SessionRef, decimal
from api.webhook_status import DISABLED_TYPE
from sessions.events import EventType

_DAY_SECONDS = 24 * 60 * 60


def _patterns() -> list[str]:
    """Return what a filter may say: `*`, a family such as `session:*`, or one type."""
    families = {
        ":".join(words[:count]) + ":*"
        for words in (type_.split(":") for type_ in (*EventType, DISABLED_TYPE))
        for count in range(1, len(words))
    }
    return sorted({"*", *families, *(type_.value for type_ in EventType), DISABLED_TYPE})


def _known(pattern: str) -> str:
    if pattern not in _patterns():
        sentence = "There is no such event; give a type, or a family such as session:*"
        raise PydanticCustomError("unknown_event", sentence)
    return pattern


# As documented; the server's settings may let more pass, so that they are what checks.
_HOST = r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PORT = r"(:([1-5][0-9]{0,4}|[6-9][0-9]{0,3}))?"
_SHOWN_URL = rf"^https://{_HOST}(\.{_HOST})*{_PORT}([/?][!\x22$-\[\]-~]*)?$"


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        examples=["https://example.com/hook"],
        json_schema_extra={"pattern": _SHOWN_URL},
    ),
]
Pattern = Annotated[
    str, AfterValidator(_known), Field(json_schema_extra={"enum": list(_patterns())})
]
Patterns = Annotated[
    list[Pattern],
    Field(
        min_length=1,
        max_length=50,
        description="Types of events, families of them, or `*`.",
        examples=[["session:message", "message:*"]],
    ),
]


class CreateWebhook(Body):
    """A new endpoint; without `sessionId` it gets the events of all your sessions."""

    url: Url
    events: Patterns = Field(default_factory=lambda: ["*"])
    session_id: SessionRef | None = None


class SessionWebhook(Body):
    """An endpoint that is made with its session."""

    url: Url
    events: Patterns = Field(default_factory=lambda: ["*"])


def _of_url(given: object) -> object:
    return {"url": given} if isinstance(given, str) else given


WithSession = Annotated[
    SessionWebhook, BeforeValidator(_of_url, json_schema_input_type=SessionWebhook | Url)
]
"""An endpoint, or its URL alone for all events."""


class UpdateWebhook(Body):
    """Changes: what is not given stays."""

    url: Url | None = None
    events: Patterns | None = None
    enabled: bool | None = None


class RotateSecret(Body):
    """How long receivers may still know only the older secret."""

    overlap_seconds: Annotated[int, Field(ge=0, le=7 * _DAY_SECONDS)] = _DAY_SECONDS


class ListAttempts(Query):
    """How many attempts to list, the newest first."""

    limit: Annotated[int, Field(ge=1, le=1000), BeforeValidator(decimal)] = 100
