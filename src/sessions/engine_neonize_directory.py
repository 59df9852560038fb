"""Who is who to a line: the account itself, and the two names that WhatsApp has for everybody."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Account:
    """The linked device's own names; users are digits."""

    phone: str
    lid: str | None
    push_name: str | None


class Directory(Protocol):
    """What only the running client knows."""

    def account(self) -> Account:
        """Return the account that is logged in."""
        ...

    def phone_of(self, lid: str) -> str | None:
        """Return the phone number (digits) behind a LID user, None if WhatsApp never told it."""
        ...
