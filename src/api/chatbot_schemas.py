"""What chatbot back ends send, and what they are answered."""

import re
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from api.schemas import Body, Recipient, SessionRef, Text, misplaced
from sessions.clock import Instant
from sessions.messages import MessageStatus
from sessions.status import Status, UserAction

_ID = r"[^\x00-\x1f\x7f]{1,128}"


def _chatbot_id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return str(value)
    if isinstance(value, str) and re.fullmatch(_ID, value):
        return value
    raise PydanticCustomError(
        "invalid_chatbot_id", "1 to 128 characters without control characters, or a whole number"
    )


ChatbotId = Annotated[
    str,
    BeforeValidator(_chatbot_id),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_ID}$"},
                {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
            ],
            "description": "The back end's own id of a chatbot.",
            "example": "42",
        }
    ),
]


def _either(schema: dict[str, Any]) -> None:
    """Describe what `OneSession` checks: generators of clients can't read it from a sentence."""
    named = {name: schema["properties"][name]["anyOf"] for name in ("sessionId", "chatbotId")}
    schema["anyOf"] = [
        {"properties": {name: {"anyOf": choices[:-1]}}, "required": [name]}
        for name, choices in named.items()
    ]


class OneSession(Body):
    """A session, by its own id or by its chatbot's."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=_either)

    session_id: SessionRef | None = None
    chatbot_id: ChatbotId | None = None

    @model_validator(mode="after")
    def _some_name(self) -> Self:
        if self.session_id is None and self.chatbot_id is None:
            sentence = "Give a sessionId or a chatbotId"
            raise misplaced(type(self), "sessionId", "no_session_named", sentence)
        return self


class Disconnect(OneSession):
    """A session to disconnect; with `logout`, its phone is unlinked and the next code is new."""

    logout: bool = False


class OneChatbot(Body):
    """A chatbot whose session is asked for."""

    model_config = ConfigDict(extra="ignore")

    chatbot_id: ChatbotId


class SendText(Body):
    """A text to send."""

    model_config = ConfigDict(extra="ignore")

    session_id: SessionRef
    to: Recipient
    message: Text


class ChatbotAnswer(BaseModel):
    """What every answer has."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    success: bool = True


class ChatbotLogin(ChatbotAnswer):
    """A session that connects, or waits for its code to be scanned."""

    session_id: str
    chatbot_id: str | None
    status: Status
    qr_code: str | None = Field(repr=False, description="PNG as a data URL, if there is one now.")
    message: str


class ChatbotQr(ChatbotAnswer):
    """The code to scan now; `qr` is the same as `qrCode`."""

    session_id: str
    qr_code: str = Field(repr=False, description="PNG as a data URL.")
    qr: str = Field(repr=False)
    expires_at: Instant
    attempt: int


class ChatbotSession(ChatbotAnswer):
    """How a session is."""

    session_id: str
    chatbot_id: str | None
    status: Status
    connected: bool
    phone_number: str | None
    message: str
    user_action: UserAction


class ChatbotMessage(ChatbotAnswer):
    """The message is kept, and is its own job: it will be sent in order."""

    message_id: str
    job_id: str
    status: MessageStatus
