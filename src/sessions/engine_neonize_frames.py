"""What the server and a neonize worker process say to each other, as JSON frames.

A *line* is one session's client in a worker, numbered by the server. The server sends requests,
each answered by one `Answer` with its `call`, and `Acknowledge`; the worker sends `Ready` or
`Refused` once, then answers and `Raised`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sessions.engine import ChatState
from sessions.messages import OutgoingText, Sent
from sessions.signals import Signal

Failure = Literal[
    "not_on_whatsapp",
    "reach_out_locked",
    "send_throttled",
    "not_connected",
    "no_name",
    "send_failed",
    "send_uncertain",
    "refused",
    "broken",
]


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OpenLine(_Frame):
    """Start a client on a store file; answered once it may be used, long before `Connected`."""

    op: Literal["open"] = "open"
    call: int = 0
    line: int
    store: str
    pairing: bool
    """The store holds no device: the client will show QR codes, and never return from Go."""


class CloseLine(_Frame):
    """Disconnect in order, hand over what WhatsApp delivered already, stop the client."""

    op: Literal["close"] = "close"
    call: int = 0
    line: int
    keep: bool
    """Nobody takes signals any more: keep what comes beside the store, for the next line."""


class SendText(_Frame):
    """Answered with `sent` when WhatsApp has the message."""

    op: Literal["send"] = "send"
    call: int = 0
    line: int
    message: OutgoingText = Field(repr=False)


class MarkRead(_Frame):
    """Tell a chat's other side, or with a group its member `sender`, what was read."""

    op: Literal["mark_read"] = "mark_read"
    call: int = 0
    line: int
    chat: str
    sender: str | None
    whatsapp_ids: tuple[str, ...]


class ShowPresence(_Frame):
    """Show the account as online or not."""

    op: Literal["show_presence"] = "show_presence"
    call: int = 0
    line: int
    available: bool


class ShowTyping(_Frame):
    """Show in a chat that somebody is typing, or has stopped."""

    op: Literal["show_typing"] = "show_typing"
    call: int = 0
    line: int
    chat: str
    state: ChatState


class PairPhone(_Frame):
    """Answered with `code`."""

    op: Literal["pair_phone"] = "pair_phone"
    call: int = 0
    line: int
    phone: str = Field(repr=False)


class LogOut(_Frame):
    """Unlink the device at WhatsApp, then stop the client."""

    op: Literal["logout"] = "logout"
    call: int = 0
    line: int


class Measure(_Frame):
    """Answered with the load; shows that the worker is alive."""

    op: Literal["measure"] = "measure"
    call: int = 0


class Acknowledge(_Frame):
    """Everything raised on this line up to `sequence` is committed. Not answered."""

    op: Literal["acknowledge"] = "acknowledge"
    call: int = 0
    line: int
    sequence: int


Command = SendText | MarkRead | ShowPresence | ShowTyping | PairPhone | LogOut
"""What a running client is asked to do."""
Request = Command | OpenLine | CloseLine | Measure | Acknowledge
REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="op")])


class Load(_Frame):
    """How worn a worker is: both figures only grow, as the library gives nothing back."""

    descriptors: int
    descriptors_left: int
    starts: int
    stuck: int
    """Clients that were stopped but never came back from Go."""
    quiet_seconds: dict[int, float]
    """Per line, how long WhatsApp sent nothing."""


class Answer(_Frame):
    """The result of the request with the same `call`; `failure` None means it was done."""

    op: Literal["answer"] = "answer"
    call: int
    failure: Failure | None = None
    detail: str = ""
    sent: Sent | None = None
    code: str | None = Field(default=None, repr=False)
    code_ends_at_ms: int = 0
    load: Load | None = None


class Ready(_Frame):
    """The library is loaded; the worker takes requests."""

    op: Literal["ready"] = "ready"


class Refused(_Frame):
    """The library can't be used here; the worker ends."""

    op: Literal["refused"] = "refused"
    reason: str


class Raised(_Frame):
    """A signal on a line. The line waits for its `Acknowledge` unless it is transient."""

    op: Literal["raised"] = "raised"
    line: int
    sequence: int
    signal: Signal = Field(repr=False)


Notice = Answer | Ready | Refused | Raised
NOTICE: TypeAdapter[Notice] = TypeAdapter(Annotated[Notice, Field(discriminator="op")])
