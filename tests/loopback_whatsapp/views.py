"""The control API's answers, as tests see them."""

from pydantic import BaseModel


class ReceivedMessage(BaseModel):
    """A message as a phone shows it; `sender` is a phone number, `group` a group's id."""

    id: str
    sender: str
    text: str
    timestamp_seconds: int
    group: str | None


class Acknowledgement(BaseModel):
    """A receipt that a phone got for its own messages; type "" means delivered."""

    sender: str
    ids: list[str]
    type: str


class ReadMark(BaseModel):
    """Messages of `sender` that a companion has marked as read, in a `group` or between two."""

    sender: str
    ids: list[str]
    group: str | None


class CompanionState(BaseModel):
    """A linked device; `queued` counts the stanzas that it has not acknowledged.

    `push_name` is the one it has given with its presence.
    """

    device: int
    online: bool
    queued: int
    logins: int
    prekeys: int
    push_name: str | None


class AccountState(BaseModel):
    """All there is to know about an account.

    `shown` is what its companions have let others see, in order: "available", "unavailable",
    and with a phone number or group id "composing ...", "recording ...", "paused ...".
    """

    phone: str
    name: str
    lid: str
    companions: list[CompanionState]
    received: list[ReceivedMessage]
    acknowledged: list[Acknowledgement]
    read_marks: list[ReadMark]
    shown: list[str]
    undecryptable: list[str]
