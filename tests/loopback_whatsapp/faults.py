"""What the server does wrong on request."""

import asyncio
from dataclasses import dataclass, field

QR_REFS = 6


@dataclass(frozen=True, slots=True)
class LoginFailure:
    """The `<failure>` of a login; `code` and `expire_seconds` belong to a temporary ban (402)."""

    reason: int
    code: int | None = None
    expire_seconds: int | None = None


@dataclass(slots=True)
class Faults:
    """Standing faults; those that strike once are done by the network itself."""

    # Failures of the next logins, by phone number; under None those of any account.
    login_failures: dict[str | None, list[LoginFailure]] = field(default_factory=dict)
    # Failure of the next connection of a device that is not linked.
    pairing_failure: LoginFailure | None = None
    # Error codes of the next messages of companions, by phone number; under None those of any.
    message_errors: dict[str | None, list[int]] = field(default_factory=dict)
    ack_delay_seconds: float = 0.0
    qr_refs: int = QR_REFS
    loses_acknowledgements: bool = False
    _refuse_until: float = 0.0
    _silent_until: float = 0.0

    def fail_logins(self, failure: LoginFailure, *, phone: str | None, times: int) -> None:
        self.login_failures.setdefault(phone, []).extend([failure] * times)

    def next_login_failure(self, phone: str) -> LoginFailure | None:
        """Take the failure that a login of an account must get, if any."""
        failures = self.login_failures.get(phone) or self.login_failures.get(None)
        return failures.pop(0) if failures else None

    def next_pairing_failure(self) -> LoginFailure | None:
        """Take the failure that a device which is not linked must get, if any."""
        failure, self.pairing_failure = self.pairing_failure, None
        return failure

    def reject_messages(self, error: int, *, phone: str | None, times: int) -> None:
        self.message_errors.setdefault(phone, []).extend([error] * times)

    def next_message_error(self, phone: str) -> int | None:
        """Take the error by which a message of an account's companion must be rejected, if any."""
        errors = self.message_errors.get(phone) or self.message_errors.get(None)
        return errors.pop(0) if errors else None

    def refuse_connections(self, seconds: float) -> None:
        self._refuse_until = asyncio.get_running_loop().time() + seconds

    @property
    def refusing_connections(self) -> bool:
        return asyncio.get_running_loop().time() < self._refuse_until

    def be_silent(self, seconds: float) -> None:
        """Be silent on new connections too."""
        self._silent_until = asyncio.get_running_loop().time() + seconds

    @property
    def silence_seconds(self) -> float:
        """How long new connections hear nothing; 0 when they are served."""
        return max(0.0, self._silent_until - asyncio.get_running_loop().time())

    def clear(self) -> None:
        """Be a good server again."""
        self.login_failures.clear()
        self.pairing_failure = None
        self.message_errors.clear()
        self._silent_until = 0.0
        self.ack_delay_seconds, self.qr_refs, self._refuse_until = 0.0, QR_REFS, 0.0
        self.loses_acknowledgements = False
