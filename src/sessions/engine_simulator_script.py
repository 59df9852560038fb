"""What the simulator does: by itself (the script), and when it is told to (faults)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from sessions.clock import to_ms
from sessions.errors import ReachOutLocked, SendFailed, SendThrottled
from sessions.messages import WireModel
from sessions.signals import (
    ClientOutdated,
    ConnectFailed,
    CredentialsCorrupted,
    EngineStopped,
    LoggedOut,
    PairingFailed,
    RestartTimedOut,
    Signal,
    StreamReplaced,
    TemporaryBan,
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a phone does by itself; None switches a step off."""

    qr_lifetimes_seconds: Sequence[float]
    login_seconds: float
    auto_scan_seconds: float | None
    delivered_after_seconds: float | None
    read_after_seconds: float | None
    send_timeout_seconds: float
    unknown_prefix: str
    """Numbers that start with this are not on WhatsApp."""


class FaultKind(StrEnum):
    """What can be made to go wrong; numbers are WhatsApp's stream errors."""

    RESTART = "515"
    RESTART_TIMEOUT = "515_timeout"
    UNAUTHORIZED = "401"
    LOGGED_OUT = "logged_out"
    SERVICE_UNAVAILABLE = "503"
    STREAM_LOST = "stream_lost"
    KEEPALIVE_LOST = "keepalive_lost"
    BAN = "ban"
    CLIENT_OUTDATED = "client_outdated"
    CONFLICT = "conflict"
    CORRUPTED = "corrupted"
    ENGINE_CRASH = "engine_crash"
    PAIRING_FAILED = "pairing_failed"
    PASSKEY_REQUIRED = "passkey_required"
    SEND_FAIL = "send_fail"
    SEND_HANG = "send_hang"
    SEND_THROTTLED = "send_throttled"
    REACH_OUT_LOCKED = "reach_out_locked"
    CONNECT_REFUSED = "connect_refused"
    ENGINE_UNAVAILABLE = "engine_unavailable"


class Fault(WireModel):
    """One fault: `seconds` is how long a passing one lasts, `count` how many sends it meets."""

    kind: FaultKind
    seconds: float | None = Field(default=None, ge=0, le=86_400, allow_inf_nan=False)
    count: int = Field(default=1, ge=1, le=1000)

    def lasts(self, usual_seconds: float) -> float:
        """Return how long the fault lasts, in seconds."""
        return usual_seconds if self.seconds is None else self.seconds


REFUSALS: dict[FaultKind, type[SendFailed]] = {
    FaultKind.SEND_FAIL: SendFailed,
    FaultKind.SEND_THROTTLED: SendThrottled,
    FaultKind.REACH_OUT_LOCKED: ReachOutLocked,
}
SEND_FAULTS = frozenset({*REFUSALS, FaultKind.SEND_HANG})
OPEN_FAULTS = frozenset({FaultKind.CONNECT_REFUSED, FaultKind.ENGINE_UNAVAILABLE})
PASSING_FAULTS = frozenset(
    {
        FaultKind.RESTART,
        FaultKind.SERVICE_UNAVAILABLE,
        FaultKind.STREAM_LOST,
        FaultKind.KEEPALIVE_LOST,
    }
)
"""The connection survives these; every other fault ends it."""

_ENDINGS: dict[FaultKind, Signal] = {
    FaultKind.RESTART_TIMEOUT: RestartTimedOut(),
    FaultKind.UNAUTHORIZED: LoggedOut(code=401),
    FaultKind.LOGGED_OUT: LoggedOut(code=401, by_phone=True),
    FaultKind.CLIENT_OUTDATED: ClientOutdated(),
    FaultKind.CONFLICT: StreamReplaced(),
    FaultKind.CORRUPTED: CredentialsCorrupted(detail="simulated"),
    FaultKind.ENGINE_CRASH: EngineStopped(detail="simulated"),
    FaultKind.PAIRING_FAILED: PairingFailed(detail="simulated"),
    FaultKind.PASSKEY_REQUIRED: PairingFailed(reason="passkey_required", detail="simulated"),
    FaultKind.CONNECT_REFUSED: ConnectFailed(code=409, detail="simulated"),
}


def ban_until(until: datetime) -> TemporaryBan:
    """Return WhatsApp's refusal of an account that is banned for a while."""
    return TemporaryBan(code=101, until_ms=to_ms(until))


def ending(fault: Fault, now: datetime) -> Signal:
    """Return the final signal of a fault that ends the connection."""
    if fault.kind is FaultKind.BAN:
        return ban_until(now + timedelta(seconds=fault.lasts(3600)))
    return _ENDINGS[fault.kind]
