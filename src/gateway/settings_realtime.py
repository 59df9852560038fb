"""Settings of Socket.IO connections: what one of them, or one subject, may cost the server."""

from pydantic import BaseModel, Field


class RealtimeSettings(BaseModel):
    """The limits of connections."""

    websocket_max_bytes: int = Field(
        1024 * 1024, ge=1024, description="Largest message of a client over Socket.IO."
    )
    handshake_timeout_seconds: float = Field(
        5, ge=1, le=60, description="How long a connection may stay without a token."
    )
    connections_per_subject: int = Field(
        100, ge=1, le=100_000, description="Connections of one subject (`sub`) at a time."
    )
    subscriptions_per_connection: int = Field(
        1000, ge=1, le=100_000, description="Sessions that one connection may follow."
    )
    slow_client_bytes: int = Field(
        1024 * 1024,
        ge=64 * 1024,
        description="What may wait for a client that reads too slowly before it is disconnected.",
    )
    recovery_max_events: int = Field(
        10_000, ge=0, description="Missed events that are replayed to a client that comes back."
    )
    recovery_window_seconds: float = Field(
        120,
        ge=0,
        description="How old a missed event may be for Socket.IO's connection state recovery.",
    )
    commands_per_second: float = Field(
        50,
        ge=1,
        le=10_000,
        description="Events that a client may send on average; for a moment twice as many.",
    )
