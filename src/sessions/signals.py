"""What an engine tells about one connection to WhatsApp, in WhatsApp's order.

These are the only words that cross from an adapter into the domain. Each is frozen and travels as
JSON between processes; `kind` tells them apart. Times are Unix milliseconds.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sessions.messages import EngineMessage, MessageStatus


class _Signal(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QrCode(_Signal):
    """A code to scan; the previous one is void. Transient: never logged, never stored."""

    kind: Literal["qr_code"] = "qr_code"
    code: str = Field(repr=False)
    expires_at_ms: int


class QrExhausted(_Signal):
    """Every code of this login attempt was used up unscanned. The connection ends."""

    kind: Literal["qr_exhausted"] = "qr_exhausted"


class Paired(_Signal):
    """The phone accepted the code. The login follows; `Connected` tells when it is complete."""

    kind: Literal["paired"] = "paired"
    jid: str
    lid: str | None = None
    platform: str | None = None


class PairingFailed(_Signal):
    """The login could not be completed. The connection ends."""

    kind: Literal["pairing_failed"] = "pairing_failed"
    reason: Literal["pairing_failed", "passkey_required", "client_outdated"] = "pairing_failed"
    detail: str = ""


class Connected(_Signal):
    """The device is logged in: messages flow. `phone` and the users of the JIDs are digits."""

    kind: Literal["connected"] = "connected"
    jid: str
    phone: str
    lid: str | None = None
    push_name: str | None = None


class Disconnected(_Signal):
    """The connection was lost; the engine connects again by itself (`Connected` follows)."""

    kind: Literal["disconnected"] = "disconnected"
    reason: Literal["stream_lost", "keepalive_lost", "connect_failed"] = "stream_lost"
    detail: str = ""


class KeepAliveRestored(_Signal):
    """WhatsApp answers again after `Disconnected(reason="keepalive_lost")`, on the same stream."""

    kind: Literal["keepalive_restored"] = "keepalive_restored"


class LoggedOut(_Signal):
    """The device is no longer linked and its credentials are gone. The connection ends."""

    kind: Literal["logged_out"] = "logged_out"
    code: int | None = None
    by_phone: bool = False


class StreamReplaced(_Signal):
    """Another program logged in with these credentials. The connection ends."""

    kind: Literal["stream_replaced"] = "stream_replaced"


class TemporaryBan(_Signal):
    """WhatsApp banned the account until `until_ms` (None: it did not say). The connection ends."""

    kind: Literal["temporary_ban"] = "temporary_ban"
    code: int
    until_ms: int | None = None


class ClientOutdated(_Signal):
    """WhatsApp refuses this version of the engine. The connection ends."""

    kind: Literal["client_outdated"] = "client_outdated"


class ConnectFailed(_Signal):
    """WhatsApp refused the login for another reason. The connection ends; it may be tried later."""

    kind: Literal["connect_failed"] = "connect_failed"
    code: int | None = None
    detail: str = ""


class RestartTimedOut(_Signal):
    """A stream restart (515) did not come up in time. The connection ends; try again."""

    kind: Literal["restart_timed_out"] = "restart_timed_out"


class CredentialsCorrupted(_Signal):
    """The stored credentials can't be used. The connection ends; `forget` and pair again."""

    kind: Literal["credentials_corrupted"] = "credentials_corrupted"
    detail: str = ""


class EngineStopped(_Signal):
    """The engine process died or was recycled. The connection ends; open it again."""

    kind: Literal["engine_stopped"] = "engine_stopped"
    planned: bool = False
    detail: str = ""


class MessageReceived(_Signal):
    """A message in one of the account's chats, from others or from its own other devices."""

    kind: Literal["message_received"] = "message_received"
    message: EngineMessage = Field(repr=False)


class HistoryReceived(_Signal):
    """Older messages, which the phone told the new device: stored, but no news to anyone."""

    kind: Literal["history_received"] = "history_received"
    messages: tuple[EngineMessage, ...] = Field(repr=False)


class MessageUndecryptable(_Signal):
    """A message came that can't be read here (yet); WhatsApp may deliver it again."""

    kind: Literal["message_undecryptable"] = "message_undecryptable"
    whatsapp_id: str
    chat: str


class Receipt(_Signal):
    """The other side got, read or played messages that this account sent."""

    kind: Literal["receipt"] = "receipt"
    whatsapp_ids: tuple[str, ...]
    chat: str
    status: Literal[MessageStatus.DELIVERED, MessageStatus.READ, MessageStatus.PLAYED]
    timestamp_ms: int


Signal = Annotated[
    QrCode
    | QrExhausted
    | Paired
    | PairingFailed
    | Connected
    | Disconnected
    | KeepAliveRestored
    | LoggedOut
    | StreamReplaced
    | TemporaryBan
    | ClientOutdated
    | ConnectFailed
    | RestartTimedOut
    | CredentialsCorrupted
    | EngineStopped
    | MessageReceived
    | HistoryReceived
    | MessageUndecryptable
    | Receipt,
    Field(discriminator="kind"),
]
SIGNAL: TypeAdapter[Signal] = TypeAdapter(Signal)

FINAL = (
    QrExhausted,
    PairingFailed,
    LoggedOut,
    StreamReplaced,
    TemporaryBan,
    ClientOutdated,
    ConnectFailed,
    RestartTimedOut,
    CredentialsCorrupted,
    EngineStopped,
)
"""After one of these a connection yields nothing more: `signals()` ends right behind it."""

TRANSIENT = (QrCode, QrExhausted)
"""Not worth waiting for: an engine does not hold anything back until these are acknowledged."""
