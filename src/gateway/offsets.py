"""Socket.IO's own connection state recovery: what the stock JavaScript client carries for a server.

On every connect it repeats `pid`, from the CONNECT packet, and `offset`, the string that came as
the last argument of the last event that it handled. Our offset says how far the client is in the
log of each session that it follows; so a server that has never seen the client can go on from it.
Neither is signed, because neither opens anything: a session that an offset names is looked at with
the presented token, as if the client subscribed to it.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from auth.principal import Principal
from sessions.ids import Cursor, SessionId

SESSIONS_MAX = 64
"""An offset goes with every event: so many sessions make it 3.5 KB long."""
_OVERFULL = "-"
_SESSION = re.compile(r"[0-9a-f-]{36}")
_PART_CHARACTERS_MAX = 36 + 1 + 256


@dataclass(frozen=True)
class Step:
    """How an event moves its client on: past `cursor`, or (None) away from the session."""

    session: SessionId
    cursor: Cursor | None


class Positions:
    """Where one client is, once it has handled everything that was queued for it so far."""

    def __init__(self, start: Mapping[SessionId, Cursor] | None = None) -> None:
        self._parts = {session: _part(session, at) for session, at in (start or {}).items()}

    def move(self, step: Step) -> str:
        """Take a step; return the offset to send with it."""
        if step.cursor is None:
            self._parts.pop(step.session, None)
        else:
            self._parts[step.session] = _part(step.session, step.cursor)
        if len(self._parts) > SESSIONS_MAX:
            return _OVERFULL
        return ",".join(self._parts.values())


def read_offset(text: str | None) -> dict[SessionId, Cursor]:
    """Return the position in each session's log that an offset names, at least one.

    Raises:
        ValueError: it names none, too many, or is none of ours.
    """
    if not text or len(text) > SESSIONS_MAX * _PART_CHARACTERS_MAX:
        raise ValueError(len(text or ""))
    positions: dict[SessionId, Cursor] = {}
    for part in text.split(","):
        session, _, cursor = part.partition("@")
        if not _SESSION.fullmatch(session) or session in positions:
            raise ValueError(len(part))
        positions[SessionId(session)] = Cursor.parse(cursor)
    if len(positions) > SESSIONS_MAX:
        raise ValueError(len(positions))
    return positions


def new_pid(principal: Principal) -> str:
    """Return a fresh name for a client's state: one that it was not given before."""
    nonce = secrets.token_urlsafe(12)
    return f"{nonce}.{_mark(nonce, principal)}"


def is_pid_of(principal: Principal, pid: str | None) -> bool:
    """Tell whether a name was given to this subject: a page where another signs in starts anew."""
    nonce, _, mark = (pid or "").partition(".")
    return secrets.compare_digest(mark.encode(), _mark(nonce, principal).encode())


def _mark(nonce: str, principal: Principal) -> str:
    owner = "\0".join((nonce, principal.tenant, principal.subject))
    return hashlib.sha256(owner.encode(errors="replace")).hexdigest()[:16]


def _part(session: SessionId, cursor: Cursor) -> str:
    return f"{session}@{cursor}"
