"""Settings of sessions: logins, sends, how long events are kept, and the engine's processes."""

from typing import Literal

from pydantic import AliasChoices, BaseModel, Field


class SessionSettings(BaseModel):
    """What every session keeps to."""

    qr_max_attempts: int = Field(
        3,
        ge=0,
        le=100,
        validation_alias=AliasChoices("WAGATE_QR_MAX_ATTEMPTS", "QR_MAX_ATTEMPTS"),
        description="How often QR codes are generated again when nobody scanned them.",
    )
    send_timeout_seconds: float = Field(
        90, gt=0, le=600, description="How long a send may wait for WhatsApp's answer."
    )
    message_timeout_ms: int | None = Field(
        None,
        ge=1000,
        le=600_000,
        validation_alias=AliasChoices("WAGATE_MESSAGE_TIMEOUT_MS", "MESSAGE_TIMEOUT"),
        description="As WAGATE_SEND_TIMEOUT_SECONDS, in milliseconds; wins when set.",
    )
    message_expiry_hours: float = Field(
        24, gt=0, le=8760, description="How long a message may wait to be sent before it expires."
    )
    queue_limit_messages: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Messages that may wait in a session; more are answered with 429.",
    )
    send_gap_seconds: float = Field(
        0, ge=0, le=3600, description="Least pause between two messages of a session."
    )
    send_jitter_seconds: float = Field(
        0, ge=0, le=3600, description="Up to so much is added to each pause, by chance."
    )
    sends_per_minute: int = Field(
        0, ge=0, le=6000, description="Most messages of a session in any minute; 0: no limit."
    )
    send_attempts: int = Field(
        10,
        ge=1,
        le=100,
        validation_alias=AliasChoices("WAGATE_SEND_ATTEMPTS", "MAX_RETRY_ATTEMPTS"),
        description="How often a message is tried that WhatsApp refuses only for now.",
    )

    event_retention_days: float = Field(
        7, gt=0, le=3650, description="How long events are kept for clients that come back."
    )
    event_limit: int = Field(
        100_000, ge=100, le=100_000_000, description="Most events that are kept per session."
    )

    engine: Literal["neonize", "microservice", "simulator"] = Field(
        "neonize",
        description="What talks to WhatsApp: neonize here, a QR microservice that somebody else "
        "runs, or simulator for development.",
    )
    engine_sessions_per_worker: int = Field(
        50, ge=1, le=1000, description="Sessions that share one engine process."
    )
    engine_spare_workers: int = Field(
        1, ge=0, le=16, description="Engine processes kept ready for the next login."
    )
    engine_max_starts: int = Field(
        300, ge=1, description="Starts of sessions after which an engine process is replaced."
    )
    engine_max_descriptors: int = Field(
        800, ge=64, description="Open descriptors after which an engine process is replaced."
    )
