"""Identifiers, and positions in a session's event log."""

import os
import re
import time
from dataclasses import dataclass
from typing import NewType, Self
from uuid import UUID

SessionId = NewType("SessionId", str)
"""UUIDv7 in canonical text form, made by the server."""
SessionName = NewType("SessionName", str)
"""The name a client chose: matches `SESSION_NAME`, unique within its tenant."""
TenantId = NewType("TenantId", str)
MessageId = NewType("MessageId", str)
"""UUIDv7 of a stored message, in either direction; not WhatsApp's own id."""
LogId = NewType("LogId", str)

SESSION_NAME = r"^[A-Za-z0-9][A-Za-z0-9_+-]{0,63}$"


def new_uuid() -> str:
    """Return a UUIDv7 (RFC 9562): sorts by the millisecond in which it was made."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (random >> 4 & 0xFFF) << 64 | 0b10 << 62
    return str(UUID(int=value | random >> 16 & (1 << 62) - 1))


def new_log_id() -> LogId:
    """Return an opaque identity for a new event log, without `:`."""
    return LogId(os.urandom(5).hex())


def is_session_name(text: str) -> bool:
    """Tell whether a client may call a session so."""
    # fullmatch: `$` alone would let a trailing newline through.
    return re.fullmatch(SESSION_NAME, text) is not None


@dataclass(frozen=True)
class Cursor:
    """A position in one session's event log: everything up to `seq` has been seen."""

    log_id: LogId
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"<logId>:<seq>"`.

        Raises:
            ValueError: the text is no cursor.
        """
        log_id, _, seq = text.partition(":")
        if not log_id or not seq.isascii() or not seq.isdecimal() or len(seq) > 18:
            message = f"{text[:80]!r} is no cursor; expected <logId>:<seq>, as an event carries it"
            raise ValueError(message)
        return cls(LogId(log_id), int(seq))

    def __str__(self) -> str:
        return f"{self.log_id}:{self.seq}"
