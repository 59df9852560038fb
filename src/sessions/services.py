"""What every session's tasks work with: made once, by the composition root and the manager."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from sessions.bus import Bus
from sessions.clock import Clock
from sessions.engine import Engine
from sessions.metrics import Metrics
from sessions.qr_codes import QrCodes
from sessions.store import Store


@dataclass(frozen=True)
class Policy:
    """How patient the gateway is; the composition root fills it from the settings."""

    qr_max_attempts: int = 3
    """Regenerations after the first series of codes was used up."""
    message_lifetime: timedelta = timedelta(hours=24)
    queue_limit: int = 10_000
    """So many messages may wait per session; more are refused until some have gone out."""
    send_gap_seconds: float = 0
    """Least pause between two messages of a session."""
    send_jitter_seconds: float = 0
    """Up to so much is added to each pause, by chance: regular intervals look like a machine."""
    sends_per_minute: int = 0
    """Most messages of a session in any minute; 0 for no limit."""
    typing_seconds_per_character: float = 0.05
    typing_max_seconds: float = 5
    """How long somebody is seen to type a text that asks for it."""
    send_attempts: int = 10
    """So often a message is tried that WhatsApp refused only for now."""
    event_retention: timedelta = timedelta(days=7)
    event_limit: int = 100_000
    """So many events are kept per session, and none that is older than the retention."""
    send_timeout_seconds: float = 90
    """Longer than the 75 s after which the engine itself gives up on WhatsApp's answer."""
    blip_seconds: float = 2
    """A lost connection that is back within this time is not reported."""
    retry_first_seconds: float = 1
    retry_max_seconds: float = 60
    repeat_limit: int = 5
    """So many failures for the same reason within the window end a session as FAILED."""
    repeat_window_seconds: float = 600
    replaced_wait_seconds: float = 10
    replaced_limit: int = 3
    """So many takeovers of the stream within the window are a CONFLICT."""
    storage_patience_seconds: float = 10
    """How long a connection waits for the database before it lets go of WhatsApp."""
    stop_timeout_seconds: float = 4
    """How long a send in flight may finish when its session is stopped in order."""
    drain_seconds: float = 6
    """How long all sessions together may take to end in order when the server stops."""
    parallel_connects: int = 4


@dataclass(frozen=True)
class Services:
    """The collaborators of a session's tasks."""

    store: Store
    engine: Engine
    bus: Bus
    qr_codes: QrCodes
    clock: Clock
    metrics: Metrics
    policy: Policy
    connects: asyncio.Semaphore
    """Held while a connection starts: a whole installation must not dial in at once."""
