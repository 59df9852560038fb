"""The bodies of the control API's requests."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .presence import Presence, Typing

Phone = Annotated[str, Field(pattern=r"^\d{5,15}$")]
Seconds = Annotated[float, Field(ge=0, le=3600)]


class Command(BaseModel):
    """A request body; unknown fields are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class OpenAccount(Command):
    phone: Phone
    name: str | None = None
    push_name: str | None = Field(None, min_length=1)
    delivery_receipts: bool | None = None


class Scan(Command):
    qr: str
    phone: Phone
    name: str | None = None


class EnterCode(Command):
    code: str
    phone: Phone
    name: str | None = None


class WriteText(Command):
    sender: Phone = Field(alias="from")
    to: Phone
    text: str
    name: str | None = None


class OldMessage(Command):
    """A message from before the link; without a time it is a minute older than the next."""

    text: str
    from_me: bool = False
    id: str | None = None
    timestamp_seconds: int | None = None


class OldConversation(Command):
    """A conversation with a contact, whose messages go from the oldest to the newest."""

    chat: Phone
    name: str | None = None
    unread: int = Field(0, ge=0)
    messages: list[OldMessage] = Field(default_factory=list)


class SendHistory(Command):
    """The phone's history, for its linked devices now, or for each that is linked from now on."""

    phone: Phone
    conversations: list[OldConversation]
    type: Literal["initial", "recent", "full", "on_demand"] = "initial"
    to: Literal["linked", "new"] = "linked"


class CreateGroup(Command):
    subject: str
    members: list[Phone] = Field(min_length=1)


class WriteToGroup(Command):
    sender: Phone = Field(alias="from")
    text: str


class Stanza(Command):
    """A stanza as JSON; attributes with an "@" are addresses, content is text or stanzas."""

    tag: str
    attrs: dict[str, str] = Field(default_factory=dict)
    content: "str | list[Stanza] | None" = None


class SendStanza(Command):
    """Any stanza of the server to the linked devices of an account that are online."""

    to: Phone
    stanza: Stanza


class SendReceipts(Command):
    """`from` has got or read messages that the companion of `to` has sent."""

    sender: Phone = Field(alias="from")
    to: Phone
    ids: list[str] = Field(min_length=1)
    type: Literal["delivered", "read", "played"] = "read"


class ShowPresence(Command):
    """`from` is there, has gone, or is writing to `to`, whose linked devices see it."""

    sender: Phone = Field(alias="from")
    to: Phone
    state: Presence | Typing
    last_seen_seconds: int | None = None


class FailLogins(Command):
    kind: Literal["login_failure"]
    reason: int
    phone: Phone | None = None
    times: int = Field(1, ge=1)


class BanTemporarily(Command):
    """The next login gets 402; codes 101 to 104 and 106 are known."""

    kind: Literal["temporary_ban"]
    phone: Phone | None = None
    code: int = 101
    expire_seconds: int = 3600


class FailPairings(Command):
    """The next connection of a device that is not linked yet gets `<failure reason=...>`."""

    kind: Literal["pairing_failure"]
    reason: int


class Drop(Command):
    kind: Literal["drop"]
    phone: Phone | None = None


class StreamError(Command):
    """`<stream:error code=...>` to the companions of an account."""

    kind: Literal["stream_error"]
    phone: Phone
    code: int


class Kick(Command):
    kind: Literal["kick"]
    phone: Phone
    device: int | None = None


class RefuseConnections(Command):
    kind: Literal["refuse_connections"]
    seconds: Seconds


class DelayAcks(Command):
    """Acks and delivery receipts for messages of companions come late; 0 ends it."""

    kind: Literal["slow_acks"]
    seconds: Seconds


class LimitQrRefs(Command):
    """How many QR codes a device is offered; with fewer than 6 each shows for 20 seconds."""

    kind: Literal["qr_refs"]
    count: int = Field(ge=1, le=6)


class SpoilMessages(Command):
    """The next messages that a phone writes cannot be read, until they are asked for again."""

    kind: Literal["spoil_messages"]
    phone: Phone
    count: int = Field(1, ge=1)


class LoseAcknowledgements(Command):
    """What companions acknowledge is delivered again at their next logins, until `clear`."""

    kind: Literal["lose_acknowledgements"]


class Silence(Command):
    """Connections stay open and nothing goes through, as over a line that is dead without a word.

    Those of an account that are open now; without `phone` all, and those that open meanwhile.
    What both sides have sent arrives when it is over, unless the connection has ended by then.
    """

    kind: Literal["silence"]
    seconds: Seconds
    phone: Phone | None = None


class RejectMessages(Command):
    """The next messages of an account's companions (or of any) get `<ack error=...>`.

    `send_message` of neonize 0.5.2 then raises SendMessageError("server returned error 463"),
    with the number as it is given here (measured for 463, 479 and 503); nobody gets the message.
    463 is the reach-out time lock, 479 an answer to a stanza that the server calls invalid.
    """

    kind: Literal["reject_message"]
    error: int = Field(463, ge=400, le=599)
    phone: Phone | None = None
    count: int = Field(1, ge=1)


class ClearFaults(Command):
    kind: Literal["clear"]


Fault = Annotated[
    FailLogins
    | FailPairings
    | BanTemporarily
    | Drop
    | StreamError
    | Kick
    | RefuseConnections
    | DelayAcks
    | LimitQrRefs
    | SpoilMessages
    | LoseAcknowledgements
    | Silence
    | RejectMessages
    | ClearFaults,
    Field(discriminator="kind"),
]
