"""Every state a session can be in: allowed transitions, and for each reason a sentence and a step.

An illegal transition raises: a state that nobody planned must not reach a user.
"""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What a session is, as against `isActive`, what the user wants."""

    DISCONNECTED = "DISCONNECTED"
    CONNECTING = "CONNECTING"
    QR_READY = "QR_READY"
    CONNECTED = "CONNECTED"
    RECONNECTING = "RECONNECTING"
    LOGGED_OUT = "LOGGED_OUT"
    FAILED = "FAILED"
    CONFLICT = "CONFLICT"


class UserAction(StrEnum):
    """What the person in front of the screen can do about it."""

    NONE = "none"
    SCAN = "scan"
    OPEN_PHONE = "open_phone"
    RELOGIN = "relogin"
    WAIT = "wait"
    UPGRADE = "upgrade"


@dataclass(frozen=True)
class Reason:
    """Why a session is in its status."""

    code: str
    message: str
    user_action: UserAction


_REASONS = (
    Reason("created", "Not activated yet. Activate the session to link a phone.", UserAction.NONE),
    Reason("activating", "Connecting to WhatsApp.", UserAction.WAIT),
    Reason("restoring", "The gateway started again; connecting to WhatsApp.", UserAction.WAIT),
    Reason(
        "scan_qr",
        "Scan the QR code with the phone: WhatsApp, Linked devices, Link a device.",
        UserAction.SCAN,
    ),
    Reason(
        "enter_code",
        "Enter the pairing code on the phone: WhatsApp, Linked devices, Link with phone number.",
        UserAction.SCAN,
    ),
    Reason("pairing", "The phone accepted the code; finishing the login.", UserAction.WAIT),
    Reason("connected", "Connected to WhatsApp.", UserAction.NONE),
    Reason("deactivated", "Deactivated. Activate it to connect again.", UserAction.NONE),
    Reason(
        "auth_reset",
        "The credentials were removed. Activate the session and scan the QR code.",
        UserAction.RELOGIN,
    ),
    Reason("stream_lost", "The connection to WhatsApp was lost; reconnecting.", UserAction.WAIT),
    Reason(
        "keepalive_lost",
        "WhatsApp has stopped answering; waiting for it to come back.",
        UserAction.WAIT,
    ),
    Reason("engine_stopped", "The engine process stopped; it is being restarted.", UserAction.WAIT),
    Reason("gateway_fault", "The gateway failed; trying again. Report it.", UserAction.WAIT),
    Reason("engine_unavailable", "The engine can't start now; trying again.", UserAction.WAIT),
    Reason(
        "unreachable",
        "WhatsApp can't be reached; trying again. Check the server's network.",
        UserAction.WAIT,
    ),
    Reason("connect_failed", "WhatsApp refused the connection; trying again.", UserAction.WAIT),
    Reason(
        "restart_timeout",
        "WhatsApp asked for a restart (515), and it did not come up in time; trying again.",
        UserAction.WAIT,
    ),
    Reason(
        "qr_exhausted",
        "QR code generation failed after 3 attempts. Please request a new validation.",
        UserAction.RELOGIN,
    ),
    Reason(
        "pairing_failed",
        "The login with this code failed. Request a new code and try again.",
        UserAction.RELOGIN,
    ),
    Reason(
        "passkey_required",
        "This account must confirm new devices with a passkey, which can't be done from here. "
        "Turn the passkey requirement off on the phone, or link another number.",
        UserAction.OPEN_PHONE,
    ),
    Reason(
        "logged_out",
        "The device was logged out. Reset the credentials and scan the QR code again.",
        UserAction.RELOGIN,
    ),
    Reason(
        "credentials_corrupted",
        "The stored credentials are unusable. Reset them and scan the QR code again.",
        UserAction.RELOGIN,
    ),
    Reason(
        "stream_replaced",
        "Another program uses these credentials. Stop it, then activate the session again.",
        UserAction.RELOGIN,
    ),
    Reason(
        "temporary_ban",
        "WhatsApp has banned this account for a while. Send nothing until the ban ends.",
        UserAction.WAIT,
    ),
    Reason(
        "client_outdated",
        "WhatsApp no longer accepts this version of the engine. Upgrade the gateway.",
        UserAction.UPGRADE,
    ),
)
REASONS = {reason.code: reason for reason in _REASONS}

_LIVE = frozenset(
    {
        Status.CONNECTING,
        Status.QR_READY,
        Status.CONNECTED,
        Status.RECONNECTING,
    }
)
_ENDED = frozenset({Status.DISCONNECTED, Status.LOGGED_OUT, Status.FAILED, Status.CONFLICT})

TRANSITIONS: dict[Status, frozenset[Status]] = {
    # Nothing but a new start leads out of an ended state, and a user may end any of them.
    Status.DISCONNECTED: frozenset({Status.DISCONNECTED, Status.CONNECTING, Status.FAILED}),
    Status.LOGGED_OUT: frozenset({Status.DISCONNECTED, Status.CONNECTING}),
    Status.FAILED: frozenset({Status.DISCONNECTED, Status.CONNECTING}),
    Status.CONFLICT: frozenset({Status.DISCONNECTED, Status.CONNECTING}),
    Status.CONNECTING: _LIVE | _ENDED,
    # A scanned code is CONNECTING until the login is complete.
    Status.QR_READY: _LIVE - {Status.RECONNECTING} | _ENDED,
    Status.CONNECTED: _LIVE - {Status.QR_READY} | _ENDED,
    # Credentials revoked while away show as a new QR code on the next connection.
    Status.RECONNECTING: _LIVE | _ENDED,
}

NEEDS_USER = frozenset({Status.LOGGED_OUT, Status.FAILED, Status.CONFLICT})
"""Not entered again by a restart of the gateway: each waits for a person's decision."""


def action_for(status: Status, reason: str) -> UserAction:
    """Return what the person can do: where the gateway has stopped trying, waiting is no use."""
    action = REASONS[reason].user_action
    stopped = status is Status.FAILED and action is UserAction.WAIT
    return UserAction.RELOGIN if stopped and reason != "temporary_ban" else action


class IllegalTransition(RuntimeError):
    """A status was about to follow one that can't precede it: a fault of the gateway."""


def check_transition(previous: Status, following: Status) -> None:
    """Let a transition pass that the table allows.

    Raises:
        IllegalTransition: the table does not have it.
    """
    if following not in TRANSITIONS[previous]:
        raise IllegalTransition(f"{previous} can't become {following}")
