"""The authenticated Socket.IO connections: whose each is, how much it may ask."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from auth.principal import Principal
from gateway.commands import RateLimited, TooManyConnections
from gateway.offsets import Positions
from sessions.ids import SessionId


@dataclass(frozen=True)
class RealtimeLimits:
    """What one connection, or one subject, may cost the server."""

    connections_per_subject: int = 100
    subscriptions: int = 1000
    commands_per_second: float = 50
    commands_burst: int = 100
    replayed_events: int = 10_000
    """The most that a client may have missed and still go on from its position."""
    recovery_window_seconds: float = 120
    """How long ago what a client missed may have happened for its connection state to recover."""
    unsent_bytes: int = 1024 * 1024
    """What may wait for a slow client; beyond it is cut, and resumes by its cursor."""
    message_bytes: int = 1024 * 1024
    handshake_seconds: float = 5
    """How long a connection may stay outside the namespace."""
    command_seconds: float = 20
    poll_seconds: float = 5
    """How often each room is compared with the event log, for what the bus lost."""


class TokenBucket:
    """Lets `per_second` commands pass on average, `burst` at once; times are monotonic seconds."""

    def __init__(self, *, per_second: float, burst: int, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at = now

    def take(self, now: float) -> None:
        """Spend one.

        Raises:
            RateLimited: there is none left.
        """
        earned = (now - self._filled_at) * self._per_second
        self._tokens = min(self._burst, self._tokens + earned)
        self._filled_at = now
        if self._tokens < 1:
            raise RateLimited
        self._tokens -= 1


@dataclass
class Connection:
    """A client inside the namespace, from its accepted token to its end."""

    sid: str
    principal: Principal
    bucket: TokenBucket
    positions: Positions | None = None
    """Where it is in each session's log, if it asked for connection state recovery."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Commands run one by one: with long-polling, two requests could bring two at once."""
    subscriptions: set[SessionId] = field(default_factory=set)
    expiry_announced: bool = False
    closed: bool = False


class Connections:
    """Who is inside the namespace, by `sid`, and how many of each subject."""

    def __init__(self, *, per_subject: int) -> None:
        self._per_subject = per_subject
        self._by_sid: dict[str, Connection] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._by_sid)

    def all(self) -> list[Connection]:
        """Return who is inside now."""
        return list(self._by_sid.values())

    def get(self, sid: str) -> Connection | None:
        """Return a connection, None if it is gone."""
        return self._by_sid.get(sid)

    def add(self, connection: Connection) -> None:
        """Take a connection in.

        Raises:
            TooManyConnections: its subject has as many as it may.
        """
        subject = _subject(connection)
        if self._counts[subject] >= self._per_subject:
            raise TooManyConnections
        self._counts[subject] += 1
        self._by_sid[connection.sid] = connection

    def remove(self, sid: str) -> Connection | None:
        """Forget a connection and return it, None if it is unknown."""
        connection = self._by_sid.pop(sid, None)
        if connection is not None:
            subject = _subject(connection)
            self._counts[subject] -= 1
            if not self._counts[subject]:
                del self._counts[subject]
        return connection


def _subject(connection: Connection) -> tuple[str, str]:
    # The same for as long as it lasts: a refreshed token is of the same subject and tenant.
    return connection.principal.tenant, connection.principal.subject
