"""What a back end asks for by a job: a message to send, read and checked."""

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api.schemas import Text
from sessions.errors import InvalidRecipient
from sessions.messages import parse_recipient


class Unreadable(Exception):
    """The job can't be understood; the text says why and what to do, without showing it."""


def _recipient(value: object) -> object:
    try:
        return parse_recipient(str(value)) if isinstance(value, str | int) else value
    except InvalidRecipient:
        # Its own sentence shows the number, which must not reach a log.
        message = "a phone number with country code or a JID is expected"
        raise ValueError(message) from None


Recipient = Annotated[str, BeforeValidator(_recipient)]
Name = Annotated[str, Field(min_length=1, max_length=128)]


class SendOrder(BaseModel):
    """A message that a back end wants sent, from a session or from a chatbot's session."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", coerce_numbers_to_str=True, hide_input_in_errors=True
    )

    session_id: Annotated[Name | None, Field(validation_alias="sessionId")] = None
    chatbot_id: Annotated[Name | None, Field(validation_alias="chatbotId")] = None
    to: Annotated[Recipient, Field(validation_alias=AliasChoices("to", "recipient", "phone"))]
    text: Annotated[Text, Field(validation_alias=AliasChoices("message", "text", "content"))]


def read_order(data: Any) -> SendOrder:
    """Return what is to be sent.

    Raises:
        Unreadable: it is no message to send.
    """
    if not isinstance(data, dict):
        raise Unreadable("The job's data is no object. Add it with {sessionId, to, message}.")
    given = {name: value for name, value in data.items() if value is not None}
    try:
        order = SendOrder.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults[:5])
        raise Unreadable(f"{told}. Correct it and add the job again.") from None
    if order.session_id is None and order.chatbot_id is None:
        raise Unreadable("sessionId: is missing. Give it, or chatbotId, and add the job again.")
    return order


def idempotency_key(queue: str, job_id: str, *, made_at_ms: int) -> str:
    """Return what makes the same job, run again, the same message.

    Numbers are given by BullMQ itself and begin again at 1 when Redis has lost its data: with them
    counts also when the job was made.
    """
    unique = f"{job_id}@{made_at_ms}" if job_id.isdecimal() else job_id
    return f"bull:{queue}:{unique}"
