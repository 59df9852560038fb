"""What a foreign QR microservice may post: lenient in what is beside, strict in what counts."""

import time
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api.schemas import TEXT_CHARACTERS, Body, Recipient, SessionRef, Visible
from sessions.messages import (
    GROUP_SERVER,
    LID_SERVER,
    PHONE_SERVER,
    EngineMessage,
    MessageType,
    bare,
    phone_digits,
)

_SECONDS_MOST = 10**11
"""Greater numbers are milliseconds: as seconds it would be the year 5138."""
_TYPES: dict[str, MessageType] = {
    **{known: known for known in get_args(MessageType)},
    "chat": "text",
    "conversation": "text",
    "extendedTextMessage": "text",
    "ptt": "audio",
    "vcard": "contact",
}


def _without_device(jid: object) -> object:
    return bare(jid) if isinstance(jid, str) and "@" in jid else jid


def _moment_ms(value: int | float | str) -> int:
    if isinstance(value, str):
        return _read_ms(value)
    if not 0 < value < 10**14:
        sentence = "Give Unix milliseconds, or ISO 8601 with a zone"
        raise PydanticCustomError("invalid_timestamp", sentence)
    return round(value if value > _SECONDS_MOST else value * 1000)


def _read_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    sentence = "Give Unix milliseconds, or ISO 8601 with a zone"
    raise PydanticCustomError("invalid_timestamp", sentence)


Address = Annotated[Recipient, BeforeValidator(_without_device)]


class ServiceEvent(Body):
    """What happened to a session at the service; `data` is read with goodwill."""

    model_config = ConfigDict(extra="ignore")

    session_id: SessionRef
    event: Literal["qr", "connected", "disconnected"]
    data: dict[str, Any] | str | None = Field(default=None, repr=False)


class ServiceMessage(Body):
    """A message that came in; `chatId` and `author` only where they differ from `from`."""

    model_config = ConfigDict(extra="ignore")

    session_id: SessionRef
    from_: Annotated[Address, Field(alias="from")]
    message: Annotated[str | None, Field(max_length=TEXT_CHARACTERS, repr=False)]
    message_id: Visible
    timestamp: Annotated[
        int | float | str | None,
        AfterValidator(lambda value: None if value is None else _moment_ms(value)),
        Field(description="Unix milliseconds, seconds, or ISO 8601; without it, now."),
    ] = None
    type: Annotated[str, Field(max_length=64)] = "text"
    chat_id: Address | None = None
    author: Address | None = None
    phone: str | None = None
    lid: str | None = None
    push_name: Annotated[str | None, Field(max_length=200)] = None
    from_me: bool = False
    is_group: bool | None = None
    quoted_message_id: Visible | None = None


class Taken(BaseModel):
    """It is committed, and need not be posted again."""

    success: bool = True


def heard(body: ServiceMessage) -> EngineMessage:
    """Return a posted message as an engine reports it."""
    chat = body.chat_id or body.from_
    sender = body.author or body.from_
    other = chat if body.from_me else sender
    return EngineMessage(
        whatsapp_id=body.message_id,
        chat=chat,
        sender=sender,
        phone=_user(other, PHONE_SERVER) or (phone_digits(body.phone) if body.phone else None),
        lid=_user(other, LID_SERVER) or (_digits(body.lid) if body.lid else None),
        from_me=body.from_me,
        is_group=body.is_group or chat.endswith(f"@{GROUP_SERVER}"),
        push_name=body.push_name,
        type=_TYPES.get(body.type, "unknown"),
        # No caption, as the word of services that know no null for a text.
        text=body.message or (None if _TYPES.get(body.type) != "text" else ""),
        quoted_message_id=body.quoted_message_id,
        timestamp_ms=int(body.timestamp or time.time() * 1000),
    )


def _user(jid: str, server: str) -> str | None:
    user, _, found = jid.partition("@")
    return user if found == server else None


def _digits(lid: str) -> str | None:
    user = lid.partition("@")[0].partition(":")[0]
    return user if user.isascii() and user.isdecimal() else None
