"""What the control API refuses.

Refused
├── NotFound     nobody knows the account, code, device or group
└── Conflict     known, but not possible in its state
"""


class Refused(Exception):
    """The request cannot be done; the message says why in a sentence."""


class NotFound(Refused):
    """Nobody knows what the request names."""


class Conflict(Refused):
    """The request does not fit the state of what it names."""
