"""What each end of a connection means: the status, what is said about it, and what comes next."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sessions.clock import from_ms, iso
from sessions.signals import (
    ClientOutdated,
    ConnectFailed,
    CredentialsCorrupted,
    EngineStopped,
    LoggedOut,
    PairingFailed,
    QrExhausted,
    RestartTimedOut,
    Signal,
    StreamReplaced,
    TemporaryBan,
)
from sessions.status import REASONS, Status


class Next(Enum):
    """What the runner does after a connection has ended."""

    STAY = auto()
    """Wait for a person."""
    AT_ONCE = auto()
    BACK_OFF = auto()
    REPLACED = auto()
    """Once more after a pause, unless it happened too often."""


@dataclass(frozen=True)
class Ending:
    """One row of the table. `status` None: keep trying (RECONNECTING when linked)."""

    reason: str
    next: Next
    status: Status | None = None
    detail: str | None = None
    credentials_gone: bool = False
    """The engine's store must hold nothing of this device any more."""
    auth_corrupted: bool = False
    """Reported as `session:auth:corrupted` too."""
    error_code: str | int | None = None
    """Reported as `session:error` too, with this code."""
    until_ms: int | None = None
    """When WhatsApp lets the account in again; the gateway connects then by itself."""
    counted: bool = False
    """Ends the session when it comes too often; what only waits for a network does not."""

    @property
    def is_last(self) -> bool:
        """Whether nothing follows until a person asks for it."""
        return self.next is Next.STAY and self.until_ms is None

    @property
    def message(self) -> str:
        """The sentence that status and events carry."""
        return self.detail or REASONS[self.reason].message


_FIXED: dict[type, Ending] = {
    ClientOutdated: Ending(
        "client_outdated", Next.STAY, Status.FAILED, error_code="client_outdated"
    ),
    CredentialsCorrupted: Ending(
        "credentials_corrupted", Next.STAY, Status.FAILED, auth_corrupted=True
    ),
    StreamReplaced: Ending("stream_replaced", Next.REPLACED),
    RestartTimedOut: Ending("restart_timeout", Next.BACK_OFF, error_code=515, counted=True),
}


def ending_of(signal: Signal, *, qr_attempts: int) -> Ending:
    """Return what a final signal means; `qr_attempts` is the limit that its sentence names."""
    match signal:
        case QrExhausted():
            return _failed("qr_exhausted", _exhausted_text(qr_attempts))
        case PairingFailed(reason=reason):
            return _FIXED[ClientOutdated] if reason == "client_outdated" else _failed(reason)
        case TemporaryBan():
            return _banned(signal)
        case LoggedOut():
            return _logged_out(signal)
        case EngineStopped() | ConnectFailed():
            return _tried_again(signal)
    return _FIXED[type(signal)]


def conflict() -> Ending:
    """Return what it means when others take the stream again and again."""
    return Ending("stream_replaced", Next.STAY, Status.CONFLICT, error_code="stream_replaced")


def gateway_fault() -> Ending:
    """Return what a failure of the gateway's own means for the session that met it."""
    return Ending("gateway_fault", Next.BACK_OFF, counted=True, error_code="gateway_fault")


def engine_unavailable() -> Ending:
    """Return what it means when no connection could be opened at all."""
    return Ending("engine_unavailable", Next.BACK_OFF)


def error_515(ending: Ending) -> dict[str, Any]:
    """Return the body of `session:error:515`."""
    body: dict[str, Any] = {"error": {"code": 515, "message": ending.message}}
    if ending.until_ms is None:
        return body
    return {**body, "until": iso(from_ms(ending.until_ms))}


def _failed(reason: str, detail: str | None = None) -> Ending:
    """A login that came to nothing: no credentials, no half-open connection are left."""
    return Ending(
        reason,
        Next.STAY,
        Status.FAILED,
        detail=detail,
        credentials_gone=True,
        error_code=reason,
    )


def _logged_out(signal: LoggedOut) -> Ending:
    who = "on the phone" if signal.by_phone else "by WhatsApp"
    code = "" if signal.code is None else f" ({signal.code})"
    return Ending(
        "logged_out",
        Next.STAY,
        Status.LOGGED_OUT,
        detail=f"The device was logged out {who}{code}. Activate the session and scan again.",
        credentials_gone=True,
        auth_corrupted=True,
    )


def _banned(ban: TemporaryBan) -> Ending:
    end = " Activate the session when it is over."
    if ban.until_ms is not None:
        end = f" It ends at {iso(from_ms(ban.until_ms))}; the gateway connects again then."
    return Ending(
        "temporary_ban",
        Next.STAY,
        Status.FAILED,
        detail=REASONS["temporary_ban"].message + end,
        error_code=515,
        until_ms=ban.until_ms,
    )


def _exhausted_text(attempts: int) -> str:
    return f"QR code generation failed after {attempts} attempts. Please request a new validation."


def _tried_again(signal: EngineStopped | ConnectFailed) -> Ending:
    if isinstance(signal, EngineStopped):
        pace = Next.AT_ONCE if signal.planned else Next.BACK_OFF
        return Ending("engine_stopped", pace, counted=not signal.planned)
    code = signal.code
    if code is None:
        return Ending("unreachable", Next.BACK_OFF)
    detail = f"WhatsApp refused the connection ({code}); trying again."
    return Ending("connect_failed", Next.BACK_OFF, detail=detail, counted=True)
